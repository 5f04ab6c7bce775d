/** Requests as undici's `dispatch` gets them: where they go, where their key stands, what of them can be repeated. */
import type { KeyFinder, WriteKey } from './key-placement.js';

/** The options of `dispatch` that matter here; the others pass through. */
export interface DispatchOptions {
  readonly origin?: string | URL | undefined;
  readonly path: string;
  readonly method?: string;
  readonly headers?: unknown;
  readonly body?: unknown;
  readonly query?: Readonly<Record<string, unknown>>;
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
  header(name: string): string | undefined;
}

export function findKey(options: DispatchOptions, finder: KeyFinder): FoundRequest | undefined {
  const headers = new DispatchedHeaders(options.headers);
  const inPath = finder.inPath(options.path);
  const inHeaders = headers.find(finder);
  const inQuery = options.query === undefined ? [] : namesOfKeys(options.query, finder);
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

/** Headers come as a flat list of names and values, as a record, or as something that yields pairs. */
class DispatchedHeaders {
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
export function replayOf(body: unknown, contentLength: () => string | undefined, maxBytes: number): Replay {
  if (body === undefined || body === null || typeof body === 'string') return 'ready';
  if (ArrayBuffer.isView(body) || body instanceof ArrayBuffer) return 'ready';
  if (IN_MEMORY.has(Object.prototype.toString.call(body))) return 'ready';
  const isGenerated = typeof body === 'object' && Symbol.asyncIterator in body && !('pipe' in body);
  // Without a length this is NaN, which is within no limit.
  return isGenerated && Number(contentLength()) <= maxBytes ? 'collect' : 'never';
}

/** By name, since each undici has classes of its own. */
const IN_MEMORY: ReadonlySet<string> = new Set(['[object FormData]', '[object Blob]', '[object File]']);

export type Replay = 'ready' | 'collect' | 'never';

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
