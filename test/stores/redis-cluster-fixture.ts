/** A cluster of three masters, the first of them with a replica. */
import { createClient } from '@redis/client';
import { expect, vi } from 'vitest';
import { slotOf, SLOTS } from '#keymux/stores/redis/client-slots.js';
import { startRedis, type RedisServer } from './redis-server.js';

type Send = (...command: string[]) => Promise<unknown>;

export interface ClusterNode {
  readonly server: RedisServer;
  readonly id: string;
  readonly send: Send;
}

export interface TestCluster {
  readonly masters: readonly [ClusterNode, ClusterNode, ClusterNode];
  /** Of the first master. */
  readonly replica: ClusterNode;
  /** A key of that master, with a hash tag; another one for each `turn`. */
  keyOf(master: number, turn?: number): string;
  /** That of `redis+cluster://`, with the second and the third master only. */
  readonly url: string;
  stop(): Promise<void>;
}

const MASTERS = 3;
const PATIENCE = { timeout: 60_000, interval: 50 };
const ARGS = [
  ...['--cluster-enabled', 'yes', '--cluster-node-timeout', '1500'],
  ...['--cluster-replica-validity-factor', '0', '--repl-diskless-sync-delay', '0'],
];

export async function startCluster(): Promise<TestCluster> {
  const closers: (() => unknown)[] = [];
  const stop = async (): Promise<void> => {
    for (const close of closers) await close();
  };
  try {
    const masters = [await startNode(closers), await startNode(closers), await startNode(closers)] as const;
    const replica = await startNode(closers);
    await join(masters, replica);
    const [, second, third] = masters;
    return {
      masters,
      replica,
      keyOf: (master, turn = 0) => keysOf(master)[turn] ?? '',
      url: `redis+cluster://127.0.0.1:${String(second.server.port)},127.0.0.1:${String(third.server.port)}`,
      stop,
    };
  } catch (error) {
    await stop();
    throw error;
  }
}

async function startNode(closers: (() => unknown)[]): Promise<ClusterNode> {
  const server = await startRedis({ args: ARGS });
  closers.push(() => server.stop());
  const client = createClient({ url: server.url, RESP: 2, socket: { reconnectStrategy: 50 } });
  client.on('error', () => {});
  await client.connect();
  closers.unshift(() => client.destroy());
  const send: Send = (...command) => client.sendCommand(command);
  return { server, send, id: String(await send('CLUSTER', 'MYID')) };
}

async function join(masters: TestCluster['masters'], replica: ClusterNode): Promise<void> {
  for (const [index, { send }] of masters.entries()) {
    await send('CLUSTER', 'ADDSLOTSRANGE', String(firstSlot(index)), String(firstSlot(index + 1) - 1));
    await send('CLUSTER', 'SET-CONFIG-EPOCH', String(index + 1));
  }
  const nodes = [...masters, replica];
  for (const { server } of nodes.slice(1))
    await masters[0].send('CLUSTER', 'MEET', '127.0.0.1', String(server.port));
  await vi.waitFor(async () => {
    await replica.send('CLUSTER', 'REPLICATE', masters[0].id);
    for (const { send } of nodes) {
      expect(String(await send('CLUSTER', 'INFO'))).toMatch(/cluster_state:ok[^]*cluster_known_nodes:4/);
      expect(String(await send('CLUSTER', 'NODES'))).toMatch(/\bslave .* connected/);
    }
    expect(await replica.send('ROLE')).toContain('connected');
  }, PATIENCE);
}

function firstSlot(master: number): number {
  return Math.floor((master * SLOTS) / MASTERS);
}

function keysOf(master: number): readonly string[] {
  const isThere = (slot: number): boolean => slot >= firstSlot(master) && slot < firstSlot(master + 1);
  return Array.from({ length: 60 }, (_, index) => `{tag-${String(index)}}:k`).filter((key) =>
    isThere(slotOf(key)),
  );
}
