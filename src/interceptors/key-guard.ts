/**
 * Watches over where keys go. Adapters ask it about every request just before its first bytes leave, also about
 * requests to origins that nobody manages, and about every redirect that a managed origin answers with:
 *
 * ```ts
 * const guard = guardOf(manager); // once, at installation
 *
 * // Before a key in the request is replaced and its head is sent. Requests under `isOwned()` are not shown.
 * if (guard.isOnWatch) {
 *   const dropped = guard.check({ origin, path, headers, connection }); // throws KEYMUX_ORIGIN_REFUSED
 *   if (dropped !== undefined) …send it without the headers of these names (lower case)…
 * }
 *
 * // The head of an answer with a status of 300 to 399 and a `location`, before the application gets it.
 * location = guard.redirect(lease, requestedUrl, location);
 * ```
 *
 * What is thrown is for the application: it is the error of its request, which is neither sent nor repeated. All of
 * it is synchronous. Where there are no virtual keys and nobody redirected elsewhere lately, `isOnWatch` is false and
 * nothing else is to be asked. A request that passes is then treated as ever: `findKey…` with `keyFinderOf(managed)`
 * finds the virtual key as it finds a captured one.
 */
import type { KeymuxError } from '../core/errors.js';
import type { AuthPlacement, ProviderDefinition } from '../core/provider.js';
import { replaceKey } from '../core/written-key.js';
import type { KeyManager } from '../manager/key-manager.js';
import type { Lease } from '../manager/lease.js';
import type { ManagedOrigin } from '../manager/managed-origins.js';
import { originRefused } from '../manager/destinations.js';
import { virtualKeysOf } from '../manager/virtual-keys.js';
import type { VirtualKey, VirtualKeys } from '../manager/virtual-keys.js';
import type { ConnectionFacts } from './connection-trust.js';
import { judgeConnection } from './connection-trust.js';
import { keyFinderOf } from './key-placement.js';

/** A request that is about to leave. */
export interface Outgoing {
  /** What it connects to, as `new URL(…).origin` writes it; never from the Host header. Undefined: not known. */
  readonly origin: string | undefined;
  /** With the query; a whole URL where a proxy gets it. */
  readonly path: string;
  /** Names in any case; a name may come several times. */
  readonly headers: Iterable<readonly [name: string, value: string]>;
  /** How it connects. Asked only where a virtual key would be turned into a real one. */
  connection(): ConnectionFacts;
}

/** How long a request to the target of a redirect is taken for one that follows it. */
const REDIRECT_MEMORY_MS = 600_000;
const MOST_REDIRECT_TARGETS = 64;

/** Where an origin of a provider sent its clients. */
interface RedirectTarget {
  readonly from: Set<ManagedOrigin>;
  until: number;
}

export class KeyGuard {
  readonly #manager: KeyManager;
  readonly #virtual: VirtualKeys;
  readonly #now: () => number;
  /** By origin, the one that was redirected to longest ago first. */
  readonly #targets = new Map<string, RedirectTarget>();

  /** `now`: milliseconds, of any clock that only goes forward. */
  constructor(manager: KeyManager, now: () => number = () => performance.now()) {
    this.#manager = manager;
    this.#virtual = virtualKeysOf(manager);
    this.#now = now;
  }

  /** Whether requests have to be checked at all. */
  get isOnWatch(): boolean {
    return this.#targets.size > 0 || this.#virtual.size > 0;
  }

