/** What the tests of the Redis clients share: scripts, a connection that can be slowed or cut, and the adapters. */
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { connect, createServer } from 'node:net';
import type { AddressInfo, Socket } from 'node:net';
import { createClient } from '@redis/client';
import { Redis } from 'ioredis';
import { onTestFinished } from 'vitest';
import { fromIoredis } from '#keymux/stores/redis/client-ioredis.js';
import { createRedisClient, fromNodeRedis } from '#keymux/stores/redis/client-node-redis.js';
import type { Connection } from '#keymux/stores/redis/client-connection.js';
import type { RedisClient, RedisScript, Reply } from '#keymux/stores/redis/client.js';

export function script(name: string, text: string): RedisScript {
  return { name, text, sha1: createHash('sha1').update(text).digest('hex') };
}

export const ECHO = script('echo', 'return {KEYS[1], ARGV[1], 7, false, {"1.5"}}');
export const COUNT = script('count', 'return redis.call("INCR", KEYS[1])');
export const PUBLISH = script('publish', 'return redis.call("PUBLISH", ARGV[1], ARGV[2])');
/** Busy for as many milliseconds as its argument says. */
export const SPIN = script(
  'spin',
  `local t = redis.call('TIME')
   local untilMs = t[1] * 1000 + t[2] / 1000 + ARGV[1]
   repeat t = redis.call('TIME') until t[1] * 1000 + t[2] / 1000 >= untilMs
   return 1`,
);

export interface Adapter {
  readonly name: string;
  /** A client for a server, closed after the test together with what it was made of. */
  readonly create: (url: string) => Promise<RedisClient>;
  /** Notices by itself that a connection is half open. */
  readonly isOurs: boolean;
}

export const ADAPTERS: readonly Adapter[] = [
  {
    name: 'createRedisClient',
    create: async (url) => closedLater(createRedisClient(url)),
    isOurs: true,
  },
  {
    name: 'fromNodeRedis',
    create: async (url) => {
      const theirs = createClient({ url, socket: { reconnectStrategy: 50 } });
      theirs.on('error', () => {});
      theirs.connect().catch(() => {});
      onTestFinished(() => theirs.destroy());
      return closedLater(fromNodeRedis(theirs));
    },
    isOurs: false,
  },
  {
    name: 'fromIoredis',
    create: async (url) => {
      const theirs = new Redis(url, { retryStrategy: () => 50 });
      theirs.on('error', () => {});
      onTestFinished(() => theirs.disconnect());
      return closedLater(fromIoredis(theirs));
    },
    isOurs: false,
  },
];

export function closedLater(client: RedisClient): RedisClient {
  onTestFinished(() => client.close());
  return client;
}

/** Sends commands of any kind to a server. */
export async function administer(url: string): Promise<(...command: string[]) => Promise<unknown>> {
  const client = createClient({ url });
  client.on('error', () => {});
  await client.connect();
  onTestFinished(() => client.destroy());
  return (...command) => client.sendCommand(command);
}

export interface Proxy {
  readonly url: string;
  /** How many connections were made through it. */
  readonly connections: number;
  /** From now on nothing passes on any connection that there is, in both directions, and none is ended. */
  swallow(): void;
  /** From now on answers come later by as much. */
  delay(ms: number): void;
  /** Ends all connections. */
  cut(): void;
}

/** Stands before a server. New connections pass, also while the old ones are swallowed. */
export async function startProxy(port: number): Promise<Proxy> {
  const pairs = new Set<{ sockets: readonly [Socket, Socket]; isSwallowed: boolean }>();
  let connections = 0;
  let delayMs = 0;
  const server = createServer((client) => {
    connections += 1;
    const upstream = connect(port, '127.0.0.1');
    const pair = { sockets: [client, upstream] as const, isSwallowed: false };
    pairs.add(pair);
    client.on('data', (bytes) => void (pair.isSwallowed || upstream.write(bytes)));
    upstream.on('data', (bytes) => {
      if (delayMs > 0) setTimeout(() => pair.isSwallowed || client.write(bytes), delayMs);
      else if (!pair.isSwallowed) client.write(bytes);
    });
    for (const socket of pair.sockets) {
      socket.on('error', () => {});
      socket.on('close', () => {
        pairs.delete(pair);
        for (const other of pair.sockets) other.destroy();
      });
    }
  });
  await once(server.listen(0, '127.0.0.1'), 'listening');
  const cut = (): void => pairs.forEach(({ sockets }) => sockets.forEach((socket) => socket.destroy()));
  onTestFinished(() => {
    cut();
    server.close();
  });
  return {
    url: `redis://127.0.0.1:${String((server.address() as AddressInfo).port)}`,
    get connections() {
      return connections;
    },
    swallow: () => pairs.forEach((pair) => (pair.isSwallowed = true)),
    delay: (ms) => void (delayMs = ms),
    cut,
  };
}

export interface Faked extends Connection {
  readonly isEnded: () => boolean;
  readonly say: (message: string) => void;
}

/** For what real connections do only by chance. */
export function fakeConnection(answer: (command: readonly string[]) => Promise<Reply>): Faked {
  let end: (error: Error) => void = () => {};
  let isEnded = false;
  let listener: (message: string) => void = () => {};
  const ended = new Promise<Error>((resolve) => (end = resolve));
  return {
    send: answer,
    subscribe: async (_, onMessage) => void (listener = onMessage),
    ended,
    destroy: () => {
      isEnded = true;
      end(new Error('destroyed'));
    },
    isEnded: () => isEnded,
    say: (message) => listener(message),
  };
}
