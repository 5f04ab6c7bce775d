/** The Redis store as a configuration describes it. */
import type { RedisDefinition, RedisTls } from '../config/configuration.js';
import type { Store, StoreOptions } from '../core/ports.js';
import { createRedisClient } from '../stores/redis/client-node-redis.js';
import type { RedisClientOptions } from '../stores/redis/client-node-redis.js';
import type { RedisClient } from '../stores/redis/client.js';
import { createRedisStore } from '../stores/redis/store.js';

export function openRedisStore(definition: RedisDefinition, options: StoreOptions): Store {
  return createRedisStore({ ...options, client: createClientFor(definition), prefix: definition.prefix });
}

/** Connects nowhere yet; the library is loaded by its first `connect`. */
export function createClientFor({ url, tls }: RedisDefinition): RedisClient {
  return createRedisClient(url.reveal(), tls === undefined ? {} : { tls: tlsOptionsOf(tls) });
}

function tlsOptionsOf({ ca, cert, key, serverName }: RedisTls): NonNullable<RedisClientOptions['tls']> {
  return {
    ...(ca === undefined ? {} : { caFile: ca }),
    ...(cert === undefined ? {} : { certFile: cert }),
    ...(key === undefined ? {} : { keyFile: key }),
    ...(serverName === undefined ? {} : { serverName }),
  };
}
