import { createClient } from '@redis/client';
import { onTestFinished } from 'vitest';
import type { HealthRecord, LeaseRequest, Store, StoreNotice } from '#keymux/core/ports.js';
import { createRedisStore } from '#keymux/stores/redis/store.js';
import type { RedisInternals, RedisStoreOptions } from '#keymux/stores/redis/store.js';
import { startRedis } from './redis-server.js';
import type { RedisServer, RedisServerOptions } from './redis-server.js';

/** A server that is stopped when the test ends. */
export async function serverOfTest(options: RedisServerOptions = {}): Promise<RedisServer> {
  const server = await startRedis(options);
  onTestFinished(() => server.stop());
  return server;
}

export interface Watched {
  readonly store: Store;
  readonly notices: StoreNotice[];
}

type Options = { readonly url: string } & Partial<RedisStoreOptions>;

/** Tests of other things than patience run on machines that may stand still for a moment. */
export const PATIENT: Partial<RedisInternals> = { patienceMs: 1_900 };

/** A store that is closed when the test ends, and everything it had to say. */
export function makeStore(options: Options, internals: Partial<RedisInternals> = {}): Watched {
  const notices: StoreNotice[] = [];
  const store = createRedisStore(
    { now: Date.now, onNotice: (notice) => notices.push(notice), ...options },
    { ...PATIENT, ...internals },
  );
  onTestFinished(async () => {
    await store.close();
  });
  return { store, notices };
}

export async function openStore(options: Options, internals: Partial<RedisInternals> = {}): Promise<Watched> {
  const watched = makeStore(options, internals);
  await watched.store.open();
  return watched;
}

/** Sends one command over a connection of its own; answers with what came. */
export async function command(url: string, ...words: string[]): Promise<unknown> {
  const client = createClient({ url });
  client.on('error', () => {});
  await client.connect();
  try {
    return await client.sendCommand(words);
  } finally {
    client.destroy();
  }
}

export const DAY_MS = 86_400_000;

export function dailyRequest(requests: number, want: number): LeaseRequest {
  return { bucket: 'p/b', windows: [{ requests, perMs: DAY_MS }], want, ttlMs: 30_000, slackMs: 50 };
}

export function chargeOf(store: Store, permits: number): Parameters<Store['charge']>[0] {
  const { bucket, windows } = dailyRequest(10, 0);
  const leaseId = `told-${String(permits)}-${String(Math.random())}`;
  return [{ bucket, windows, leaseId, permits, countedAt: store.now() }];
}

export function resting(subject: string, version = 1): HealthRecord {
  return {
    subject,
    health: { status: 'resting', version, level: 1, reason: 'rejected', until: 9e12, source: 'guessed' },
    disabled: false,
    disabledVersion: 0,
  };
}

/** The code that a call was refused with; undefined where it was not. */
export async function codeOf(call: () => unknown): Promise<unknown> {
  try {
    await call();
    return undefined;
  } catch (error) {
    return (error as { code?: unknown }).code;
  }
}
