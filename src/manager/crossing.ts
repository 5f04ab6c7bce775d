/** Requests to one provider of a service with `rewrite`, answered by the others. */
import type { Rewrite } from '../config/configuration.js';
import type { KeymuxError } from '../core/errors.js';
import type { ProviderDefinition } from '../core/provider.js';
import { holdsKey } from '../core/written-key.js';
import {
  crossedPath,
  headersLeftBehind,
  keyHeader,
  modelOf,
  prefixOf,
  relocate,
  withModel,
} from '../providers/translation.js';
import type { Crossed } from '../providers/translation.js';
import type { Lease } from './lease.js';
import type { Crossing, Translation } from './managed-origins.js';
import { originRefused } from './destinations.js';
import type { Pool } from './pool.js';

const NOBODY: ReadonlySet<string> = new Set();

export class ServiceCrossing implements Crossing {
  readonly pool: Pool;
  /** The provider that requests were made for. */
  readonly home: ProviderDefinition;
  readonly #rewrite: Rewrite;
  readonly #keys: ReadonlySet<string>;
  readonly #left: ReadonlySet<string>;

  /** `keys`: all that stands for a key of `home`; it may grow. */
  constructor(home: ProviderDefinition, pool: Pool, rewrite: Rewrite, keys: ReadonlySet<string>) {
    this.home = home;
    this.pool = pool;
    this.#rewrite = rewrite;
    this.#keys = keys;
    this.#left = headersLeftBehind(home);
  }

  covers(path: string): boolean {
    return relocate(path, prefixOf(this.home.protocol), '') !== undefined;
  }

  unfit(path: string, body: Uint8Array | undefined): ReadonlySet<string> {
    if (!this.covers(path) || this.#carriesKey(path, body)) return this.#others();
    const model = modelOf(body);
    if (model === 'none') return NOBODY;
    if (model === 'opaque') return this.unfitForOpaque();
    const group = this.#groupOf(model.name);
    return this.#others((id) => group?.[id] === undefined);
  }

  /**
   * The same for a body that cannot be read, such as a form: where models have other names, it could name one that
   * the others do not know.
   */
  unfitForOpaque(): ReadonlySet<string> {
    return this.#rewrite.models.length === 0 ? NOBODY : this.#others();
  }

  #others(isMeant: (id: string) => boolean = () => true): ReadonlySet<string> {
    const ids = this.pool.contenders.map(({ member }) => member.provider.id);
    return new Set(ids.filter((id) => id !== this.home.id && isMeant(id)));
  }

  translate(path: string, body: Uint8Array | undefined, lease: Lease): Translation | undefined {
    const to = lease.member.provider;
    if (to.id === this.home.id) return undefined;
    const newPath = crossedPath(path, this.#crossed(to, lease.apiKey));
    // Told apart from "as it is": the request with another provider's key must not leave for the first one's host.
    if (newPath === undefined) throw this.#notCovered(to);
    const model = modelOf(body);
    const name = typeof model === 'object' ? this.#groupOf(model.name)?.[to.id] : undefined;
    return {
      origin: new URL(to.baseUrl).origin,
      path: newPath,
      dropHeaders: this.#left,
      holdsKey: (value) => this.holdsKey(value),
      setHeaders: keyHeader(to.auth, lease.apiKey),
      body: body === undefined || name === undefined ? body : withModel(body, name),
    };
  }

  #crossed(to: ProviderDefinition, apiKey: string): Crossed {
    return { from: this.home, to, apiKey, isOwnKey: (text) => this.#keys.has(text) };
  }

  #groupOf(model: string): Readonly<Record<string, string>> | undefined {
    return this.#rewrite.models.find((group) => group[this.home.id] === model);
  }

  holdsKey(text: string): boolean {
    return holdsAny(this.#keys, text);
  }

  /** A key of this provider would go along: in the body, or in a part of the path where none belongs. */
  #carriesKey(path: string, body: Uint8Array | undefined): boolean {
    const left = crossedPath(path, this.#crossed({ ...this.home, auth: NOWHERE }, ''));
    if (left !== undefined && this.holdsKey(left)) return true;
    if (body === undefined) return false;
    const bytes = Buffer.from(body.buffer, body.byteOffset, body.byteLength);
    return [...this.#keys].some((key) => bytes.includes(key));
  }

  #notCovered(to: ProviderDefinition): KeymuxError {
    const { id, protocol } = this.home;
    return originRefused(
      { provider: id, origin: new URL(to.baseUrl).origin },
      `A request to ${id} outside of its prefix "${prefixOf(protocol)}" cannot be sent to ${to.id}.`,
      `Correct \`providers.${id}.protocol.pathPrefix\`, or take the providers out of one service.`,
    );
  }
}

const NOWHERE = { in: 'header', name: 'none' } as const;

/** Whether one of these keys stands anywhere in a text, as it is or as in an address. */
export function holdsAny(keys: Iterable<string>, text: string): boolean {
  for (const key of keys) if (holdsKey(text, key)) return true;
  return false;
}
