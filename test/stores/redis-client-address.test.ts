import { inspect } from 'node:util';
import { describe, expect, it } from 'vitest';
import type { KeymuxError } from '#keymux/core/errors.js';
import { parseAddress } from '#keymux/stores/redis/client-address.js';
import { createRedisClient } from '#keymux/stores/redis/client-node-redis.js';

const CANARY = 'canary-9f3b7c';

describe('the address of a Redis store', () => {
  it.each([
    ['redis://h', { kind: 'single', isTls: false, endpoints: [{ host: 'h', port: 6379 }], database: 0 }],
    ['redis://h:1/3', { endpoints: [{ host: 'h', port: 1 }], database: 3 }],
    ['redis://[::1]:7000/', { endpoints: [{ host: '::1', port: 7000 }], database: 0 }],
    ['rediss://h', { kind: 'single', isTls: true }],
    ['redis://:p@h', { login: { username: undefined, password: 'p' } }],
    ['redis://u@h', { login: { username: 'u', password: undefined } }],
    ['redis://u:p%40%3A:x@h', { login: { username: 'u', password: 'p@::x' }, shown: 'redis://h' }],
    [
      'redis+sentinel://u:p@a,b:2/mymaster/4',
      {
        kind: 'sentinel',
        endpoints: [
          { host: 'a', port: 26_379 },
          { host: 'b', port: 2 },
        ],
        master: 'mymaster',
        database: 4,
        shown: 'redis+sentinel://a,b:2/mymaster/4',
      },
    ],
    ['rediss+sentinel://a/m', { kind: 'sentinel', isTls: true, master: 'm', database: 0 }],
    [
      'rediss+cluster://a:1,b:2',
      { kind: 'cluster', isTls: true, endpoints: [{ port: 1 }, { port: 2 }], database: 0 },
    ],
  ])('is read: %s', (url, parts) => {
    expect(parseAddress(url)).toMatchObject(parts);
  });

  it.each([
    `http://u:${CANARY}@h`,
    CANARY,
    `redis://u:${CANARY}`,
    `redis://u:${CANARY}@`,
    `redis://u:${CANARY}@h:0`,
    `redis://u:${CANARY}@h:65536`,
    `redis://u:${CANARY}@h:port`,
    `redis://u:${CANARY}@h1,h2`,
    `redis://u:${CANARY}@h/db`,
    `redis://u:${CANARY}%@h`,
    `redis://u:${CANARY}@x@h`,
    `redis://u:${CANARY}/x@h`,
    `redis://u:${CANARY}@h/0?tls=true`,
    `redis+sentinel://u:${CANARY}@h`,
    `redis+sentinel://u:${CANARY}@h/m/x`,
    `redis+cluster://u:${CANARY}@h/1`,
    `redis+cluster://u:${CANARY}@h,`,
  ])('is refused, without any of it: %s', (url) => {
    const error = refusalOf(() => createRedisClient(url));
    expect(error).toMatchObject({ name: 'KeymuxError', code: 'KEYMUX_CONFIG_INVALID' });
    expect(inspect(error, { depth: 9, showHidden: true })).not.toContain(CANARY);
    expect(error.fix).toContain('redis://');
  });

  it('is refused where it is not for TLS, and options of TLS are given', () => {
    const error = refusalOf(() => createRedisClient(`redis://u:${CANARY}@h`, { tls: { caFile: '/ca.pem' } }));
    expect(error).toMatchObject({
      code: 'KEYMUX_CONFIG_INVALID',
      message: expect.stringContaining('redis://h'),
    });
    expect(inspect(error)).not.toContain(CANARY);
  });

  it('is what people see of a client', () => {
    const client = createRedisClient(`redis://user:${CANARY}@h:1/2`, { password: `${CANARY}-2` });
    expect(client.address).toBe('redis://h:1/2');
    const seen = [inspect(client, { depth: 9, showHidden: true }), JSON.stringify(client)];
    expect(seen.join()).not.toContain(CANARY);
  });
});

function refusalOf(act: () => unknown): KeymuxError {
  try {
    act();
  } catch (error) {
    return error as KeymuxError;
  }
  throw new Error('It was not refused.');
}
