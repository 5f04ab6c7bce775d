/** Takes secrets out of what is written, by value: whatever the text around them says, in any usual encoding. */
import { PatternAutomaton } from './pattern-automaton.js';
import type { Escaping } from './secret-writings.js';
import { JSON_ESCAPES, PERCENT_ESCAPES, readEscaped, wholeFrom, writingsOf } from './secret-writings.js';

export interface LabelledSecret {
  readonly text: string;
  /** `provider/id`. */
  readonly label: string;
}

/** Where a secret stands: from `start` up to, not including, `end`. */
export interface Finding {
  readonly start: number;
  readonly end: number;
  readonly label: string;
}

export interface Redactor {
  /** Labels of secrets that stay where they are: too short, or with letters that no key has. */
  readonly left: readonly string[];
  redact(text: string): string;
  /** Where secrets stand in bytes, the first one first; they may overlap. */
  find(bytes: Uint8Array): Finding[];
  /** For output that comes in pieces. */
  stream(): RedactingStream;
}

export interface RedactingStream {
  /** What can be passed on by now. Bytes that may yet turn out to be part of a secret are held back. */
  push(chunk: Uint8Array): Uint8Array;
  /** What was held back; the stream begins anew. */
  end(): Uint8Array;
}

/** Shorter ones stand by chance in any text, so that replacing them would spoil it. */
export const MIN_REDACTED_LENGTH = 8;

const NOTHING = new Uint8Array(0);

/**
 * Finds each secret as it is, in base64 and base64url at any alignment, in hexadecimal, with percent and with JSON escapes,
 * and puts `[keymux:label]` in its place. Takes time in proportion to the text alone. Secrets of fewer than 8 characters, or
 * with other than printable ASCII, are not looked for, and are named in `left`.
 */
export function createRedactor(secrets: readonly LabelledSecret[]): Redactor {
  const isSought = ({ text }: LabelledSecret): boolean =>
    text.length >= MIN_REDACTED_LENGTH && /^[ -~]+$/.test(text);
  const search = new Search(secrets.filter(isSought));
  return {
    left: secrets.filter((secret) => !isSought(secret)).map(({ label }) => label),
    redact: (text) => redactText(search, text),
    find: (bytes) => search.run(bytes, START).findings,
    stream: () => new Stream(search),
  };
}

/** Places at which reading begins: one for each way of escaping, since none may begin within an escape. */
type Beginnings = readonly number[];

const ESCAPINGS = [PERCENT_ESCAPES, JSON_ESCAPES];
const START: Beginnings = ESCAPINGS.map(() => 0);

interface Result {
  readonly findings: Finding[];
  /** What stands before it is no part of a secret that goes on after the end. */
  readonly settled: number;
  /** Where to begin for what follows, counted from `settled`. */
  readonly beginnings: Beginnings;
}

class Search {
  readonly #plain: PatternAutomaton;
  readonly #escaped: PatternAutomaton;
  readonly #labels: readonly string[];
  /** Of the writings that `#plain` knows. */
  readonly #plainLabels: readonly string[];
  readonly #longest: number;

  constructor(secrets: readonly LabelledSecret[]) {
    const writings = secrets.flatMap(({ text, label }) =>
      writingsOf(text).map((writing) => ({ writing, label })),
    );
    this.#plain = new PatternAutomaton(writings.map(({ writing }) => writing));
    this.#plainLabels = writings.map(({ label }) => label);
    // A form writes a blank as `+`, among percent escapes.
    const texts = secrets.flatMap(({ text, label }) =>
      [text, text.replaceAll(' ', '+')].map((written) => ({ written, label })),
    );
    this.#escaped = new PatternAutomaton(texts.map(({ written }) => written));
    this.#labels = texts.map(({ label }) => label);
    this.#longest = secrets.reduce((longest, { text }) => Math.max(longest, text.length), 0);
  }

