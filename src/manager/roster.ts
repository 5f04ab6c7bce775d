import type { Configuration, ServiceDefinition } from '../config/configuration.js';
import { namedText } from '../config/plain-names.js';
import type { Credential } from '../core/credential.js';
import { keyIdOf } from '../core/credential.js';
import { KeymuxError } from '../core/errors.js';
import type { ProviderDefinition } from '../core/provider.js';
import { PROVIDER_STEP, strategies } from '../core/select.js';
import { ManagedOrigins } from './managed-origins.js';
import { Member, MemberContender } from './members.js';
import type { Owners } from './owners.js';
import { Pool } from './pool.js';
import type { PoolContext } from './pool.js';
import { findSharedBuckets } from './shared-buckets.js';
import type { SharedBucket } from './shared-buckets.js';

/** Who is there: the keys of the configuration, and the pools that serve its services and providers. */
export class Roster {
  readonly origins = new ManagedOrigins();
  readonly #context: PoolContext;
  readonly #fingerprintKey: () => Uint8Array;
  readonly #owners: Owners;
  readonly #pools = new Map<string, Pool>();
  #configuration: Configuration;
  #members: ReadonlyMap<string, Member> = new Map();
  #sharedBuckets: readonly SharedBucket[] = [];
  #ownersKnown = 0;

  /** Empty until `adopt`. */
  constructor(
    context: PoolContext,
    fingerprintKey: () => Uint8Array,
    owners: Owners,
    configuration: Configuration,
  ) {
    this.#context = context;
    this.#fingerprintKey = fingerprintKey;
    this.#owners = owners;
    this.#configuration = configuration;
  }

  get configuration(): Configuration {
    return this.#configuration;
  }

  get members(): ReadonlyMap<string, Member> {
    return this.#members;
  }

  /** Buckets that keys share since answers name one owner for them. */
  get sharedBuckets(): readonly SharedBucket[] {
    return this.#sharedBuckets;
  }

  /** More owners became known than `adopt` had regard to. */
  get isOutdated(): boolean {
    return this.#context.table.ownersKnown !== this.#ownersKnown;
  }

  get pools(): ReadonlyMap<string, Pool> {
    return this.#pools;
  }

  /** Takes up a configuration. Keys that stay keep all that is known of them; those that wait go on waiting. */
  adopt(configuration: Configuration): void {
    const members = new Map<string, Member>();
    for (const credential of configuration.credentials) {
      const provider = configuration.providers.get(credential.provider);
      if (provider === undefined) continue;
      const member =
        this.#unchanged(credential, provider) ??
        new Member(credential, provider, this.#context.table, this.#fingerprintKey);
      members.set(member.keyId, member);
    }
    this.#configuration = configuration;
    this.#shareBuckets(members);
    this.#members = members;
    this.#adoptServices(servicesOf(configuration));
    const { providers, services } = configuration;
    this.origins.adopt(providers.values(), members.values(), this, services.values());
  }

  /** The pool that holds the keys of this provider alone, also where a service of its name holds others. */
  poolOfProvider(id: string): Pool | undefined {
    return this.#pools.get(aloneName(id)) ?? this.#pools.get(id);
  }

  /** Throws `KEYMUX_UNKNOWN_SERVICE`. */
  poolOf(service: string): Pool {
    const pool = this.#pools.get(service);
    if (pool !== undefined) return pool;
    const known = [...this.#pools.keys()].join(', ');
    throw new KeymuxError(
      'KEYMUX_UNKNOWN_SERVICE',
      `There is no service or provider ${namedText(service)}.`,
      {
        fix:
          known === ''
            ? 'Set the key of a provider in the environment, or run `keymux init`.'
            : `Known: ${known}.`,
      },
    );
  }

  /** Throws `KEYMUX_UNKNOWN_KEY`. */
  memberOf(keyId: string): Member {
    const member = this.#members.get(keyId);
    if (member !== undefined) return member;
    throw new KeymuxError('KEYMUX_UNKNOWN_KEY', `There is no key ${namedText(keyId)}.`, {
      fix: `Name it as provider/id. Known: ${[...this.#members.keys()].join(', ') || 'none'}.`,
    });
  }

  /** Something changed that may let a waiting request go on. */
  wake(): void {
    for (const pool of this.#pools.values()) pool.room.wakeOne();
  }

  close(): void {
    for (const pool of this.#pools.values()) pool.close();
  }

  /** Requests under way remember the members that they met. */
  #unchanged(credential: Credential, provider: ProviderDefinition): Member | undefined {
    const member = this.#members.get(keyIdOf(credential));
    const isSame = member?.credential === credential && member.provider === provider;
    return isSame && member.bucketSource !== 'learnt' ? member : undefined;
  }

  #shareBuckets(members: Map<string, Member>): void {
    this.#ownersKnown = this.#context.table.ownersKnown;
    this.#sharedBuckets =
      this.#ownersKnown === 0
        ? []
        : findSharedBuckets(members.values(), (member) => this.#owners.ownerOf(member));
    for (const { bucket, members: sharing } of this.#sharedBuckets) {
      for (const member of sharing) members.set(member.keyId, member.joined(bucket));
    }
  }

  #adoptServices(services: ReadonlyMap<string, ServiceDefinition>): void {
    for (const [name, pool] of this.#pools) {
      if (services.has(name)) continue;
      pool.close();
      this.#pools.delete(name);
    }
    for (const [name, service] of services) {
      const pool = this.#pools.get(name) ?? new Pool(service.name, this.#context);
      pool.adopt(this.#contendersOf(service), strategies[service.strategy], service.failoverThreshold ?? 0);
      this.#pools.set(name, pool);
    }
  }

  #contendersOf(service: ServiceDefinition): MemberContender[] {
    const members = [...this.#members.values()];
    return service.providers.flatMap((provider, position) =>
      members
        .filter((member) => member.provider.id === provider)
        .map((member) => {
          const priority = position * PROVIDER_STEP + member.credential.priority;
          return new MemberContender(member, priority, this.#context.table, this.#context.permits);
        }),
    );
  }
}

/** A provider is its own service, under its own name or, where a service of that name holds others too, beside it. */
function servicesOf(configuration: Configuration): ReadonlyMap<string, ServiceDefinition> {
  const services = new Map<string, ServiceDefinition>(configuration.services);
  for (const provider of configuration.providers.keys()) {
    const declared = configuration.services.get(provider);
    if (declared !== undefined && declared.providers.every((id) => id === provider)) continue;
    const alone = { name: provider, providers: [provider], strategy: 'priority', implicit: true } as const;
    services.set(declared === undefined ? provider : aloneName(provider), alone);
  }
  return services;
}

/** No service that is declared can be called this. */
function aloneName(provider: string): string {
  return `${provider}/`;
}
