/** The head of an HTTP/1.1 request as the text that goes over the wire. */
import type { KeyFinder, WriteKey } from './key-placement.js';

/** A head in which a known key was found. */
export interface FoundHead {
  readonly method: string;
  readonly path: string;
  readonly hasIdempotencyKey: boolean;
  /** The head with this key. */
  readonly withKey: WriteKey;
}

interface Edit {
  readonly from: number;
  readonly to: number;
  readonly write: WriteKey;
}

export function findKeyInHead(text: string, finder: KeyFinder): FoundHead | undefined {
  const lineEnd = text.indexOf('\r\n');
  const pathAt = text.indexOf(' ') + 1;
  const pathEnd = text.indexOf(' ', pathAt);
  const method = text.slice(0, pathAt - 1);
  if (lineEnd === -1 || pathEnd === -1 || pathEnd > lineEnd || method === 'CONNECT') return undefined;
  const path = text.slice(pathAt, pathEnd);
  const edits: Edit[] = [];
  let hasIdempotencyKey = false;
  const inPath = finder.inPath(path);
  if (inPath !== undefined) edits.push({ from: pathAt, to: pathEnd, write: inPath });
  for (let at = lineEnd + 2; ;) {
    const end = text.indexOf('\r\n', at);
    const colonAt = text.indexOf(': ', at);
    if (end <= at || colonAt === -1) break;
    const name = text.slice(at, colonAt);
    const write = finder.inHeader(name, text.slice(colonAt + 2, end));
    if (write !== undefined) edits.push({ from: colonAt + 2, to: end, write });
    if (isNamed(name, 'idempotency-key')) hasIdempotencyKey = true;
    // Sent while the request is still being made, with a body that waits for the provider: left alone.
    if (isNamed(name, 'expect')) return undefined;
    at = end + 2;
  }
  if (edits.length === 0) return undefined;
  return { method, path, hasIdempotencyKey, withKey: (key) => applyEdits(text, edits, key) };
}

export function pathIn(text: string): string {
  const pathAt = text.indexOf(' ') + 1;
  return text.slice(pathAt, text.indexOf(' ', pathAt));
}

export function headersIn(text: string): [name: string, value: string][] {
  const [, ...lines] = text.split('\r\n');
  return lines.flatMap((line) => {
    const colonAt = line.indexOf(': ');
    return colonAt === -1 ? [] : [[line.slice(0, colonAt), line.slice(colonAt + 2)]];
  });
}

/** `names`: in lower case. */
export function withoutHeaders(text: string, names: ReadonlySet<string>): string {
  const isKept = (line: string): boolean =>
    !names.has(line.slice(0, Math.max(0, line.indexOf(':'))).toLowerCase());
  return text.split('\r\n').filter(isKept).join('\r\n');
}

function isNamed(name: string, wanted: string): boolean {
  return name.length === wanted.length && name.toLowerCase() === wanted;
}

function applyEdits(text: string, edits: readonly Edit[], key: string): string {
  let result = '';
  let copied = 0;
  for (const { from, to, write } of edits) {
    result += text.slice(copied, from) + write(key);
    copied = to;
  }
  return result + text.slice(copied);
}
