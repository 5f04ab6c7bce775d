/** Where in a request a known key stands, and the same text with another key. Pure. */
import type { AuthPlacement } from '../core/provider.js';
import type { ManagedOrigin } from '../manager/managed-origins.js';

/** The text in which a key was found, with this key in its place. */
export type WriteKey = (key: string) => string;

/** A subprotocol that carries a key, as in `openai-insecure-api-key.sk-…`. */
const SUBPROTOCOL_MARK = 'api-key.';

/** Finds the keys of one provider, in the places that its definition names. */
export class KeyFinder {
  readonly #isKnownKey: (text: string) => boolean;
  readonly #headers = new Set<string>();
  readonly #queryNames = new Set<string>();
  readonly #inPath: boolean;

  constructor(placements: readonly AuthPlacement[], isKnownKey: (text: string) => boolean) {
    this.#isKnownKey = isKnownKey;
    for (const placement of placements) {
      if (placement.in === 'header') this.#headers.add(placement.name.toLowerCase());
      if (placement.in === 'query') this.#queryNames.add(placement.name);
    }
    this.#inPath = placements.some((placement) => placement.in === 'path');
  }

  /** `name` in any case. */
  inHeader(name: string, value: string): WriteKey | undefined {
    const lowerName = name.toLowerCase();
    if (this.#headers.has(lowerName)) {
      const found = this.#afterScheme(value);
      if (found !== undefined) return found;
    }
    if (lowerName === 'authorization') return this.#inBasic(value);
    if (lowerName === 'sec-websocket-protocol') return this.#inSubprotocols(value);
    return undefined;
  }

  /** A path with its query, or a whole URL, as a proxy gets it. */
  inPath(path: string): WriteKey | undefined {
    const queryAt = path.indexOf('?');
    const hasParameters = queryAt !== -1 && this.#queryNames.size > 0;
    if (!this.#inPath && !hasParameters) return undefined;
    // The text around the keys; n keys leave n + 1 pieces.
    const pieces: string[] = [];
    let copied = 0;
    const cut = (from: number, to: number): void => {
      pieces.push(path.slice(copied, from));
      copied = to;
    };
    if (this.#inPath) this.#findSegments(path, queryAt === -1 ? path.length : queryAt, cut);
    if (hasParameters) this.#findParameters(path, queryAt + 1, cut);
    if (pieces.length === 0) return undefined;
    pieces.push(path.slice(copied));
    return (key) => pieces.join(encodeURIComponent(key));
  }

  /** A parameter that is not yet part of a path. */
  isQueryKey(name: string, value: unknown): boolean {
    return typeof value === 'string' && this.#queryNames.has(name) && this.#isKnownKey(value);
  }

  #afterScheme(value: string): WriteKey | undefined {
    if (this.#isKnownKey(value)) return (key) => key;
    const keyAt = value.lastIndexOf(' ') + 1;
    if (keyAt === 0 || !this.#isKnownKey(value.slice(keyAt))) return undefined;
    return (key) => value.slice(0, keyAt) + key;
  }

  #inBasic(value: string): WriteKey | undefined {
    const scheme = value.slice(0, 6);
    if (scheme.toLowerCase() !== 'basic ') return undefined;
    const pair = Buffer.from(value.slice(6), 'base64').toString();
    const colonAt = pair.indexOf(':');
    if (colonAt === -1) return undefined;
    const parts = [pair.slice(0, colonAt), pair.slice(colonAt + 1)];
    if (!parts.some(this.#isKnownKey)) return undefined;
    return (key) => {
      const replaced = parts.map((part) => (this.#isKnownKey(part) ? key : part)).join(':');
      return scheme + Buffer.from(replaced).toString('base64');
    };
  }

  #inSubprotocols(value: string): WriteKey | undefined {
    const markAt = value.indexOf(SUBPROTOCOL_MARK);
    if (markAt === -1) return undefined;
    const keyAt = markAt + SUBPROTOCOL_MARK.length;
    const commaAt = value.indexOf(',', keyAt);
    const end = commaAt === -1 ? value.length : commaAt;
    if (!this.#isKnownKey(value.slice(keyAt, end))) return undefined;
    return (key) => value.slice(0, keyAt) + key + value.slice(end);
  }

  #findSegments(path: string, end: number, found: (from: number, to: number) => void): void {
    for (let from = 0; from < end;) {
      const slashAt = path.indexOf('/', from);
      const to = slashAt === -1 || slashAt > end ? end : slashAt;
      if (to > from && this.#isKnownKey(decode(path.slice(from, to)))) found(from, to);
      from = to + 1;
    }
  }

  #findParameters(path: string, start: number, found: (from: number, to: number) => void): void {
    for (let from = start; from < path.length;) {
      const ampersandAt = path.indexOf('&', from);
      const to = ampersandAt === -1 ? path.length : ampersandAt;
      const equalsAt = path.indexOf('=', from);
      if (equalsAt !== -1 && equalsAt < to) {
        const isNamed = this.#queryNames.has(decode(path.slice(from, equalsAt)));
        if (isNamed && this.#isKnownKey(decode(path.slice(equalsAt + 1, to)))) found(equalsAt + 1, to);
      }
      from = to + 1;
    }
  }
}

function decode(text: string): string {
  if (!text.includes('%')) return text;
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

const finders = new WeakMap<ManagedOrigin, KeyFinder>();

export function keyFinderOf(managed: ManagedOrigin): KeyFinder {
  let finder = finders.get(managed);
  if (finder === undefined) {
    const { auth, authAlternatives } = managed.provider;
    finder = new KeyFinder([auth, ...authAlternatives], managed.isKnownKey);
    finders.set(managed, finder);
  }
  return finder;
}
