import type { ErrorRule } from '../core/provider.js';
import type { JsonPath } from './body-json.js';
import { compileRule, NEVER, type CompiledRule } from './rule-match.js';

/** The rules that may apply to answers of one status. */
export interface StatusRules {
  /** In the order in which they are tried. */
  readonly all: readonly CompiledRule[];
  /** Those that do not look into the body. */
  readonly ofHead: readonly CompiledRule[];
  /** Whether a body of this text can be what any rule looks for: spares most good answers from being parsed. */
  readonly mayConcern: (text: string) => boolean;
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

const indexes = new WeakMap<readonly ErrorRule[], Map<number, StatusRules>>();

/** Every good answer asks, and few providers have rules for a 200: then the answer is decided by the empty list. */
export function rulesFor(errors: readonly ErrorRule[], status: number): StatusRules {
  const index = indexes.get(errors) ?? newIndex(errors);
  const known = index.get(status);
  if (known !== undefined) return known;
  const rules = select(errors, status);
  // Any other number is no status, and nobody shall fill the memory with such.
  if (Number.isInteger(status) && status >= 100 && status < 1_000) index.set(status, rules);
  return rules;
}

function newIndex(errors: readonly ErrorRule[]): Map<number, StatusRules> {
  const index = new Map<number, StatusRules>();
  indexes.set(errors, index);
  return index;
}

function select(errors: readonly ErrorRule[], status: number): StatusRules {
  const all = [...errors, ...COMMON_RULES]
    .filter((rule) => rule.status === undefined || [rule.status].flat().includes(status))
    .map(compileRule);
  const ofBody = all.filter(({ looksIntoBody }) => looksIntoBody);
  return { all, ofHead: all.filter(({ looksIntoBody }) => !looksIntoBody), mayConcern: screenFor(ofBody) };
}

/** Characters of names that nobody escapes; where one is, its escape begins like this. */
const LETTERS = /^[\w -]+$/;
const ESCAPED_LETTER = '\\\\u00';

function screenFor(rules: readonly CompiledRule[]): (text: string) => boolean {
  const paths = rules.flatMap(({ json, sse }) => [json, sse]).filter((path) => path !== undefined);
  const names = [...new Set(paths.map(nameOn))];
  if (!names.every((name) => LETTERS.test(name))) return () => true;
  // One expression for all names: a long text is gone through once.
  const mention = names.length === 0 ? NEVER : new RegExp(`"(?:${names.join('|')})"|${ESCAPED_LETTER}`);
  const texts = rules.map(({ text }) => text).filter((expression) => expression !== undefined);
  return (text) => mention.test(text) || texts.some((expression) => expression.test(text));
}

/** The longest name that must be in a text for the path to lead anywhere. */
function nameOn(path: JsonPath): string {
  return path.reduce<string>(
    (longest, step) => (typeof step === 'string' && step.length > longest.length ? step : longest),
    '',
  );
}
