/** How a secret may be written down by a program that never meant to. */

/**
 * The ways that are found letter by letter: as it is, base64 and base64url wherever it stands in what was encoded,
 * hexadecimal in both cases, and with `+` for a space. Percent and JSON escapes are read while searching, since a writer
 * is free to escape any letter or none.
 */
export function writingsOf(secret: string): string[] {
  const bytes = Array.from(secret, (letter) => letter.charCodeAt(0));
  const hexadecimal = bytes.map((byte) => byte.toString(16).padStart(2, '0')).join('');
  const encoded = base64Of(bytes);
  const whole = [encoded, encoded.replaceAll('=', ''), ...[0, 1, 2].map((before) => inner(bytes, before))];
  const all = [
    secret,
    secret.replaceAll(' ', '+'),
    hexadecimal,
    hexadecimal.toUpperCase(),
    ...whole,
    ...whole.map((text) => text.replaceAll('+', '-').replaceAll('/', '_')),
  ];
  return [...new Set(all)];
}

/**
 * The base64 letters that a secret decides by itself, where so many bytes stand before it in its group of three; what
 * stands around it has a part in the letters at the ends.
 */
function inner(bytes: readonly number[], before: number): string {
  const text = base64Of([...new Array<number>(before).fill(0), ...bytes]);
  const bits = (before + bytes.length) * 8;
  return text.slice(Math.ceil((before * 8) / 6), Math.floor(bits / 6));
}

function base64Of(bytes: readonly number[]): string {
  return btoa(String.fromCharCode(...bytes));
}

/** A text read with its escapes undone. */
export interface Reading {
  readonly bytes: Uint8Array;
  /** Where each of them starts in what was read; then where reading stopped: at the end, or at an escape cut by it. */
  readonly starts: Uint32Array;
}

/**
 * Reads one escape at a place that holds its mark: how many bytes write it, times 256, plus the byte that is meant.
 * `NO_ESCAPE`: it is none. `CUT`: it might become one, but the text ends.
 */
type ReadEscape = (bytes: Uint8Array, at: number) => number;

const NO_ESCAPE = -1;
const CUT = 0;
/** Stands for text left out; no secret holds it. */
const GAP = 0;

export interface Escaping {
  /** The byte that begins an escape. */
  readonly mark: number;
  readonly read: ReadEscape;
}

/** As in addresses: `%2d`. */
export const PERCENT_ESCAPES: Escaping = {
  mark: 0x25,
  read: (bytes, at) => hexadecimalAt(bytes, at + 1, 2, 3),
};

/** As in JSON: `\u002d`, `\/`, `\"`, `\\`. */
export const JSON_ESCAPES: Escaping = {
  mark: 0x5c,
  read(bytes, at) {
    const letter = bytes[at + 1];
    if (letter === undefined) return CUT;
    if (letter === 0x22 || letter === 0x2f || letter === 0x5c) return 512 + letter;
    return letter === 0x75 ? hexadecimalAt(bytes, at + 2, 4, 6) : NO_ESCAPE;
  },
};

/** Reads with escapes undone, leaving out what is further than `near` letters from any. */
export function readEscaped(
  bytes: Uint8Array,
  from: number,
  near: number,
  { mark, read }: Escaping,
): Reading {
  const out = new Uint8Array(bytes.length - from);
  const starts = new Uint32Array(bytes.length - from + 1);
  let count = 0;
  let at = from;
  let lettersSince = near + 1;
  while (at < bytes.length) {
    if (lettersSince > near) {
      const next = bytes.indexOf(mark, at);
      const nearNext = next < 0 ? bytes.length : next - near;
      lettersSince = 0;
      if (nearNext > at) {
        out[count] = GAP;
        starts[count++] = at;
        at = nearNext;
        continue;
      }
    }
    const byte = bytes[at] as number;
    const escape = byte === mark ? read(bytes, at) : NO_ESCAPE;
    if (escape === CUT) break;
    out[count] = escape === NO_ESCAPE ? byte : escape & 0xff;
    starts[count++] = at;
    at += escape === NO_ESCAPE ? 1 : escape >> 8;
    lettersSince = escape === NO_ESCAPE ? lettersSince + 1 : 0;
  }
  starts[count] = at;
  return { bytes: out.subarray(0, count), starts: starts.subarray(0, count + 1) };
}

/** The first place from `at` on where no escape is cut. */
export function wholeFrom({ bytes, starts }: Reading, at: number): number {
  let low = 0;
  let high = starts.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((starts[middle] as number) < at) low = middle + 1;
    else high = middle;
  }
  return bytes[low - 1] === GAP ? at : (starts[low] ?? at);
}

function hexadecimalAt(bytes: Uint8Array, at: number, digits: number, length: number): number {
  let value = 0;
  for (let index = at; index < at + digits; index++) {
    const byte = bytes[index];
    if (byte === undefined) return CUT;
    const digit = digitOf(byte);
    if (digit === NO_DIGIT) return NO_ESCAPE;
    value = value * 16 + digit;
  }
  // A letter beyond ASCII: whatever it is, it is none of a key.
  return length * 256 + Math.min(value, 0xff);
}

const NO_DIGIT = -1;

function digitOf(byte: number): number {
  if (byte >= 0x30 && byte <= 0x39) return byte - 0x30;
  const letter = byte | 0x20;
  return letter >= 0x61 && letter <= 0x66 ? letter - 0x57 : NO_DIGIT;
}
