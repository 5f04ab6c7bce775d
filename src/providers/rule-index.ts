import type { ErrorRule } from '../core/provider.js';
import { describeRule, looksIntoBody } from './rule-match.js';

/** A rule and what can be said of it once and for all. */
export interface IndexedRule {
  readonly rule: ErrorRule;
  readonly looksIntoBody: boolean;
  /** The rule in words. */
  readonly evidence: string;
}

/** Refusals that mean the same everywhere; tried after the provider's own rules. */
const COMMON_RULES: readonly ErrorRule[] = [
  { status: 403, header: { name: 'x-ratelimit-remaining', match: '^\\s*0\\s*$' }, outcome: 'rate-limited' },
  {
    status: 429,
    json: '$.error.code',
    match: '^(insufficient_quota|billing_not_active|billing_hard_limit_reached)$',
    outcome: 'quota-exhausted',
  },
];

const indexes = new WeakMap<readonly ErrorRule[], Map<number, readonly IndexedRule[]>>();

/**
 * The rules that may apply to answers of a status, in the order in which they are tried. Every good answer asks, and
 * few providers have rules for a 200: then the answer is decided by the empty list.
 */
export function rulesFor(errors: readonly ErrorRule[], status: number): readonly IndexedRule[] {
  const index = indexes.get(errors) ?? newIndex(errors);
  const known = index.get(status);
  if (known !== undefined) return known;
  const rules = select(errors, status);
  // Any other number is no status, and nobody shall fill the memory with such.
  if (Number.isInteger(status) && status >= 100 && status < 1_000) index.set(status, rules);
  return rules;
}

function newIndex(errors: readonly ErrorRule[]): Map<number, readonly IndexedRule[]> {
  const index = new Map<number, readonly IndexedRule[]>();
  indexes.set(errors, index);
  return index;
}

function select(errors: readonly ErrorRule[], status: number): readonly IndexedRule[] {
  return [...errors, ...COMMON_RULES]
    .filter((rule) => rule.status === undefined || [rule.status].flat().includes(status))
    .map((rule) => ({ rule, looksIntoBody: looksIntoBody(rule), evidence: describeRule(rule) }));
}
