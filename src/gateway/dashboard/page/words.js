/** How states, times and numbers are told. A state is told by icon and word; its tone only adds a colour. */

/** @typedef {{ icon: string, word: string, tone: 'good' | 'warn' | 'bad' | 'idle' }} Badge */

/** @type {Readonly<Record<string, Badge>>} */
export const KEY_STATES = {
  ready: { icon: '●', word: 'ready', tone: 'good' },
  unproven: { icon: '○', word: 'unproven', tone: 'good' },
  returning: { icon: '◐', word: 'returning', tone: 'warn' },
  resting: { icon: '◌', word: 'resting', tone: 'warn' },
  'out-of-permits': { icon: '◔', word: 'out of permits', tone: 'warn' },
  rejected: { icon: '✗', word: 'rejected', tone: 'bad' },
  disabled: { icon: '–', word: 'disabled', tone: 'idle' },
  expired: { icon: '⌛', word: 'expired', tone: 'bad' },
};

/** @type {Readonly<Record<string, Badge>>} */
export const CIRCUITS = {
  closed: { icon: '●', word: 'closed', tone: 'good' },
  'slow-start': { icon: '◐', word: 'slow start', tone: 'warn' },
  'half-open': { icon: '◐', word: 'half-open', tone: 'warn' },
  open: { icon: '✗', word: 'open', tone: 'bad' },
};

/** @type {Readonly<Record<string, Badge>>} */
export const REQUEST_ENDS = {
  answered: { icon: '●', word: 'answered', tone: 'good' },
  failed: { icon: '✗', word: 'failed', tone: 'bad' },
  refused: { icon: '✗', word: 'refused', tone: 'bad' },
  aborted: { icon: '–', word: 'aborted', tone: 'idle' },
};

/** @type {Badge} */
export const UNDER_WAY = { icon: '…', word: 'under way', tone: 'idle' };

/** @returns {Badge} */
export function badgeOf(badges, name) {
  return badges[name] ?? { icon: '?', word: String(name), tone: 'idle' };
}

/** @returns {Badge} */
export function outcomeBadge(outcome) {
  if (outcome === undefined) return UNDER_WAY;
  if (outcome === 'success') return { icon: '●', word: 'success', tone: 'good' };
  if (outcome === 'aborted' || outcome === 'bad-request') return { icon: '–', word: outcome, tone: 'idle' };
  return { icon: '✗', word: outcome, tone: outcome === 'rejected' ? 'bad' : 'warn' };
}

const SECOND_MS = 1_000;
const MINUTE_MS = 60 * SECOND_MS;
const HOUR_MS = 60 * MINUTE_MS;
const DAY_MS = 24 * HOUR_MS;

/** `850 ms`, `42 s`, `3 min 5 s`, `2 h 10 min`, `3 d 4 h`. */
export function durationText(ms) {
  if (ms < SECOND_MS) return `${Math.max(0, Math.round(ms))} ms`;
  if (ms < MINUTE_MS) return `${Math.floor(ms / SECOND_MS)} s`;
  if (ms < HOUR_MS) return inTwo(ms, MINUTE_MS, 'min', SECOND_MS, 's');
  if (ms < DAY_MS) return inTwo(ms, HOUR_MS, 'h', MINUTE_MS, 'min');
  return inTwo(ms, DAY_MS, 'd', HOUR_MS, 'h');
}

function inTwo(ms, largeMs, large, smallMs, small) {
  const rest = Math.floor((ms % largeMs) / smallMs);
  return `${Math.floor(ms / largeMs)} ${large}${rest === 0 ? '' : ` ${rest} ${small}`}`;
}

/** `in 42 s`, `5 min ago`, `now`. */
export function relativeText(at, now) {
  const distanceMs = Math.abs(at - now);
  if (distanceMs < SECOND_MS) return 'now';
  return at > now ? `in ${durationText(distanceMs)}` : `${durationText(distanceMs)} ago`;
}

/** `14:03:10` on the same day, else `31 Jan 14:03`; in the time zone of the browser. */
export function clockText(at, now) {
  const date = new Date(at);
  const isSameDay = date.toDateString() === new Date(now).toDateString();
  if (isSameDay) return date.toLocaleTimeString('en-GB');
  const day = date.toLocaleDateString('en-GB', { day: 'numeric', month: 'short' });
  return `${day} ${date.toLocaleTimeString('en-GB', { hour: '2-digit', minute: '2-digit' })}`;
}

