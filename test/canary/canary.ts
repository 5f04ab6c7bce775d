/** Keys that must be seen nowhere but at their provider, and the search for them in whatever form. */
import { randomBytes } from 'node:crypto';

export interface Canary {
  /** For messages of the test. */
  readonly name: string;
  readonly text: string;
}

export interface Leak {
  readonly canary: string;
  readonly form: string;
  /** Byte in what was searched. */
  readonly at: number;
  /** What stands there, and before it. */
  readonly around: string;
}

/**
 * From so many characters on, a piece of a key is found at any place of it. Half of that is too little to be found
 * by chance only: 62^7 texts are as long as a probe.
 */
export const SHORTEST_PIECE = 12;
/** Every piece of `SHORTEST_PIECE` holds one whole probe: 12 >= 7 + 6 - 1. */
const PROBE = 7;
const STEP = 6;

const LETTERS = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789';

/**
 * A key of letters and digits, and of characters that percent signs, JSON, HTML and shells write otherwise. It
 * begins with a mark, so that a person sees what leaked.
 */
export function makeCanary(name: string): Canary {
  return { name, text: `sk-${letters(21)}/+"&${letters(6)}!*~${letters(21)}` };
}

/** For places that take letters, digits and dashes alone, such as a path. */
export function makePlainCanary(name: string): Canary {
  return { name, text: `sk-${letters(48)}` };
}

function letters(count: number): string {
  return [...randomBytes(count)].map((byte) => LETTERS[byte % LETTERS.length]).join('');
}

interface Probe {
  readonly form: string;
  readonly bytes: Buffer;
}

const probesByText = new Map<string, readonly Probe[]>();

/** Where a canary stands in there, whole or in part, in any of the forms; the first place of each form. */
export function leaksIn(content: string | Uint8Array, canaries: readonly Canary[]): Leak[] {
  const bytes = typeof content === 'string' ? Buffer.from(content) : Buffer.from(content);
  return canaries.flatMap(({ name, text }) => {
    const seen = new Set<string>();
    return probesOf(text).flatMap(({ form, bytes: probe }): Leak[] => {
      if (seen.has(form)) return [];
      const at = bytes.indexOf(probe);
      if (at === -1) return [];
      seen.add(form);
      const around = bytes.toString('latin1', Math.max(0, at - 80), at + probe.length + 20);
      return [{ canary: name, form, at, around }];
    });
  });
}

function probesOf(text: string): readonly Probe[] {
  let probes = probesByText.get(text);
  if (probes === undefined) {
    probes = formsOf(text).flatMap(probesIn);
    probesByText.set(text, probes);
  }
  return probes;
}

/** All overlapping probes of a form, each of `PROBE` characters of the key. */
function probesIn({ form, units, separator = '' }: Form): Probe[] {
  const starts = Array.from({ length: Math.ceil(units.length / STEP) }, (_, index) => index * STEP);
  return starts
    .filter((start) => start + PROBE <= units.length)
    .map((start) => ({
      form,
      bytes: Buffer.from(units.slice(start, start + PROBE).join(separator), 'latin1'),
    }));
}

interface Form {
  readonly form: string;
  /** What stands for one character after the other. */
  readonly units: readonly string[];
  /** What stands between them. Default: nothing. */
  readonly separator?: string;
}

/**
 * The forms that a key may take. A letter of base64 is less than a character, so that a piece holds more of them; how
 * they fall depends on what stood before, in three ways.
 */
function formsOf(text: string): Form[] {
  const codes = [...text].map((character) => character.charCodeAt(0));
  const each = (write: (character: string) => string): string[] => [...text].map(write);
  const hex = codes.map((code) => code.toString(16).padStart(2, '0'));
  const capitals = hex.map((digits) => digits.toUpperCase());
  const numbers = codes.map(String);
  return [
    { form: 'raw', units: [...text] },
    { form: 'reversed', units: [...text].toReversed() },
    { form: 'hexadecimal', units: hex },
    { form: 'hexadecimal', units: capitals },
    { form: 'hexadecimal with blanks', units: hex, separator: ' ' },
    { form: 'percent signs', units: each(encodeURIComponent) },
    { form: 'form', units: each((character) => new URLSearchParams({ '': character }).toString().slice(1)) },
    { form: 'percent signs for all', units: capitals.map((digits) => `%${digits}`) },
    { form: 'percent signs for all', units: hex.map((digits) => `%${digits}`) },
    { form: 'JSON', units: each((character) => JSON.stringify(character).slice(1, -1)) },
    { form: 'JSON escapes for all', units: hex.map((digits) => `\\u00${digits}`) },
    { form: 'hexadecimal escapes for all', units: hex.map((digits) => `\\x${digits}`) },
    { form: 'HTML', units: each((character) => HTML[character] ?? character) },
    { form: 'bytes as numbers', units: numbers, separator: ',' },
    { form: 'bytes as numbers', units: numbers, separator: ', ' },
    { form: 'UTF-16', units: [...text], separator: '\0' },
    ...[0, 1, 2].flatMap((alignment): Form[] => {
      const units = base64At(text, alignment);
      return [
        { form: 'base64', units },
        { form: 'base64url', units: units.map((letter) => BASE64URL[letter] ?? letter) },
      ];
    }),
  ];
}

const BASE64URL: Readonly<Record<string, string>> = { '+': '-', '/': '_' };
const HTML: Readonly<Record<string, string>> = { '&': '&amp;', '"': '&quot;' };

/** Only letters that the key alone decides, whatever stands before and after it. */
function base64At(text: string, alignment: number): string[] {
  const skipped = [0, 2, 1][alignment] ?? 0;
  const part = text.slice(skipped);
  return [...Buffer.from(part.slice(0, part.length - (part.length % 3))).toString('base64')];
}
