/** Looks for keys in the bytes of one file, a piece at a time. */
import { Buffer } from 'node:buffer';
import { createHash } from 'node:crypto';
import type { Redactor } from '../core/redaction.js';
import { seenKeys } from './scan-shapes.js';

export interface FoundKey {
  /** From 1; the column counts characters. */
  readonly line: number;
  readonly column: number;
  readonly provider: string;
  /** `known`: a key of this configuration. `shape`: no other text looks so. `name`: a variable for keys is set to it. */
  readonly how: 'known' | 'shape' | 'name';
  /** Of a known key: `provider/id`. */
  readonly key?: string;
  /** Of others: the same wherever the same text stands. 48 bits of SHA-256, from which no key can be had. */
  readonly fingerprint?: string;
}

export interface Knowledge {
  /** Of the keys that are known. */
  readonly redactor: Redactor;
  /** Names of variables that hold keys, to ids of providers. */
  readonly variables: ReadonlyMap<string, string>;
}

/** Bytes searched at a time. */
const PIECE_BYTES = 1 << 20;
/** How far a key, and what its line says of it, may reach beyond a piece. */
const REACH_BYTES = 1 << 14;

/** On its line, it says that what stands there may stand there. */
const ALLOWED = 'keymux:allow';

export async function findKeys(
  content: AsyncIterable<Uint8Array>,
  knowledge: Knowledge,
): Promise<FoundKey[]> {
  const search = new ContentSearch(knowledge);
  for await (const chunk of content) search.push(chunk);
  return search.end();
}

interface Place {
  readonly start: number;
  readonly end: number;
  readonly provider: string;
  readonly how: FoundKey['how'];
  readonly key?: string;
}

class ContentSearch {
  readonly #knowledge: Knowledge;
  readonly #found: FoundKey[] = [];
  #chunks: Uint8Array[] = [];
  #length = 0;
  /** Of the bytes held, these were searched: they are there for what stands around others. */
  #done = 0;
  /** The lines before the bytes held. */
  #lines = 0;

  constructor(knowledge: Knowledge) {
    this.#knowledge = knowledge;
  }

  push(chunk: Uint8Array): void {
    this.#chunks.push(chunk);
    this.#length += chunk.length;
    if (this.#length < PIECE_BYTES + 2 * REACH_BYTES) return;
    const bytes = Buffer.concat(this.#chunks);
    const settled = bytes.length - REACH_BYTES;
    this.#search(bytes, settled);
    const from = settled - REACH_BYTES;
    this.#lines += countLines(bytes.toString('latin1', 0, from));
    this.#chunks = [bytes.subarray(from)];
    this.#length = bytes.length - from;
    this.#done = settled - from;
  }

  end(): FoundKey[] {
    this.#search(Buffer.concat(this.#chunks), this.#length);
    return this.#found;
  }

  #search(bytes: Buffer, settled: number): void {
    const text = bytes.toString('latin1');
    let line = this.#lines + 1;
    let counted = 0;
    for (const place of this.#places(bytes, text)) {
      if (place.start < this.#done || place.start >= settled) continue;
      // What covers another key covers it here too.
      this.#done = place.end;
      const lineStart = text.lastIndexOf('\n', place.start) + 1;
      const lineEnd = text.indexOf('\n', place.end);
      line += countLines(text.slice(counted, place.start));
      counted = place.start;
      if (text.slice(lineStart, lineEnd < 0 ? undefined : lineEnd).includes(ALLOWED)) continue;
      const column = bytes.toString('utf8', lineStart, place.start).length + 1;
      this.#found.push({ line, column, ...described(place, text) });
    }
  }

  #places(bytes: Buffer, text: string): Place[] {
    const { redactor, variables } = this.#knowledge;
    const known = redactor.find(bytes).map(({ start, end, label }) => {
      return { start, end, provider: label.split('/')[0] ?? label, how: 'known', key: label } as const;
    });
    const seen = seenKeys(text, variables).filter(
      ({ start, end }) => !known.some((one) => one.start < end && start < one.end),
    );
    return [...known, ...seen].sort((one, other) => one.start - other.start);
  }
}

function described(
  { start, end, provider, how, key }: Place,
  text: string,
): Omit<FoundKey, 'line' | 'column'> {
  if (key !== undefined) return { provider, how, key };
  const fingerprint = createHash('sha256')
    .update(text.slice(start, end), 'latin1')
    .digest('hex')
    .slice(0, 12);
  return { provider, how, fingerprint };
}

function countLines(text: string): number {
  let count = 0;
  for (let at = text.indexOf('\n'); at >= 0; at = text.indexOf('\n', at + 1)) count++;
  return count;
}