/** `per` of a limit: `minute`, or `4 s`. */
export function windowText(perMs) {
  const units = { second: SECOND_MS, minute: MINUTE_MS, hour: HOUR_MS, day: DAY_MS, month: 31 * DAY_MS };
  const unit = Object.entries(units).find(([, ms]) => ms === perMs);
  return unit === undefined ? durationText(perMs) : unit[0];
}

/** `12,345`. */
export function countText(count) {
  return count.toLocaleString('en-US');
}

/** `1 key`, `3 keys`. */
export function counted(count, one, many) {
  return `${countText(count)} ${count === 1 ? one : many}`;
}

export function latencyText(ms) {
  if (ms >= 10_000) return `${(ms / 1_000).toFixed(0)} s`;
  if (ms >= 1_000) return `${(ms / 1_000).toFixed(1)} s`;
  return ms >= 10 || ms === 0 ? `${Math.round(ms)} ms` : `${ms.toFixed(1)} ms`;
}

export function percentText(share) {
  return `${Math.round(share * 100)} %`;
}

export function costText(usd) {
  if (usd === 0) return '–';
  return `$${usd.toFixed(usd < 1 ? 4 : 2)}`;
}

/** @returns {string} how keymux knows, for `source` of a deadline */
export function sourceText(source) {
  if (source === undefined) return '';
  return source === 'stated' ? 'stated by the provider' : 'guessed by keymux';
}

/** The source of a deadline is told beside it. */
export function reasonText(reason = '') {
  return reason.replace(/, until a time .*$/, '');
}

/** What an event says, in one line, and how grave it is. */
export function eventText(name, event) {
  const status = event.status === undefined ? '' : ` (${event.status})`;
  const tell = EVENT_TEXTS[name];
  return tell === undefined ? { tone: 'idle', icon: '·', text: name } : tell(event, status);
}

const EVENT_TEXTS = {
  failover: (event, status) => ({
    tone: 'warn',
    icon: '⇄',
    text: `${event.service}: ${event.from} → ${event.to}, since ${event.reason}${status}`,
  }),
  cooldown: (event) => ({
    tone: 'warn',
    icon: '◌',
    text: `${event.subject} rests for ${durationText(event.until - event.at)}: ${event.reason}, ${event.source}`,
  }),
  rejected: (event) => ({
    tone: 'bad',
    icon: '✗',
    text: `${event.subject} was refused by its provider: ${event.reason}`,
  }),
  'refused-alike': (event, status) => ({
    tone: 'idle',
    icon: '=',
    text: `${event.provider} refused every key alike: ${event.reason}${status}. It was not the keys.`,
  }),
  recovered: (event) => ({ tone: 'good', icon: '●', text: `${event.subject} answers again` }),
  'shared-bucket': (event) => ({
    tone: 'idle',
    icon: '=',
    text: `${event.keys.join(', ')} share one allowance, as the answers say (${event.header})`,
  }),
  quota: (event) => ({
    tone: 'warn',
    icon: '◔',
    text: `The allowance of ${event.bucket} is spent for ${durationText(event.retryAt - event.at)}`,
  }),
  degraded: (event) => ({ tone: 'bad', icon: '✗', text: `${event.message} ${event.fix}` }),
  restored: (event) => ({ tone: 'good', icon: '●', text: event.message }),
  'state-set-aside': (event) => ({ tone: 'bad', icon: '✗', text: `${event.message} ${event.fix}` }),
  probe: (event, status) => ({
    tone: event.outcome === 'success' ? 'good' : 'idle',
    icon: '?',
    text: `Probe of ${event.subject}: ${event.outcome}${status}`,
  }),
  leader: (event) => ({
    tone: 'idle',
    icon: '★',
    text:
      event.change === 'began'
        ? 'This process probes for the fleet now'
        : 'Another process probes for the fleet now',
  }),
  reloaded: (event) => ({
    tone: 'idle',
    icon: '↻',
    text: `The configuration was read anew: ${counted(event.keys, 'key', 'keys')}`,
  }),
  exhausted: (event) => ({
    tone: 'bad',
    icon: '✗',
    text: `${event.service}: every key was out, and the caller was told so`,
  }),
};
