/** What keys look like, so that one is known for a key without being known. */
import { isVirtualKey } from '../config/virtual-key.js';
import { baseName } from '../interceptors/variable-names.js';
import { isTemplateValue } from '../providers/key-shape.js';

/** A key, as it stands in a text: from `start` up to, not including, `end`. */
export interface SeenKey {
  readonly start: number;
  readonly end: number;
  /** A provider's id, or `age`, `keymux`, `private-key`. */
  readonly provider: string;
  /** `shape`: no other text looks so. `name`: it is assigned to a variable for keys. */
  readonly how: 'shape' | 'name';
}

/**
 * By what they begin with. From the providers' documentation and what GitHub's secret scanning lists
 * (https://docs.github.com/en/code-security/secret-scanning/introduction/supported-secret-scanning-patterns); age:
 * https://age-encryption.org/v1; `T3BlbkFJ` is "OpenAI" in base64. Stripe's test keys move no money and stand in its
 * documentation, so they are none.
 */
const SHAPES: readonly (readonly [provider: string, shape: string])[] = [
  ['anthropic', String.raw`sk-ant-(?:api|admin|oat|sid)\d\d-[\w-]{80,}`],
  ['openrouter', String.raw`sk-or-v1-[0-9a-f]{64}`],
  ['openai', String.raw`sk-(?:(?:proj|svcacct|admin)-[\w-]{40,}|[A-Za-z0-9]{20}T3BlbkFJ[A-Za-z0-9]{20})`],
  ['deepseek', String.raw`sk-[0-9a-f]{32}`],
  ['stripe', String.raw`[sr]k_live_[A-Za-z0-9]{20,}`],
  ['groq', String.raw`gsk_[A-Za-z0-9]{52}`],
  ['gemini', String.raw`AIza[\w-]{35}`],
  ['github', String.raw`gh[pousr]_[A-Za-z0-9]{36,}|github_pat_[A-Za-z0-9]{22}_[A-Za-z0-9]{59}`],
  ['perplexity', String.raw`pplx-[A-Za-z0-9]{48}`],
  ['sendgrid', String.raw`SG\.[\w-]{22}\.[\w-]{43}`],
  ['tavily', String.raw`tvly-(?:dev-)?[A-Za-z0-9]{32,}`],
  ['xai', String.raw`xai-[A-Za-z0-9]{80}`],
  ['coingecko', String.raw`CG-[A-Za-z0-9]{24}`],
  ['keymux', String.raw`kmx_(?:use|read|admin)_[\w-]{24,}`],
  ['age', String.raw`AGE-SECRET-KEY-(?:PQ-)?1[0-9A-Z]{58,}`],
];

/** All at once, each in a group of its own; a text is read once, whatever their number. */
const ANY_SHAPE = new RegExp(
  String.raw`(?<![\w-])(?:${SHAPES.map(([, shape]) => `(${shape})`).join('|')})(?![\w-])`,
  'g',
);

/** With something behind it, as it stands in a file, or as a string with `\n`. */
const PRIVATE_KEY =
  /-----BEGIN (?:[A-Z0-9]+ )*PRIVATE KEY(?: BLOCK)?-----(?:\s|\\[nr]){1,8}[A-Za-z0-9+/:=-]{20}/g;

const ASSIGNMENT =
  /(?<![\w$])([A-Z][A-Z0-9_]{4,60})["'`]?[ \t]{0,20}[:=][ \t]{0,20}["'`]?([A-Za-z0-9_-]{16,512})(?![\w.([-])/g;

/** A key is drawn from many letters; a name or a counting row is not. */
const LEAST_LETTERS = 8;

/** Every text that is a key by its looks, or by the name of a provider's variable (name to provider id). */
export function seenKeys(text: string, variables: ReadonlyMap<string, string>): SeenKey[] {
  const found: SeenKey[] = [];
  for (const match of text.matchAll(ANY_SHAPE)) {
    const [whole, ...groups] = match;
    const provider = SHAPES[groups.indexOf(whole)]?.[0];
    if (provider !== undefined && isKey(whole))
      found.push({ ...span(match.index, whole), provider, how: 'shape' });
  }
  for (const { index, 0: matched } of text.matchAll(PRIVATE_KEY))
    found.push({ ...span(index, matched), provider: 'private-key', how: 'shape' });
  for (const match of text.matchAll(ASSIGNMENT)) {
    const [whole, name = '', value = ''] = match;
    const provider = variables.get(name) ?? variables.get(baseName(name));
    if (provider !== undefined && isKey(value) && /\d/.test(value) && /[a-z]/i.test(value))
      found.push({ ...span(match.index + whole.length - value.length, value), provider, how: 'name' });
  }
  return found;
}

function span(start: number, text: string): { start: number; end: number } {
  return { start, end: start + text.length };
}

function isKey(text: string): boolean {
  return new Set(text).size >= LEAST_LETTERS && !isTemplateValue(text) && !isVirtualKey(text);
}
