/**
 * Reads JSON of which only the beginning is at hand. A refusal is short and complete as a rule; where it was cut
 * off, what was read is closed and the text at the cut is kept as far as it goes, so that paths work the same.
 */

/** How much of a body's text is looked at, in characters or bytes: 16 times the 4 KiB that are read of a packed one. */
export const LONGEST_TEXT = 65_536;

const EVERY = Symbol('every element');
type Step = string | number | typeof EVERY;
/** Never changes, so that it is read once. */
export type JsonPath = readonly Step[];

/** `$.a.b`, `$.list[*].c`, `$[0]`, `$["two words"]`; `undefined` where the text is no such path. */
export function parseJsonPath(text: string): JsonPath | undefined {
  if (!text.startsWith('$')) return undefined;
  const pattern = /\.([A-Za-z_][\w-]*)|\["([^"\]]+)"\]|\['([^'\]]+)'\]|\[(\*|\d{1,6})\]/y;
  const path: Step[] = [];
  pattern.lastIndex = 1;
  while (pattern.lastIndex < text.length) {
    const found = pattern.exec(text);
    if (found === null) return undefined;
    const name = found[1] ?? found[2] ?? found[3];
    path.push(name ?? (found[4] === '*' ? EVERY : Number(found[4])));
  }
  return path;
}

/** Elements of an array beyond this are not looked at. */
const MOST_ELEMENTS = 64;

/** Everything found at the path, in order; empty where nothing is there. */
export function valuesAt(root: unknown, path: JsonPath): readonly unknown[] {
  let values: readonly unknown[] = [root];
  for (const step of path) {
    values =
      values.length === 1
        ? follow(values[0], step)
        : values.flatMap((value) => follow(value, step)).slice(0, MOST_ELEMENTS);
    if (values.length === 0) break;
  }
  return values;
}

const NOTHING: readonly unknown[] = [];

function follow(value: unknown, step: Step): readonly unknown[] {
  if (Array.isArray(value)) {
    const elements: readonly unknown[] = value;
    if (step === EVERY) return elements.slice(0, MOST_ELEMENTS);
    return typeof step === 'number' && step < elements.length ? [elements[step]] : NOTHING;
  }
  const hasName =
    typeof value === 'object' && value !== null && typeof step === 'string' && Object.hasOwn(value, step);
  return hasName ? [Reflect.get(value, step)] : NOTHING;
}

/**
 * The value of a JSON text, complete or cut off; `undefined` where it is no object or array. An array of one
 * element stands for that element: so Gemini refuses where it was asked for a stream.
 */
export function readJson(text: string): unknown {
  const body = text.replace(/^[\s\uFEFF]+/, '');
  if (!body.startsWith('{') && !body.startsWith('[')) return undefined;
  const value = parse(body) ?? parseCut(body);
  return Array.isArray(value) && value.length === 1 ? (value as readonly unknown[])[0] : value;
}

function parse(text: string): unknown {
  // Of a long answer only the beginning is there: to see that is cheaper than an error.
  const end = text.trimEnd();
  if (!end.endsWith('}') && !end.endsWith(']')) return undefined;
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** Closes what is open at the end, or failing that at the last complete member; leaves out what follows the value. */
function parseCut(text: string): unknown {
  const open: string[] = [];
  let completeUntil = 0;
  let inText = false;
  for (let at = 0; at < text.length; at += 1) {
    const char = text[at];
    if (inText) {
      if (char === '\\') at += 1;
      else if (char === '"') inText = false;
      continue;
    }
    if (char === '"') inText = true;
    else if (char === '{' || char === '[') open.push(char === '{' ? '}' : ']');
    else if (char === '}' || char === ']') open.pop();
    if (char === ',') completeUntil = at;
    else if (char === '{' || char === '[' || char === '}' || char === ']') completeUntil = at + 1;
    if (open.length === 0) break;
  }
  const closing = open.reverse().join('');
  const textAtCut = inText ? parse(`${text.replace(/\\(?:u[\da-f]{0,3})?$/i, '')}"${closing}`) : undefined;
  return textAtCut ?? parse(text.slice(0, completeUntil) + closing);
}
