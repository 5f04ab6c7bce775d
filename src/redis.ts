/** The store of many hosts: a Redis or Valkey server. Client libraries are loaded when it connects. */
export { createRedisStore } from './stores/redis/store.js';
export type { RedisPlace, RedisStoreOptions } from './stores/redis/store.js';
export { fromIoredis } from './stores/redis/client-ioredis.js';
export type { IoredisCluster, IoredisServer } from './stores/redis/client-ioredis.js';
export { createRedisClient, fromNodeRedis } from './stores/redis/client-node-redis.js';
export type { NodeRedis, RedisClientOptions } from './stores/redis/client-node-redis.js';
export type { RedisClient, RedisScript, Reply } from './stores/redis/client.js';
