/** A caller's request as the provider of a lease gets it: its key placed, the caller's token left out. */
import type { ProviderDefinition } from '../core/provider.js';
import type { ServiceCrossing } from '../manager/crossing.js';
import type { KeyManager } from '../manager/key-manager.js';
import type { Lease } from '../manager/lease.js';
import type { MemberContender } from '../manager/members.js';
import type { Pool } from '../manager/pool.js';
import { virtualKeysOf } from '../manager/virtual-keys.js';
import { keyHeader, prefixOf } from '../providers/translation.js';
import type { RawHeaders, TokenPlaces } from './forward-headers.js';
import {
  pathWithKey,
  requestHeaders,
  tokenPlacesOf,
  withoutKey,
  withoutParameters,
} from './forward-headers.js';
import type { ForwardTarget } from './target.js';

interface Placed {
  /** As `new URL(…).origin` writes it. */
  readonly origin: string;
  readonly path: string;
  readonly headers: RawHeaders;
  /** Present where the provider gets another body than the caller sent. */
  readonly body?: Uint8Array;
}

/** Where a provider is. */
interface Site {
  readonly origin: string;
  /** What `baseUrl` has behind its origin, without a slash at the end. */
  readonly prefix: string;
}

const sites = new WeakMap<ProviderDefinition, Site>();

function siteOf(provider: ProviderDefinition): Site {
  let site = sites.get(provider);
  if (site === undefined) {
    const { origin, pathname } = new URL(provider.baseUrl);
    sites.set(provider, (site = { origin, prefix: pathname.replace(/\/$/, '') }));
  }
  return site;
}

/** By what a pool holds, which is another list once the configuration was read anew. */
const places = new WeakMap<readonly MemberContender[], TokenPlaces>();

function placesOf({ contenders }: Pool): TokenPlaces {
  let known = places.get(contenders);
  if (known === undefined)
    places.set(contenders, (known = tokenPlacesOf(contenders.map(({ member }) => member.provider))));
  return known;
}

/** One request, for whichever provider it goes to. */
export class Placement {
  /** As its first provider has it. */
  readonly path: string;
  readonly crossing: ServiceCrossing | undefined;
  readonly #manager: KeyManager;
  readonly #target: ForwardTarget;
  readonly #headers: RawHeaders;

  constructor(manager: KeyManager, target: ForwardTarget, rawHeaders: readonly string[]) {
    const known = placesOf(target.pool);
    this.#manager = manager;
    this.#target = target;
    this.#headers = requestHeaders(rawHeaders, known.headers);
    this.crossing = manager.origins.crossingOf(target.pool.service);
    const path = withoutParameters(target.path, known.parameters);
    this.path = this.crossing === undefined ? path : homePath(this.crossing, path);
  }

  /** Throws `KEYMUX_LEASE_ENDED` where the permit ran out meanwhile. */
  place(lease: Lease, body: Uint8Array | undefined): Placed {
    const { provider } = lease.member;
    const site = siteOf(provider);
    const { crossing } = this;
    if (crossing === undefined) return this.#keyed(lease, site.origin, site.prefix + this.path);
    const translated = crossing.translate(this.path.replace('/{key}', ''), body, lease);
    if (translated === undefined) return this.#keyed(lease, site.origin, this.path);
    const { origin, path, dropHeaders, setHeaders, holdsKey } = translated;
    const headers: RawHeaders = [];
    for (let at = 0; at < this.#headers.length; at += 2) {
      const [name, value] = [this.#headers[at] as string, this.#headers[at + 1] as string];
      const lowerName = name.toLowerCase();
      if (lowerName === 'content-length' || dropHeaders.has(lowerName) || holdsKey(value)) continue;
      headers.push(name, value);
    }
    for (const [name, value] of Object.entries(setHeaders)) headers.push(name, value);
    return { origin, path, headers, ...(translated.body === undefined ? {} : { body: translated.body }) };
  }

  #keyed(lease: Lease, origin: string, path: string): Placed {
    const { auth } = lease.member.provider;
    const { apiKey } = lease;
    const headers = [...this.#headers];
    const added = keyHeader(auth, apiKey);
    for (const name in added) headers.push(name, added[name] as string);
    const open = auth.in === 'path' ? this.#withoutToken(path, lease) : path;
    return { origin, path: pathWithKey(open, auth, apiKey), headers };
  }

  /** A virtual key in the path stands where the key goes. */
  #withoutToken(path: string, { provider }: Lease): string {
    const own = virtualKeysOf(this.#manager).all.find(
      (key) => key.provider === provider && path.includes(key.text),
    );
    return own === undefined ? path : path.replace(own.text, '{key}');
  }

  /** Where an answer redirects to, as the caller gets it: without the key, and to us where it leads to the provider. */
  locationFor(lease: Lease, location: string): string {
    const { provider, credential } = lease.member;
    const open = withoutKey(location, credential.secret.reveal());
    const { origin, prefix } = siteOf(provider);
    if (!URL.canParse(open, origin)) return open;
    const to = new URL(open, origin + prefix + this.path);
    if (to.origin !== origin) return open;
    const rest = `${to.pathname}${to.search}${to.hash}`;
    if (this.crossing !== undefined) return `/${this.#target.name}${rest}`;
    return rest.startsWith(`${prefix}/`) ? `/${this.#target.name}${rest.slice(prefix.length)}` : to.href;
  }
}

/** Clients give the path of the first provider, or what comes after the prefix of its protocol. */
function homePath(crossing: ServiceCrossing, path: string): string {
  return crossing.covers(path) ? path : prefixOf(crossing.home.protocol) + path;
}
