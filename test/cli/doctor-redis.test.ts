import { redisChecks } from '#keymux/cli/doctor/redis-checks.js';
import { redisChecksOf } from '#keymux/cli/doctor/redis-report.js';
import type { RedisSeen } from '#keymux/cli/doctor/redis-report.js';
import type { Check } from '#keymux/cli/doctor/check.js';
import type { RedisDefinition } from '#keymux/config/configuration.js';
import { Secret } from '#keymux/core/secret.js';
import { readFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startRedis } from '../stores/redis-server.js';
import type { RedisServer } from '../stores/redis-server.js';

const PASSWORD = 'canary-6b2f0e';

const INFO = [
  '# Server',
  'redis_version:7.0.15',
  'role:master',
  'connected_clients:12',
  'maxclients:10000',
  'used_memory:1048576',
  'maxmemory:0',
  'maxmemory_policy:noeviction',
  'aof_enabled:1',
].join('\r\n');

function checks(info: string | undefined, more: Partial<RedisSeen> = {}): Map<string, Check> {
  const seen = { info, latenciesMs: [0.4, 0.2, 90], clockOffsetMs: -12, denied: [], ...more };
  return new Map(redisChecksOf(seen).map((check) => [check.name, check]));
}

describe('what a Redis says of itself', () => {
  it('is all well where nothing is wrong', () => {
    const all = checks(INFO);
    expect([...all.values()].map(({ status }) => status)).toEqual(Array(8).fill('ok'));
    expect(all.get('redis-version')?.message).toBe('Redis 7.0.15');
    expect(all.get('redis-latency')?.message).toBe('0.4 ms for a round trip');
    expect(all.get('redis-clock')?.message).toContain('12 ms apart');
    expect(all.get('redis-memory')?.message).toBe('1 MiB used, no limit');
  });

  it.each([
    ['redis-version', 'fail', INFO.replace('7.0.15', '6.2.1'), 'Redis 6.2.1 is too old'],
    ['redis-version', 'fail', '', 'Redis unknown is too old'],
    ['redis-version', 'ok', `${INFO}\r\nvalkey_version:8.1.0`, 'Valkey 8.1.0'],
    ['redis-role', 'fail', INFO.replace('master', 'slave'), 'a replica'],
    [
      'redis-persistence',
      'warn',
      INFO.replace('aof_enabled:1', 'aof_enabled:0'),
      'a restart loses the counters',
    ],
    [
      'redis-memory',
      'fail',
      INFO.replace('maxmemory:0', 'maxmemory:2097152').replace('noeviction', 'allkeys-lru'),
      'maxmemory-policy is allkeys-lru',
    ],
    ['redis-memory', 'ok', INFO.replace('maxmemory:0', 'maxmemory:2097152'), '1 MiB of 2 MiB used'],
    ['redis-memory', 'warn', INFO.replace('maxmemory:0', 'maxmemory:1100000'), 'nothing can be leased'],
    ['redis-connections', 'warn', INFO.replace('maxclients:10000', 'maxclients:13'), '12 of 13 connections'],
  ])('is judged: %s is %s', (name, status, info, message) => {
    const check = checks(info).get(name);
    expect(check?.status).toBe(status);
    expect(check?.message).toContain(message);
    expect(check?.fix === undefined).toBe(status === 'ok');
  });

  it('is judged by what was measured, too', () => {
    const slow = checks(INFO, {
      latenciesMs: [50, 1, 30],
      clockOffsetMs: 90_000,
      denied: ['PUBLISH', 'HSET'],
    });
    expect(slow.get('redis-latency')).toMatchObject({ status: 'warn' });
    expect(slow.get('redis-latency')?.message).toContain('30.0 ms');
    expect(slow.get('redis-clock')).toMatchObject({ status: 'warn' });
    expect(slow.get('redis-rights')?.message).toBe(
      'The user may not run PUBLISH, HSET on names of this prefix.',
    );
  });

  it('is not known where INFO is not allowed', () => {
    expect([...checks(undefined).keys()]).toEqual([
      'redis-rights',
      'redis-latency',
      'redis-clock',
      'redis-info',
    ]);
  });
});

describe('redisChecks', () => {
  const users = [
    ['documented', ...documentedRights()],
    ['uninformed', ...documentedRights().filter((rule) => rule !== '+info')],
    ['poor', ...documentedRights().filter((rule) => rule !== '+publish'), '-hset'],
    ['elsewhere', ...documentedRights().map((rule) => rule.replace('keymux:', 'other:'))],
    ['mute', ...documentedRights(), '-eval', '-evalsha'],
  ];
  let server: RedisServer;
  beforeAll(async () => {
    server = await startRedis({ args: users.flatMap((rules) => ['--user', ...rules]) });
  });
  afterAll(() => server.stop());

  /** The rules of `ACL SETUSER` that docs/operations.md tells to set. */
  function documentedRights(): string[] {
    const page = readFileSync(new URL('../../docs/operations.md', import.meta.url), 'utf8');
    const [, rules = ''] = /^ACL SETUSER keymux (.*)$/m.exec(page) ?? [];
    return rules.replace('PASSWORD', PASSWORD).split(' ');
  }

  function definition(user?: string, password = PASSWORD): RedisDefinition {
    const login = user === undefined ? '' : `${user}:${password}@`;
    const url = new Secret(server.url.replace('://', `://${login}`));
    return { type: 'redis', url, address: server.url, prefix: 'keymux' };
  }

  async function lookedAt(user?: string): Promise<Check[]> {
    const found = await redisChecks(definition(user));
    expect(JSON.stringify(found)).not.toContain(PASSWORD);
    return found;
  }

  it('looks at a real one', async () => {
    expect((await lookedAt()).map(({ name, status }) => `${name} ${status}`)).toEqual([
      'redis-rights ok',
      'redis-latency ok',
      'redis-clock ok',
      'redis-version ok',
      'redis-role ok',
      'redis-persistence warn',
      'redis-memory ok',
      'redis-connections ok',
    ]);
  });

  it('finds the rights that the documentation names enough, and not more than enough', async () => {
    const [rights, ...others] = await lookedAt('documented');
    expect(rights).toMatchObject({ name: 'redis-rights', status: 'ok' });
    expect(others).toHaveLength(7);
    expect((await lookedAt('elsewhere'))[0]).toMatchObject({ name: 'redis-rights', status: 'fail' });
  });

  it('names the commands that are not allowed', async () => {
    expect((await lookedAt('poor'))[0]).toMatchObject({
      name: 'redis-rights',
      status: 'fail',
      message: 'The user may not run HSET, PUBLISH on names of this prefix.',
    });
    expect(await lookedAt('mute')).toEqual([
      expect.objectContaining({
        name: 'redis-rights',
        message: expect.stringContaining('eval') as string,
      }),
    ]);
  });

  it('does without INFO where it is not allowed', async () => {
    expect((await lookedAt('uninformed')).map(({ name, status }) => `${name} ${status}`)).toEqual([
      'redis-rights ok',
      'redis-latency ok',
      'redis-clock ok',
      'redis-info warn',
    ]);
  });

  it('tells nothing where it cannot log in, which the check of the store does', async () => {
    expect(await redisChecks(definition('documented', 'wrong'))).toEqual([]);
  });
});
