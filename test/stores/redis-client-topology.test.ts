/** What a client for a cluster does with clusters that change in ways which real ones show only by chance. */
import { expect, it, onTestFinished } from 'vitest';
import type { RedisEndpoint } from '#keymux/core/redis-address.js';
import { Cluster } from '#keymux/stores/redis/client-cluster.js';
import { SLOTS } from '#keymux/stores/redis/client-slots.js';
import { RedisReplyError, type Reply } from '#keymux/stores/redis/client.js';
import { fakeConnection, type Faked } from './redis-client-fixture.js';

const LONG_MS = 10_000;
const PATIENCE = { timeout: 20_000 };

interface FakeCluster {
  readonly cluster: Cluster;
  /** Connections by port, in the order in which they were made. */
  readonly made: Map<number, Faked[]>;
  /** The port of the node that has all slots, or each of a range. */
  ranges: readonly (readonly [first: number, last: number, port: number])[];
  /** How often it was asked who has which slots. */
  lessons: number;
  answer: (port: number, command: readonly string[]) => Promise<Reply>;
}

function fakeCluster(): FakeCluster {
  const made = new Map<number, Faked[]>();
  const open = async ({ port }: RedisEndpoint): Promise<Faked> => {
    const connection = fakeConnection(async (command) => {
      if (command[0] !== 'CLUSTER') return fake.answer(port, command);
      fake.lessons += 1;
      return fake.ranges.map(([first, last, master]) => [first, last, ['fake', master]]);
    });
    made.set(port, [...(made.get(port) ?? []), connection]);
    return connection;
  };
  const cluster = new Cluster({ address: 'redis+cluster://fake', seeds: [{ host: 'seed', port: 1 }], open });
  onTestFinished(() => cluster.close());
  const fake: FakeCluster = {
    cluster,
    made,
    ranges: [[0, SLOTS - 1, 1]],
    lessons: 0,
    answer: async (port) => `from ${String(port)}`,
  };
  return fake;
}

function refuse(message: string): never {
  throw new RedisReplyError(message);
}

it('is sent on and on by nodes that do not agree, and gives up', async () => {
  const fake = fakeCluster();
  let asked = 0;
  fake.answer = async (port) => {
    asked += 1;
    return refuse(`MOVED 0 fake:${String(3 - port)}`);
  };
  await fake.cluster.ready(LONG_MS);
  await expect(fake.cluster.send('', ['X'], LONG_MS)).rejects.toMatchObject({ code: 'MOVED' });
  expect(asked).toBe(6);
});

it('asks anew who has what where the cluster is down, and leaves who has nothing any more', async () => {
  const fake = fakeCluster();
  fake.answer = async (port) => (port === 1 ? refuse('CLUSTERDOWN The cluster is down') : 'up');
  await fake.cluster.ready(LONG_MS);
  const listener = (await fake.cluster.openSubscriber()) as Faked;
  fake.ranges = [[0, SLOTS - 1, 2]];
  await expect(fake.cluster.send('', ['X'], LONG_MS)).rejects.toMatchObject({ code: 'CLUSTERDOWN' });
  await expect.poll(() => fake.cluster.send('', ['X'], LONG_MS).catch(() => 'down'), PATIENCE).toBe('up');
  expect(fake.made.get(1)?.every((connection) => connection.isEnded())).toBe(true);
  expect(listener.isEnded()).toBe(true);
});

it('lets those who wait have their answer of a node that has nothing any more', async () => {
  const fake = fakeCluster();
  let reply: (text: string) => void = () => {};
  fake.answer = (port, [name]) =>
    name === 'SLOW' ? new Promise((resolve) => (reply = resolve)) : Promise.resolve(String(port));
  await fake.cluster.ready(LONG_MS);
  const waiting = fake.cluster.send('', ['SLOW'], LONG_MS);
  const { answer } = fake;
  fake.ranges = [[0, SLOTS - 1, 2]];
  fake.answer = async (port, command) => (port === 1 ? refuse('MOVED 0 fake:2') : answer(port, command));
  await expect(fake.cluster.send('', ['X'], LONG_MS)).resolves.toBe('2');
  await expect.poll(() => fake.lessons, PATIENCE).toBeGreaterThan(1);
  reply('at last');
  await expect(waiting).resolves.toBe('at last');
});

it('has no connection for slots that nobody has, and looks for who gets them', async () => {
  const fake = fakeCluster();
  fake.ranges = [[1, SLOTS - 1, 1]];
  await fake.cluster.ready(LONG_MS);
  await expect(fake.cluster.send('', ['X'], LONG_MS)).rejects.toMatchObject({
    code: 'KEYMUX_STORE_UNAVAILABLE',
  });
  fake.ranges = [[0, SLOTS - 1, 1]];
  await expect.poll(() => fake.cluster.send('', ['X'], LONG_MS).catch(() => ''), PATIENCE).toBe('from 1');
  fake.cluster.close();
  await expect(fake.cluster.send('', ['X'], LONG_MS)).rejects.toMatchObject({ code: 'KEYMUX_CLOSED' });
});
