/** Requests as undici's `dispatch` gets them: where they go, where their key stands, what of them can be repeated. */
import { stringify } from 'node:querystring';
import type { Translation } from '../manager/managed-origins.js';
import type { KeyFinder, WriteKey } from './key-placement.js';
import type { DispatchOptions } from './undici-dispatcher.js';
import { ATTEMPT } from './undici-dispatcher.js';

export type OwnOptions = { -readonly [Name in keyof DispatchOptions]: DispatchOptions[Name] };

/** The options of an attempt: a copy, for the application keeps its own. */
export function attemptOptions(options: DispatchOptions): OwnOptions {
  // The mark comes first: a property that is added to a copy takes V8 ten times as long as the copy.
  return { [ATTEMPT]: true, ...options };
}

/** A request in which a known key was found. */
export class FoundRequest {
  readonly #options: DispatchOptions;
  readonly #headers: DispatchedHeaders;
  readonly #inHeaders: readonly FoundHeader[];
  readonly #inPath: WriteKey | undefined;
  readonly #inQuery: readonly string[];

  constructor(
    options: DispatchOptions,
    headers: DispatchedHeaders,
    inHeaders: readonly FoundHeader[],
    inPath: WriteKey | undefined,
    inQuery: readonly string[],
  ) {
    this.#options = options;
    this.#headers = headers;
    this.#inHeaders = inHeaders;
    this.#inPath = inPath;
    this.#inQuery = inQuery;
  }

  /** `name` in lower case. */
  header(name: string): string | undefined {
    return this.#headers.get(name);
  }

  withKey(key: string): OwnOptions {
    const own = attemptOptions(this.#options);
    if (this.#inHeaders.length > 0) own.headers = this.#headers.withKey(this.#inHeaders, key);
    if (this.#inPath !== undefined) own.path = this.#inPath(key);
    if (this.#inQuery.length > 0)
      own.query = { ...own.query, ...Object.fromEntries(this.#inQuery.map((name) => [name, key])) };
    return own;
  }
}

export function findKey(options: DispatchOptions, finder: KeyFinder): FoundRequest | undefined {
  const headers = new DispatchedHeaders(options.headers);
  const inHeaders = headers.find(finder);
  const inPath = finder.inPath(options.path);
  const inQuery = namesOfKeys(options.query, finder);
  if (inPath === undefined && inHeaders.length === 0 && inQuery.length === 0) return undefined;
  return new FoundRequest(options, headers, inHeaders, inPath, inQuery);
}

const NONE: readonly never[] = [];

function namesOfKeys(query: DispatchOptions['query'], finder: KeyFinder): readonly string[] {
  if (query === undefined || query === null) return NONE;
  return Object.keys(query).filter((name) => finder.isQueryKey(name, query[name]));
}

interface FoundHeader {
  /** An index into the flat list, or a name of the record. */
  readonly at: string | number;
  readonly write: (key: string) => unknown;
}

type Flat = readonly unknown[];
type Fields = Readonly<Record<string, unknown>>;

const NO_FIELDS: Fields = {};

/** The request for another provider. */
export function translated(options: DispatchOptions, translation: Translation): OwnOptions {
  const { origin, path, dropHeaders, holdsKey, setHeaders, body } = translation;
  const isDropped = (name: string, value: unknown): boolean =>
    OF_CONNECTION.has(name) ||
    name in setHeaders ||
    dropHeaders.has(name) ||
    [value].flat().some((text) => holdsKey(textOf(text) ?? ''));
  const kept = new DispatchedHeaders(options.headers).without(isDropped);
  return {
    ...attemptOptions(options),
    origin,
    path,
    query: undefined,
    headers: [...kept, ...Object.entries(setHeaders).flat()],
    body: body ?? null,
  };
}

/** undici writes them itself, as they fit origin and body. */
const OF_CONNECTION: ReadonlySet<string> = new Set(['host', 'content-length']);

/** With the query, as undici puts them together. */
export function wholePath({ path, query }: DispatchOptions): string {
  const isApart = query !== undefined && query !== null;
  return isApart ? `${path}?${stringify(query as Record<string, string>)}` : path;
}

/** Headers come as a flat list of names and values, as a record, or as something that yields pairs. */
export class DispatchedHeaders implements Iterable<readonly [string, string]> {
  readonly #flat: Flat | undefined;
  readonly #fields: Fields = NO_FIELDS;

  constructor(headers: unknown) {
    if (Array.isArray(headers)) this.#flat = headers as Flat;
    else if (isIterable(headers)) this.#flat = [...headers].flat();
    else if (typeof headers === 'object' && headers !== null) this.#fields = headers as Fields;
  }

  find(finder: KeyFinder): readonly FoundHeader[] {
    let found: FoundHeader[] | undefined;
    this.#visit((name, value, at) => {
      const write = Array.isArray(value) ? inList(name, value, finder) : inText(name, value, finder);
      if (write !== undefined) (found ??= []).push({ at, write });
    });
    return found ?? NONE;
  }

  get(wanted: string): string | undefined {
    let found: string | undefined;
    this.#visit((name, value) => {
      if (name.length === wanted.length && name.toLowerCase() === wanted) found ??= textOf(value);
    });
    return found;
  }

  withKey(found: readonly FoundHeader[], key: string): unknown {
    const own: Record<string | number, unknown> | unknown[] =
      this.#flat === undefined ? { ...this.#fields } : [...this.#flat];
    for (const { at, write } of found) (own as Record<string | number, unknown>)[at] = write(key);
    return own;
  }

  /** A flat list without those that are dropped; names in lower case. */
  without(isDropped: (name: string, value: unknown) => boolean): unknown[] {
    const kept: unknown[] = [];
    this.#visit((name, value) => {
      if (!isDropped(name.toLowerCase(), value)) kept.push(name, value);
    });
    return kept;
  }

