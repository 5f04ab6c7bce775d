import { el, emptyState, setShown, syncChildren } from './dom.js';
import { clock, moment } from './parts.js';
import { eventText } from './words.js';

/** So many are kept on the page. */
const MOST_EVENTS = 200;
/** Screen readers are told at most this often; what happens meanwhile is summed up. Milliseconds. */
const QUIET_MS = 8_000;
/** What is older belongs to the past that the stream begins with. Milliseconds. */
const FRESH_MS = 5_000;

/** What happens, as it happens: the newest first. */
export function newsView(body, announcer) {
  const onlyFailovers = el('input', { type: 'checkbox', id: 'news-failovers' });
  const list = el('ol', { class: 'news-list', reversed: true });
  const scroll = el(
    'div',
    { class: 'scroll', tabindex: 0, role: 'region', 'aria-label': 'Events, the newest first' },
    list,
  );
  const empty = emptyState(
    'Nothing happened yet.',
    'Failovers, cooldowns, rejections and recoveries appear here the moment they happen.',
  );
  body.append(
    el('div', { class: 'tools' }, el('label', { class: 'check' }, onlyFailovers, ' only failovers')),
    scroll,
    empty,
  );

  let events = [];
  let isDue = false;
  const announce = announcements(announcer);
  const show = () => {
    isDue = false;
    const shown = onlyFailovers.checked ? events.filter(({ name }) => name === 'failover') : events;
    syncChildren(list, shown, ({ id }) => id, newsItem);
    setShown(scroll, shown.length > 0);
    setShown(empty, shown.length === 0);
  };
  onlyFailovers.addEventListener('change', show);
  show();
  return {
    add(event) {
      if (events.some(({ id }) => id === event.id)) return;
      events = [event, ...events].slice(0, MOST_EVENTS);
      // A storm of events is drawn once per frame.
      if (!isDue) requestAnimationFrame(show);
      isDue = true;
      if (event.name === 'failover' && event.event.at > clock.now() - FRESH_MS) announce(event.event);
    },
  };
}

export function newsItem({ name, event }) {
  const { icon, text, tone } = eventText(name, event);
  const time = moment(() => event.at);
  time.update();
  return el(
    'li',
    { class: 'news-item', 'data-name': name },
    el('span', { class: 'news-icon', 'data-tone': tone, 'aria-hidden': 'true' }, icon),
    el('span', { class: 'news-text' }, text),
    time,
  );
}

/** The first failover is told at once, those that follow it soon are told together. */
function announcements(announcer) {
  let waiting = [];
  let timer;
  const tell = () => {
    timer = undefined;
    if (waiting.length === 0) return;
    const { service, from, to, reason } = waiting.at(-1);
    const others = waiting.length === 1 ? '' : `${waiting.length} failovers, the latest: `;
    announcer.textContent = `${others}${service} goes on with ${to} instead of ${from}, since ${reason}.`;
    waiting = [];
    timer = setTimeout(tell, QUIET_MS);
  };
  return (event) => {
    waiting.push(event);
    if (timer === undefined) tell();
  };
}
