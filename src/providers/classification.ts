/** What a response means. Pure: the response goes in, an outcome comes out, and nothing a server sends makes it throw. */
import type { Outcome, OutcomeKind, Scope } from '../core/outcome.js';
import { DEFAULT_SCOPE, REFUSED_BEFORE_PROCESSING } from '../core/outcome.js';
import type { ErrorRule, ProviderDefinition } from '../core/provider.js';
import { nextReset } from '../core/quota.js';
import { waitInBody } from './body-wait.js';
import type { ResponseHead } from './response-head.js';
import { retryAfter, windowReset, type StatedWait } from './retry-after.js';
import { rulesFor } from './rule-index.js';
import {
  bodyKindOf,
  bodyMatches,
  bodyMayMatch,
  BodyView,
  hasBody,
  headerMatches,
  type BodyKind,
} from './rule-match.js';

export type { ResponseHead } from './response-head.js';

/** What classification needs to know of a provider. */
export type Classified = Pick<ProviderDefinition, 'errors' | 'bucketScope' | 'reset'>;

interface Finding extends Pick<ErrorRule, 'outcome' | 'scope' | 'window'> {
  readonly evidence: string;
  readonly executed?: Outcome['executed'];
}

/**
 * The outcome as far as status and headers decide it, or `needs-body` where a rule or a stated wait may stand in
 * the body; then `bodyVerdict` decides. Where this gives an outcome, `bodyVerdict` gives the same for any body.
 */
export function headVerdict(provider: Classified, head: ResponseHead, now: number): Outcome | 'needs-body' {
  const finding = find(provider, head, undefined);
  if (finding === 'needs-body') return finding;
  if (finding === PLAIN) return PLAIN_SUCCESS;
  const wait = waitInHead(finding, provider, head, now);
  if (wait === undefined && isOfWindow(finding) && hasBody(head)) return 'needs-body';
  return outcomeOf(provider, finding, head, wait ?? waitByWindow(finding, now));
}

/** What most answers are; the same objects for all of them, since every request waits for this. */
const PLAIN: Finding = { outcome: 'success', evidence: 'status 200' };
const PLAIN_SUCCESS: Outcome = {
  kind: 'success',
  scope: DEFAULT_SCOPE.success,
  status: 200,
  evidence: 'status 200',
  executed: 'yes',
};

/**
 * The outcome of a whole response. `bodyText` is the beginning of its decoded body, of any length: `peekText`
 * gives enough of it.
 */
export function bodyVerdict(
  provider: Classified,
  head: ResponseHead,
  bodyText: string,
  now: number,
): Outcome {
  const body = new BodyView(bodyText);
  const finding = find(provider, head, body);
  if (finding === PLAIN) return PLAIN_SUCCESS;
  const wait =
    waitInHead(finding, provider, head, now) ??
    (isOfWindow(finding) && hasBody(head) ? waitInBody(body.text, now) : undefined) ??
    waitByWindow(finding, now);
  return outcomeOf(provider, finding, head, wait);
}

function find(provider: Classified, head: ResponseHead, body: BodyView): Finding;
function find(provider: Classified, head: ResponseHead, body: undefined): Finding | 'needs-body';
function find(provider: Classified, head: ResponseHead, body: BodyView | undefined): Finding | 'needs-body' {
  let kind: BodyKind | undefined;
  const { all, ofHead, mayConcern } = rulesFor(provider.errors, head.status);
  for (const rule of body === undefined || mayConcern(body.text) ? all : ofHead) {
    if (!headerMatches(rule, head)) continue;
    if (rule.looksIntoBody) {
      kind ??= bodyKindOf(head);
      if (!bodyMayMatch(rule, kind)) continue;
      if (body === undefined) return 'needs-body';
      if (!bodyMatches(rule, body)) continue;
    }
    return { ...rule.rule, evidence: rule.evidence };
  }
  return byStatus(head.status);
}

function byStatus(status: number): Finding {
  if (status === 200) return PLAIN;
  const { outcome, ...rest } = STATUSES.get(status) ?? { outcome: byClass(status) };
  return { outcome, ...rest, evidence: `status ${status}` };
}

