/** Requests as undici's `dispatch` gets them: where they go, where their key stands, what of them can be repeated. */
import { stringify } from 'node:querystring';
import type { Translation } from '../manager/managed-origins.js';
import type { KeyFinder, WriteKey } from './key-placement.js';

/** The options of `dispatch` that matter here; the others pass through. */
export interface DispatchOptions {
  readonly origin?: string | URL | undefined;
  readonly path: string;
  readonly method?: string;
  readonly headers?: unknown;
  readonly body?: unknown;
  /** Null after a redirect. */
  readonly query?: Readonly<Record<string, unknown>> | null | undefined;
  /** Stands in for the host in TLS. */
  readonly servername?: string | undefined;
  readonly upgrade?: unknown;
}

/** A dispatcher of any undici, built in or from npm. */
export interface Dispatcher {
  readonly closed?: boolean;
  readonly destroyed?: boolean;
}

export type Dispatch = (options: DispatchOptions, handler: object) => boolean;

/** A request in which a known key was found. */
export interface FoundRequest {
  withKey(key: string): DispatchOptions;
  /** `name` in lower case. */
  header(name: string): string | undefined;
}

export function findKey(options: DispatchOptions, finder: KeyFinder): FoundRequest | undefined {
  const headers = new DispatchedHeaders(options.headers);
  const inPath = finder.inPath(options.path);
  const inHeaders = headers.find(finder);
  const inQuery = namesOfKeys(options.query ?? {}, finder);
  if (inPath === undefined && inHeaders.length === 0 && inQuery.length === 0) return undefined;
  return {
    header: (name) => headers.get(name),
    withKey: (key) => ({
      ...options,
      path: inPath === undefined ? options.path : inPath(key),
      headers: inHeaders.length === 0 ? options.headers : headers.withKey(inHeaders, key),
      ...(inQuery.length === 0
        ? {}
        : { query: { ...options.query, ...Object.fromEntries(inQuery.map((name) => [name, key])) } }),
    }),
  };
}

function namesOfKeys(query: object, finder: KeyFinder): string[] {
  return Object.entries(query).flatMap(([name, value]) => (finder.isQueryKey(name, value) ? [name] : []));
}

interface FoundHeader {
  /** An index into the flat list, or a name of the record. */
  readonly at: string | number;
  readonly write: (key: string) => unknown;
}

type Flat = readonly unknown[];
type Fields = Readonly<Record<string, unknown>>;

/** The request for another provider. */
export function translated(options: DispatchOptions, translation: Translation): DispatchOptions {
  const { origin, path, dropHeaders, setHeaders, body } = translation;
  const isDropped = (name: string): boolean =>
    OF_CONNECTION.has(name) || name in setHeaders || dropHeaders.has(name);
  return {
    ...options,
    origin,
    path,
    query: undefined,
    headers: [
      ...new DispatchedHeaders(options.headers).without(isDropped),
      ...Object.entries(setHeaders).flat(),
    ],
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
  readonly #fields: Fields;

  constructor(headers: unknown) {
    this.#fields = {};
    if (Array.isArray(headers)) this.#flat = headers as Flat;
    else if (isIterable(headers)) this.#flat = [...headers].flat();
    else if (typeof headers === 'object' && headers !== null) this.#fields = headers as Fields;
  }

  find(finder: KeyFinder): FoundHeader[] {
    const found: FoundHeader[] = [];
    this.#visit((name, value, at) => {
      const write = Array.isArray(value) ? inList(name, value, finder) : inText(name, value, finder);
      if (write !== undefined) found.push({ at, write });
    });
    return found;
  }

  get(wanted: string): string | undefined {
    let found: string | undefined;
    this.#visit((name, value) => {
      if (name.length === wanted.length && name.toLowerCase() === wanted) found ??= textOf(value);
    });
    return found;
  }

  withKey(found: readonly FoundHeader[], key: string): unknown {
    const replaced = this.#flat === undefined ? { ...this.#fields } : [...this.#flat];
    for (const { at, write } of found) Object.assign(replaced, { [at]: write(key) });
    return replaced;
  }

  /** A flat list without those whose name, in lower case, is dropped. */
  without(isDropped: (name: string) => boolean): unknown[] {
    const kept: unknown[] = [];
    this.#visit((name, value) => {
      if (!isDropped(name.toLowerCase())) kept.push(name, value);
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
      visit(textOf(this.#flat[at - 1]) ?? '', this.#flat[at], at);
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

/** By dispatcher; `undefined` for those that are bound to none. */
const boundOrigins = new WeakMap<object, string | undefined>();

/**
 * The origin that a client or pool is bound to. An agent has none: it chooses one of its pools, which is dispatched to
 * in turn. Only this decides where a request goes; `options.origin` does not.
 */
export function boundOrigin(dispatcher: object): string | undefined {
  const known = boundOrigins.get(dispatcher);
  if (known !== undefined || boundOrigins.has(dispatcher)) return known;
  const symbol = Object.getOwnPropertySymbols(dispatcher).find(({ description }) => description === 'url');
  const url: unknown = symbol === undefined ? undefined : Reflect.get(dispatcher, symbol);
  const origin = url instanceof URL ? url.origin : undefined;
  boundOrigins.set(dispatcher, origin);
  return origin;
}
