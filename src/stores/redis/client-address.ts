import { KeymuxError } from '../../core/errors.js';
import { parseRedisAddress } from '../../core/redis-address.js';
import type { RedisAddress } from '../../core/redis-address.js';

/** @throws `KEYMUX_CONFIG_INVALID`, with nothing of the address in it */
export function parseAddress(url: string): RedisAddress {
  const address = parseRedisAddress(url);
  if (!('fault' in address)) return address;
  throw new KeymuxError('KEYMUX_CONFIG_INVALID', `The address of the Redis store ${address.fault}.`, {
    fix: 'Write it as redis://user:password@host:6379, redis+sentinel://host:26379,host:26379/master or redis+cluster://host:6379,host:6379 (rediss for TLS).',
  });
}