const STATUSES: ReadonlyMap<number, Omit<Finding, 'evidence'>> = new Map<number, Omit<Finding, 'evidence'>>([
  [401, { outcome: 'rejected' }],
  [402, { outcome: 'quota-exhausted' }],
  [403, { outcome: 'restricted' }],
  // The proxy on our way out, not the provider, wants to know who we are.
  [407, { outcome: 'network', scope: 'egress', executed: 'no' }],
  [408, { outcome: 'overloaded' }],
  // Too early: the server refuses what may be a replay, before it looks at it. RFC 8470, section 5.2.
  [425, { outcome: 'overloaded', scope: 'request', executed: 'no' }],
  [429, { outcome: 'rate-limited' }],
  [451, { outcome: 'restricted' }],
]);

function byClass(status: number): OutcomeKind {
  if (status >= 100 && status < 400) return 'success';
  return status >= 400 && status < 500 ? 'bad-request' : 'overloaded';
}

/** Kinds for which a deadline means something. */
const WAITS: ReadonlySet<OutcomeKind> = new Set<OutcomeKind>([
  'rate-limited',
  'quota-exhausted',
  'restricted',
  'overloaded',
]);

/**
 * `Retry-After` first. Then the provider's midnight for a day or month that is spent, before any shorter wait:
 * Gemini sends a delay of seconds along with a daily refusal. Then the end of the spent window, for limits only.
 */
function waitInHead(
  finding: Finding,
  provider: Classified,
  head: ResponseHead,
  now: number,
): StatedWait | undefined {
  if (!WAITS.has(finding.outcome)) return undefined;
  const stated = retryAfter(head, now);
  if (stated !== undefined) return stated;
  const { window } = finding;
  if (provider.reset !== undefined && (window === 'day' || window === 'month')) {
    return {
      at: nextReset({ ...provider.reset, unit: window }, now),
      from: `the reset at ${provider.reset.at}`,
    };
  }
  return isOfWindow(finding) ? windowReset(head, now) : undefined;
}

/** Money that has run out does not come back with a window: such a refusal names none. */
function isOfWindow(finding: Finding): boolean {
  return (
    finding.outcome === 'rate-limited' ||
    (finding.outcome === 'quota-exhausted' && finding.window !== undefined)
  );
}

const WINDOW_MS = { second: 1_000, minute: 60_000, hour: 3_600_000 } as const;

/** By then a window of this length has ended wherever it began. A day is too long to rest on that alone. */
function waitByWindow(finding: Finding, now: number): StatedWait | undefined {
  const { window } = finding;
  if (window === undefined || window === 'day' || window === 'month' || !isOfWindow(finding))
    return undefined;
  return { at: now + WINDOW_MS[window], from: `the length of a ${window}` };
}

function outcomeOf(
  provider: Classified,
  finding: Finding,
  head: ResponseHead,
  wait: StatedWait | undefined,
): Outcome {
  const { outcome: kind } = finding;
  return {
    kind,
    scope: finding.scope ?? scopeOf(kind, provider),
    ...(wait !== undefined && { retryAt: wait.at }),
    status: head.status,
    evidence: wait === undefined ? finding.evidence : `${finding.evidence}; wait from ${wait.from}`,
    executed: finding.executed ?? executedBy(kind),
  };
}

/** A spent allowance is its owner's: an account's keys rest together. */
function scopeOf(kind: OutcomeKind, provider: Classified): Scope {
  if ((kind !== 'rate-limited' && kind !== 'quota-exhausted') || provider.bucketScope === 'key')
    return DEFAULT_SCOPE[kind];
  return provider.bucketScope === 'egress' ? 'egress' : 'bucket';
}

function executedBy(kind: OutcomeKind): Outcome['executed'] {
  if (REFUSED_BEFORE_PROCESSING.has(kind)) return 'no';
  return kind === 'success' || kind === 'bad-request' ? 'yes' : 'maybe';
}
