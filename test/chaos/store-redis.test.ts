import { mkdtempSync, rmSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Cleanup } from './processes.js';
import type { FaultKind } from './scenarios.js';
import { createRedisActor } from './store-redis.js';
import type { RedisActor } from './store-redis.js';

const NO_ANSWER = '';
const PATIENCE_MS = 250;

const cleanup = new Cleanup();
const folder = mkdtempSync(join(tmpdir(), 'keymux-chaos-redis-'));
let redis: RedisActor;

/** What an agent gets to hear, by the address that agents know. */
function ask(command: string): Promise<string> {
  const { port } = new URL(String(redis.configuration['url']));
  return new Promise((resolve) => {
    const socket = connect(Number(port), '127.0.0.1', () => socket.write(`${command}\r\n`));
    socket.setTimeout(PATIENCE_MS, () => socket.destroy());
    socket.once('data', (reply) => {
      resolve(reply.toString());
      socket.destroy();
    });
    socket.on('error', () => {});
    socket.on('close', () => resolve(NO_ANSWER));
  });
}

async function begin(kind: FaultKind): Promise<() => Promise<void>> {
  const begun = redis.begin(kind);
  if (begun === undefined) throw new Error(`no fault ${kind}`);
  return begun;
}

beforeAll(async () => {
  redis = await createRedisActor({ folder, members: 3, cleanup, hosts: undefined });
  await redis.start();
});

afterAll(async () => {
  await cleanup.run();
  rmSync(folder, { recursive: true, force: true });
});

describe('faults of Redis', () => {
  it.each<[FaultKind, string | RegExp]>([
    ['redis-slow', NO_ANSWER],
    ['redis-frozen', NO_ANSWER],
    ['redis-restarted', NO_ANSWER],
    ['redis-out-of-memory', /^-OOM/],
    ['redis-read-only', /^-NOREPLICAS/],
  ])('%s stands while it lasts, and what was known before is there afterwards', async (kind, effect) => {
    expect(await ask('SET known before')).toBe('+OK\r\n');
    const end = await begin(kind);
    expect(await ask('SET known during')).toEqual(
      effect === NO_ANSWER ? NO_ANSWER : expect.stringMatching(effect),
    );
    await end();
    // A server that was frozen or slow may still carry out what it was asked.
    expect(await ask('GET known')).toMatch(/before|during/);
    expect(await ask('SET known after')).toBe('+OK\r\n');
  });

  it.each<FaultKind>(['redis-emptied', 'redis-flushed'])('%s takes away everything', async (kind) => {
    await ask('SET known before');
    const end = await begin(kind);
    await end();
    expect(await ask('GET known')).toBe('$-1\r\n');
  });

  it('redis-failover leads the same address to the replica, which knows what the primary knew', async () => {
    await ask('SET known before');
    const end = await begin('redis-failover');
    expect(await ask('GET known')).toBe(NO_ANSWER);
    await end();
    expect(await ask('GET known')).toContain('before');
    expect(await ask('SET known after')).toBe('+OK\r\n');
  });

  it('knows no faults of other stores', () => {
    expect(redis.begin('store-locked')).toBeUndefined();
  });
});
