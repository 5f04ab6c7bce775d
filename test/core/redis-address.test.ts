import { describe, expect, it } from 'vitest';
import { parseRedisAddress } from '#keymux/core/redis-address.js';

describe('an address of Redis', () => {
  it.each([
    'redis://localhost',
    'redis://127.0.0.1:6379/0',
    'redis://[::1]:6379',
    'redis://:p%40ss@h',
    'redis://user@h/15',
    'rediss+sentinel://u:p@a:26379,b:26379/mymaster',
    'redis+sentinel://a/mymaster/3',
    'redis+cluster://a:7000,b:7001',
    'rediss+cluster://a/',
  ])('may be %s', (address) => {
    expect(parseRedisAddress(address)).not.toHaveProperty('fault');
  });

  it.each([
    ['rediss+sentinel://u:p@a:26379,b/mymaster/3', 'rediss+sentinel://a:26379,b/mymaster/3'],
    ['redis://:p@h/', 'redis://h'],
  ])('is shown without user and password: %s', (address, shown) => {
    expect(parseRedisAddress(address)).toMatchObject({ shown });
  });
});