  *[Symbol.iterator](): Iterator<readonly [string, string]> {
    const pairs: [string, string][] = [];
    this.#visit((name, value) => {
      for (const text of Array.isArray(value) ? value : [value])
        pairs.push([name, textOf(text) ?? String(text)]);
    });
    yield* pairs;
  }

  #visit(visit: (name: string, value: unknown, at: string | number) => void): void {
    if (this.#flat === undefined) {
      for (const name of Object.keys(this.#fields)) visit(name, this.#fields[name], name);
      return;
    }
    for (let at = 1; at < this.#flat.length; at += 2) {
      visit(String(this.#flat[at - 1]), this.#flat[at], at);
    }
  }
}

function inText(name: string, value: unknown, finder: KeyFinder): WriteKey | undefined {
  const text = textOf(value);
  return text === undefined ? undefined : finder.inHeader(name, text);
}

function inList(
  name: string,
  values: readonly unknown[],
  finder: KeyFinder,
): ((key: string) => unknown[]) | undefined {
  const writes = values.map((value) => inText(name, value, finder));
  if (writes.every((write) => write === undefined)) return undefined;
  return (key) => values.map((value, index) => writes[index]?.(key) ?? value);
}

function textOf(value: unknown): string | undefined {
  if (typeof value === 'string') return value;
  return Buffer.isBuffer(value) ? value.toString('latin1') : undefined;
}

function isIterable(value: unknown): value is Iterable<unknown> {
  return typeof value === 'object' && value !== null && Symbol.iterator in value;
}

/**
 * Whether a body can be sent again: what lies in memory can; what is generated (as the body of a `fetch` is) can be
 * `collect`ed first if it says that it is small enough.
 */
export function replayOf(body: unknown, found: Pick<FoundRequest, 'header'>, maxBytes: number): Replay {
  if (body === undefined || body === null || typeof body === 'string') return 'ready';
  if (ArrayBuffer.isView(body) || body instanceof ArrayBuffer) return 'ready';
  if (IN_MEMORY.has(Object.prototype.toString.call(body))) return 'ready';
  const isGenerated = typeof body === 'object' && Symbol.asyncIterator in body && !('pipe' in body);
  // Without a length this is NaN, which is within no limit.
  return isGenerated && Number(found.header('content-length')) <= maxBytes ? 'collect' : 'never';
}

/** By name, since each undici has classes of its own. */
const IN_MEMORY: ReadonlySet<string> = new Set(['[object FormData]', '[object Blob]', '[object File]']);

export type Replay = 'ready' | 'collect' | 'never';

/** What lies in memory as bytes; undefined where there is no body, or it is of another kind. */
export function bytesOf(body: unknown): Uint8Array | undefined {
  if (typeof body === 'string') return Buffer.from(body);
  if (ArrayBuffer.isView(body)) return new Uint8Array(body.buffer, body.byteOffset, body.byteLength);
  return body instanceof ArrayBuffer ? new Uint8Array(body) : undefined;
}

export async function collectBody(body: unknown): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of body as AsyncIterable<string | Uint8Array>) chunks.push(Buffer.from(chunk));
  return Buffer.concat(chunks);
}
