/** The headers of an HTTP/2 request as the application gives them: a record, or (Node 24 and later) a flat list. */
import type { KeyFinder } from './key-placement.js';

/** Headers in which a known key was found. */
export interface FoundKey {
  /** The headers with this key, in the form in which they came. */
  withKey(key: string): object;
  /** What the application gave, by names in lower case, where the key goes. */
  readonly originals: ReadonlyMap<string, unknown>;
}

interface Field {
  readonly name: string;
  readonly value: unknown;
  /** A name of the record, or an index into the list. */
  readonly at: string | number;
}

export class RequestHeaders {
  readonly #source: object;
  readonly #fields: readonly Field[];

  private constructor(source: object, fields: readonly Field[]) {
    this.#source = source;
    this.#fields = fields;
  }

  /** Undefined for what is Node's to refuse. */
  static of(headers: unknown): RequestHeaders | undefined {
    if (headers === undefined || headers === null) return new RequestHeaders({}, []);
    if (typeof headers !== 'object') return undefined;
    const fields = Array.isArray(headers) ? fieldsOfList(headers) : fieldsOfRecord(headers);
    return fields === undefined ? undefined : new RequestHeaders(headers, fields);
  }

  get(wanted: string): string | undefined {
    const found = this.#fields.find(({ name }) => name.toLowerCase() === wanted);
    return found === undefined ? undefined : textOf(found.value);
  }

  get path(): string {
    return this.get(':path') ?? '/';
  }

  get method(): string {
    return this.get(':method') ?? 'GET';
  }

  /** A tunnel has no path; a WebSocket over HTTP/2 has. */
  get isTunnel(): boolean {
    return this.method === 'CONNECT' && this.get(':protocol') === undefined;
  }

  /** Pseudo-headers left out; a name may come several times. */
  *entries(): Generator<readonly [name: string, value: string]> {
    for (const { name, value } of this.#fields) {
      if (name.startsWith(':')) continue;
      for (const one of Array.isArray(value) ? value : [value]) yield [name, textOf(one) ?? ''];
    }
  }

  find(finder: KeyFinder): FoundKey | undefined {
    const found = this.#fields.flatMap(({ name, value, at }) => {
      const write = writerFor(name, value, finder);
      return write === undefined ? [] : [{ at, name, value, write }];
    });
    if (found.length === 0) return undefined;
    return {
      withKey: (key) =>
        this.#changed((copy) => {
          for (const { at, write } of found) Object.assign(copy, { [at]: write(key) });
        }),
      originals: new Map(found.map(({ name, value }) => [name.toLowerCase(), value])),
    };
  }

  /** `names` in lower case. */
  without(names: ReadonlySet<string>): RequestHeaders {
    const kept = this.#fields.filter(({ name }) => !names.has(name.toLowerCase()));
    const isList = Array.isArray(this.#source);
    const source = isList
      ? kept.flatMap(({ name, value }) => [name, value])
      : Object.fromEntries(kept.map(({ name, value }) => [name, value]));
    const fields = isList ? kept.map((field, index) => ({ ...field, at: 2 * index + 1 })) : kept;
    return new RequestHeaders(Object.assign(source, symbolsOf(this.#source)), fields);
  }

  get source(): object {
    return this.#source;
  }

  /** Symbols stay: `http2.sensitiveHeaders` is one. */
  #changed(change: (copy: object) => void): object {
    const copy = Object.assign(Array.isArray(this.#source) ? [] : {}, this.#source);
    change(copy);
    return copy;
  }
}

function fieldsOfRecord(record: object): Field[] {
  return Object.entries(record).map(([name, value]) => ({ name, value: value as unknown, at: name }));
}

function fieldsOfList(list: readonly unknown[]): Field[] | undefined {
  const fields: Field[] = [];
  for (let at = 1; at < list.length; at += 2) {
    const name = list[at - 1];
    if (typeof name !== 'string') return undefined;
    fields.push({ name, value: list[at], at });
  }
  return fields;
}

function symbolsOf(source: object): object {
  return Object.fromEntries(
    Object.getOwnPropertySymbols(source).map((symbol) => [symbol, Reflect.get(source, symbol) as unknown]),
  );
}

function writerFor(name: string, value: unknown, finder: KeyFinder): ((key: string) => unknown) | undefined {
  if (name.startsWith(':'))
    return name === ':path' && typeof value === 'string' ? finder.inPath(value) : undefined;
  if (typeof value === 'string') return finder.inHeader(name, value);
  if (!Array.isArray(value)) return undefined;
  const writes = value.map((one: unknown) =>
    typeof one === 'string' ? finder.inHeader(name, one) : undefined,
  );
  if (writes.every((write) => write === undefined)) return undefined;
  return (key) => value.map((one: unknown, index) => writes[index]?.(key) ?? one);
}

function textOf(value: unknown): string | undefined {
  return typeof value === 'string' || typeof value === 'number' ? String(value) : undefined;
}
