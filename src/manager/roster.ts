import type { Configuration, ServiceDefinition } from '../config/configuration.js';
import { KeymuxError } from '../core/errors.js';
import { strategies } from '../core/select.js';
import { ManagedOrigins } from './managed-origins.js';
import { Member, MemberContender } from './members.js';
import { Pool } from './pool.js';
import type { PoolContext } from './pool.js';

/** A provider's place in a service weighs more than any priority of a key within its provider. */
const PROVIDER_STEP = 1_000_000_000;

/** Who is there: the keys of the configuration, and the pools that serve its services and providers. */
export class Roster {
  readonly origins = new ManagedOrigins();
  readonly #context: PoolContext;
  readonly #fingerprintKey: () => Uint8Array;
  readonly #pools = new Map<string, Pool>();
  #configuration: Configuration;
  #members: ReadonlyMap<string, Member> = new Map();

  /** Empty until `adopt`. */
  constructor(context: PoolContext, fingerprintKey: () => Uint8Array, configuration: Configuration) {
    this.#context = context;
    this.#fingerprintKey = fingerprintKey;
    this.#configuration = configuration;
  }

  get configuration(): Configuration {
    return this.#configuration;
  }

  get members(): ReadonlyMap<string, Member> {
    return this.#members;
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
      const member = new Member(credential, provider, this.#context.table, this.#fingerprintKey);
      members.set(member.keyId, member);
    }
    this.#configuration = configuration;
    this.#members = members;
    this.#adoptServices(servicesOf(configuration));
    this.origins.adopt(configuration.providers.values(), members.values(), this.#pools);
  }

  /** Throws `KEYMUX_UNKNOWN_SERVICE`. */
  poolOf(service: string): Pool {
    const pool = this.#pools.get(service);
    if (pool !== undefined) return pool;
    const known = [...this.#pools.keys()].join(', ');
    throw new KeymuxError('KEYMUX_UNKNOWN_SERVICE', `There is no service or provider "${service}".`, {
      fix:
        known === ''
          ? 'Set the key of a provider in the environment, or run `keymux init`.'
          : `Known: ${known}.`,
    });
  }

  /** Throws `KEYMUX_UNKNOWN_KEY`. */
  memberOf(keyId: string): Member {
    const member = this.#members.get(keyId);
    if (member !== undefined) return member;
    throw new KeymuxError('KEYMUX_UNKNOWN_KEY', `There is no key "${keyId}".`, {
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

  #adoptServices(services: ReadonlyMap<string, ServiceDefinition>): void {
    for (const [name, pool] of this.#pools) {
      if (services.has(name)) continue;
      pool.close();
      this.#pools.delete(name);
    }
    for (const service of services.values()) {
      const pool = this.#pools.get(service.name) ?? new Pool(service.name, this.#context);
      pool.adopt(this.#contendersOf(service), strategies[service.strategy], service.failoverThreshold ?? 0);
      this.#pools.set(service.name, pool);
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

/** A provider can always be asked for by its own name, also where a service of that name means something else. */
function servicesOf(configuration: Configuration): ReadonlyMap<string, ServiceDefinition> {
  const services = new Map<string, ServiceDefinition>(configuration.services);
  for (const provider of configuration.providers.keys()) {
    if (services.has(provider)) continue;
    services.set(provider, { name: provider, providers: [provider], strategy: 'priority', implicit: true });
  }
  return services;
}