  run(bytes: Uint8Array, beginnings: Beginnings): Result {
    const findings: Finding[] = [];
    const labels = this.#plainLabels;
    let settled = this.#plain.scan(bytes, 0, (start, end, pattern) => {
      findings.push({ start, end, label: labels[pattern] as string });
    });
    const readings = ESCAPINGS.map((escaping, index) => {
      const reading = this.#readEscaped(bytes, beginnings[index] as number, escaping, findings);
      settled = Math.min(settled, reading.settled);
      return reading;
    });
    findings.sort((one, other) => one.start - other.start || other.end - one.end || compare(one, other));
    return { findings, settled, beginnings: readings.map(({ boundary }) => boundary(settled) - settled) };
  }

  #readEscaped(
    bytes: Uint8Array,
    beginning: number,
    escaping: Escaping,
    findings: Finding[],
  ): { readonly settled: number; readonly boundary: (at: number) => number } {
    const first = bytes.indexOf(escaping.mark, beginning);
    // What holds no escape is found as it is.
    if (first < 0) return { settled: bytes.length, boundary: (at) => Math.max(at, beginning) };
    const from = Math.max(beginning, first - this.#longest);
    const reading = readEscaped(bytes, from, this.#longest, escaping);
    const { starts } = reading;
    const begun = this.#escaped.scan(reading.bytes, 0, (start, end, pattern) => {
      const place = { start: starts[start] as number, end: starts[end] as number };
      // Without an escape in it, it was found as it is.
      if (place.end - place.start > end - start)
        findings.push({ ...place, label: this.#labels[pattern] as string });
    });
    return {
      settled: starts[begun] as number,
      boundary: (at) => (at <= from ? Math.max(at, beginning) : wholeFrom(reading, at)),
    };
  }
}

function compare(one: Finding, other: Finding): number {
  if (one.label === other.label) return 0;
  return one.label < other.label ? -1 : 1;
}

function redactText(search: Search, text: string): string {
  const bytes = new Uint8Array(text.length);
  for (let at = 0; at < text.length; at++) bytes[at] = Math.min(text.charCodeAt(at), 0xff);
  let shown = '';
  let done = 0;
  for (const { start, end, label } of search.run(bytes, START).findings) {
    if (start >= done) shown += `${text.slice(done, start)}${markOf(label)}`;
    done = Math.max(done, end);
  }
  return shown + text.slice(done);
}

function markOf(label: string): string {
  return `[keymux:${label}]`;
}

class Stream implements RedactingStream {
  readonly #search: Search;
  #held: Uint8Array = NOTHING;
  #beginnings = START;
  /** How many of the bytes held back belong to a secret whose mark was passed on. */
  #covered = 0;

  constructor(search: Search) {
    this.#search = search;
  }

  push(chunk: Uint8Array): Uint8Array {
    const bytes = this.#held.length === 0 ? chunk : joined([this.#held, chunk]);
    const { findings, settled, beginnings } = this.#search.run(bytes, this.#beginnings);
    const out = this.#pass(bytes, findings, settled);
    // A copy: whoever gave the chunk may use its memory again.
    this.#held = new Uint8Array(bytes.subarray(settled));
    this.#covered = Math.max(0, this.#covered - settled);
    this.#beginnings = beginnings;
    return out;
  }

  end(): Uint8Array {
    const bytes = this.#held;
    const { findings } = this.#search.run(bytes, this.#beginnings);
    const out = this.#pass(bytes, findings, bytes.length);
    this.#held = NOTHING;
    this.#covered = 0;
    this.#beginnings = START;
    return out;
  }

  #pass(bytes: Uint8Array, findings: readonly Finding[], settled: number): Uint8Array {
    const parts: Uint8Array[] = [];
    let done = this.#covered;
    for (const { start, end, label } of findings) {
      if (start >= settled) break;
      if (start >= done) parts.push(bytes.subarray(done, start), new TextEncoder().encode(markOf(label)));
      done = Math.max(done, end);
    }
    if (done < settled) parts.push(bytes.subarray(done, settled));
    this.#covered = done;
    return parts.length === 1 ? (parts[0] as Uint8Array) : joined(parts);
  }
}

function joined(parts: readonly Uint8Array[]): Uint8Array {
  const whole = new Uint8Array(parts.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}