  /**
   * Refuses a request in which a virtual key stands where it does not belong, or whose connection may lead elsewhere
   * than its origin says. Returns the names, in lower case, of headers in which a client that follows a redirect
   * carries a key to a place that is not its provider's: they must not go along.
   * @throws `KEYMUX_ORIGIN_REFUSED`
   */
  check(request: Outgoing): ReadonlySet<string> | undefined {
    const dropped = this.#carriedAlong(request);
    if (this.#virtual.size > 0) this.#checkPlaces(request, dropped);
    return dropped;
  }

  /**
   * The `location` of a redirect as the application gets it, and a note of where it leads. `lease` is that of the
   * attempt which was redirected, `requestedUrl` what was requested, with or without its key. A real key that the provider
   * echoes is taken out on the way elsewhere; within the provider's origins it becomes the virtual key, if there is one.
   */
  redirect(lease: Lease, requestedUrl: string, location: string): string {
    const { provider, credential } = lease.member;
    const own = this.#virtual.of(provider.id);
    const target = URL.canParse(location, requestedUrl) ? new URL(location, requestedUrl).origin : undefined;
    if (target !== undefined && provider.origins.includes(target))
      return own === undefined ? location : replaceKey(location, credential.secret.reveal(), own.text);
    if (target !== undefined && target !== 'null') this.#remember(provider, target);
    return replaceKey(location, credential.secret.reveal(), '');
  }

  // --- redirects ------------------------------------------------------------------------------------------------

  #remember(provider: ProviderDefinition, target: string): void {
    const managed = provider.origins.map((origin) => this.#manager.origins.find(origin)).find(Boolean);
    if (managed === undefined) return;
    const from = this.#targets.get(target)?.from ?? new Set();
    // The last one in the map is the latest.
    this.#targets.delete(target);
    this.#targets.set(target, { from: from.add(managed), until: this.#now() + REDIRECT_MEMORY_MS });
    const [oldest] = this.#targets.keys();
    if (this.#targets.size > MOST_REDIRECT_TARGETS && oldest !== undefined) this.#targets.delete(oldest);
  }

  #targetOf(origin: string | undefined): RedirectTarget | undefined {
    const now = this.#now();
    for (const [target, { until }] of this.#targets) {
      if (until > now) break;
      this.#targets.delete(target);
    }
    return origin === undefined ? undefined : this.#targets.get(origin);
  }

  #carriedAlong({ origin, headers }: Outgoing): Set<string> | undefined {
    if (this.#targets.size === 0) return undefined;
    const target = this.#targetOf(origin);
    if (target === undefined) return undefined;
    const own = this.#manager.origins.find(origin ?? '');
    let dropped: Set<string> | undefined;
    for (const [name, value] of headers) {
      if (own !== undefined && keyFinderOf(own).inHeader(name, value) !== undefined) continue;
      for (const managed of target.from)
        if (managed.holdsKey(readable(name.toLowerCase(), value)))
          (dropped ??= new Set()).add(name.toLowerCase());
    }
    return dropped;
  }

  // --- virtual keys ---------------------------------------------------------------------------------------------

  #checkPlaces(request: Outgoing, dropped: ReadonlySet<string> | undefined): void {
    const { origin, path, headers } = request;
    const home = origin === undefined ? undefined : this.#manager.origins.find(origin);
    const finder = home === undefined ? undefined : keyFinderOf(home);
    const inPath = finder?.inPath(path);
    let isInPlace = inPath !== undefined;
    this.#refuseIn(decoded(inPath?.('') ?? path), placeInPath, home, origin);
    for (const [name, value] of headers) {
      const lowerName = name.toLowerCase();
      if (dropped?.has(lowerName) === true) continue;
      const inHeader = finder?.inHeader(name, value);
      if (inHeader !== undefined) isInPlace = true;
      this.#refuseIn(name, () => 'the name of a header', home, origin);
      this.#refuseIn(
        readable(lowerName, inHeader?.('') ?? value),
        () => `the header "${lowerName}"`,
        home,
        origin,
      );
    }
    const key = isInPlace && home !== undefined ? this.#virtual.of(home.provider.id) : undefined;
    if (key === undefined) return;
    const fault = judgeConnection(origin ?? '', request.connection());
    if (fault !== undefined) throw this.#untrusted(key, fault, origin);
  }

  /** `text`: a part of the request without what stands in its place. */
  #refuseIn(
    text: string,
    placeIn: (text: string, key: string) => string,
    home: ManagedOrigin | undefined,
    origin: string | undefined,
  ): void {
    for (const key of this.#virtual.all) {
      if (text.includes(key.text)) throw this.#misplaced(key, placeIn(text, key.text), home, origin);
    }
  }

  #misplaced(
    { provider }: VirtualKey,
    place: string,
    home: ManagedOrigin | undefined,
    origin: string | undefined,
  ): KeymuxError {
    const definition = this.#manager.configuration.providers.get(provider);
    const rule = definition === undefined ? '' : ` It may stand in ${placesOf(definition)} only.`;
    const origins = definition?.origins.join(', ') ?? '';
    if (home?.provider.id === provider)
      return originRefused(
        { provider, origin, fault: `it stands in ${place.split(' "', 1)[0]}` },
        `A virtual key of ${provider} stands in ${place} of a request to ${origin}.${rule}${NOT_SENT}`,
        `Send the key where ${provider} expects it, or state the place in providers.${provider}.auth.`,
      );
    return originRefused(
      { provider, origin },
      `A virtual key of ${provider} stands in ${place} of a request to ${origin ?? 'a destination that keymux cannot see'}. It may go to ${origins || 'no origin'} only (mode: virtual).${NOT_SENT}`,
      `Send it to ${provider} alone; if this origin is one of its own, add it to providers.${provider}.origins.`,
    );
  }

  #untrusted({ provider }: VirtualKey, fault: string, origin: string | undefined): KeymuxError {
    return originRefused(
      { provider, origin, fault },
      `The virtual key of ${provider} is not turned into a real one for a request to ${origin}: ${fault}.${NOT_SENT}`,
      `Let the client connect in the usual way, or set providers.${provider}.mode to direct.`,
    );
  }
}

const NOT_SENT = ' The request was not sent.';

/** Basic credentials in the open, so that what is in them can be found. `name`: in lower case. */
function readable(name: string, value: string): string {
  if (!name.endsWith('authorization') || !/^basic /i.test(value)) return value;
  return Buffer.from(value.slice(6), 'base64').toString();
}

function decoded(text: string): string {
  if (!text.includes('%')) return text;
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

function placeInPath(path: string, text: string): string {
  const queryAt = path.indexOf('?');
  const at = path.indexOf(text);
  if (queryAt === -1 || at < queryAt) return 'the path';
  const from = path.lastIndexOf('&', at);
  const name = path.slice(Math.max(from, queryAt) + 1, at).split('=', 1)[0] ?? '';
  return `the query parameter ${JSON.stringify(name)}`;
}

function placesOf({ auth, authAlternatives }: ProviderDefinition): string {
  return [auth, ...authAlternatives].map(placeOf).join(' or ');
}

function placeOf(placement: AuthPlacement): string {
  switch (placement.in) {
    case 'header':
      return `the header "${placement.name.toLowerCase()}"`;
    case 'query':
      return `the query parameter "${placement.name}"`;
    case 'path':
      return 'the path';
    case 'basic':
      return 'basic authorization';
  }
}

const guards = new WeakMap<KeyManager, KeyGuard>();

/** The guard of a manager: one for all its adapters. */
export function guardOf(manager: KeyManager): KeyGuard {
  let guard = guards.get(manager);
  if (guard === undefined) guards.set(manager, (guard = new KeyGuard(manager)));
  return guard;
}
