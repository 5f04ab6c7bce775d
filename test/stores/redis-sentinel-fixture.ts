/** A master with a replica, watched by three sentinels. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createClient } from '@redis/client';
import { expect, vi } from 'vitest';
import { startRedis, type RedisServer } from './redis-server.js';

export interface WatchedMaster {
  readonly master: RedisServer;
  readonly replica: RedisServer;
  /** `host:port`, of the three sentinels. */
  readonly sentinels: readonly string[];
  stop(): Promise<void>;
}

export const MASTER_NAME = 'keymux-master';
const SENTINELS = 3;
const QUORUM = 2;
const PATIENCE = { timeout: 40_000 };

/** `downAfterMs`: how long a server may be silent before the sentinels give it up. */
export async function startWatchedMaster({
  sentinelPassword,
  downAfterMs = 500,
}: {
  sentinelPassword?: string;
  downAfterMs?: number;
} = {}): Promise<WatchedMaster> {
  const started: { stop(): Promise<void> }[] = [];
  const stop = async (): Promise<void> => {
    await Promise.all(started.map((server) => server.stop()));
  };
  const keep = <T extends { stop(): Promise<void> }>(server: T): T => {
    started.push(server);
    return server;
  };
  try {
    const soon = ['--repl-diskless-sync-delay', '0'];
    const master = keep(await startRedis({ args: soon }));
    const ofMaster = ['--replicaof', '127.0.0.1', String(master.port)];
    const replica = keep(await startRedis({ args: [...soon, ...ofMaster] }));
    // A sentinel asks its master for replicas when it starts, and then every ten seconds.
    await ask(master.url, async (send) => {
      await vi.waitFor(async () => expect(((await send('ROLE')) as unknown[])[2]).toHaveLength(1), PATIENCE);
    });
    const ports: number[] = [];
    for (let count = 0; count < SENTINELS; count += 1)
      ports.push(keep(await startSentinel(master.port, downAfterMs, sentinelPassword)).port);
    for (const port of ports) await knowsAll(port, sentinelPassword);
    return { master, replica, sentinels: ports.map((port) => `127.0.0.1:${String(port)}`), stop };
  } catch (error) {
    await stop();
    throw error;
  }
}

async function startSentinel(
  masterPort: number,
  downAfterMs: number,
  password: string | undefined,
): Promise<{ port: number; stop: () => Promise<void> }> {
  const directory = mkdtempSync(join(tmpdir(), 'keymux-sentinel-'));
  const port = await freePort();
  const file = join(directory, 'sentinel.conf');
  const lines = [
    `port ${String(port)}`,
    'bind 127.0.0.1',
    `dir ${directory}`,
    `sentinel monitor ${MASTER_NAME} 127.0.0.1 ${String(masterPort)} ${String(QUORUM)}`,
    `sentinel down-after-milliseconds ${MASTER_NAME} ${String(downAfterMs)}`,
    `sentinel failover-timeout ${MASTER_NAME} 2000`,
    ...(password === undefined ? [] : [`requirepass ${password}`, `sentinel sentinel-pass ${password}`]),
  ];
  writeFileSync(file, `${lines.join('\n')}\n`);
  const child = spawn(process.env['REDIS_SERVER'] ?? 'redis-server', [file, '--sentinel'], {
    stdio: 'ignore',
  });
  const killOnExit = (): void => void child.kill('SIGKILL');
  process.on('exit', killOnExit);
  return {
    port,
    stop: async () => {
      process.off('exit', killOnExit);
      const exited = once(child, 'exit');
      if (child.kill('SIGKILL')) await exited;
      rmSync(directory, { recursive: true, force: true });
    },
  };
}

/** It has met the replica and the other sentinels: a failover needs all of them. */
async function knowsAll(port: number, password: string | undefined): Promise<void> {
  const login = password === undefined ? '' : `:${password}@`;
  await ask(`redis://${login}127.0.0.1:${String(port)}`, async (send) => {
    await vi.waitFor(async () => {
      const fields = (await send('SENTINEL', 'MASTER', MASTER_NAME)) as string[];
      const of = (name: string): string | undefined => fields[fields.indexOf(name) + 1];
      expect([of('flags'), of('num-slaves'), of('num-other-sentinels')]).toEqual(['master', '1', '2']);
    }, PATIENCE);
  });
}

async function ask(
  url: string,
  questions: (send: (...command: string[]) => Promise<unknown>) => Promise<void>,
): Promise<void> {
  const client = createClient({ url, RESP: 2 });
  client.on('error', () => {});
  await client.connect();
  await questions((...command) => client.sendCommand(command)).finally(() => client.destroy());
}

async function freePort(): Promise<number> {
  const server = createServer();
  await once(server.listen(0, '127.0.0.1'), 'listening');
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}
