/** A Redis server of the run's own, and what befalls it. */
import { mkdirSync, rmSync } from 'node:fs';
import { connect, createServer } from 'node:net';
import type { AddressInfo, Server, Socket } from 'node:net';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import type { Hosts } from './hosts.js';
import { STORE_HOST } from './hosts.js';
import type { Cleanup } from './processes.js';
import { Started } from './processes.js';
import type { FaultKind } from './scenarios.js';
import { AT_ONCE_OVER } from './store-actor.js';
import type { StoreActor } from './store-actor.js';

export interface RedisActorOptions {
  readonly folder: string;
  readonly members: number;
  readonly cleanup: Cleanup;
  readonly hosts: Hosts | undefined;
}

export interface RedisActor extends StoreActor {
  start(): Promise<void>;
}

const SLOW_MS = 300;
const STARTS_WITHIN_MS = 15_000;

export async function createRedisActor(options: RedisActorOptions): Promise<RedisActor> {
  const { hosts, cleanup, folder } = options;
  const primary = new RedisServer(join(folder, 'redis'), options);
  const route = hosts === undefined ? await Route.open(primary, cleanup) : undefined;
  const address =
    hosts === undefined ? `127.0.0.1:${route?.port ?? 0}` : `${hosts.storeAddress}:${primary.port}`;
  let server = primary;

  const command = async (...words: string[]): Promise<void> => {
    const reply = await server.command(...words);
    if (reply.startsWith('-')) throw new Error(`Redis refused ${words.join(' ')}: ${reply}`);
  };
  const failOver = async (): Promise<() => Promise<void>> => {
    const replica = new RedisServer(join(folder, `redis-${server.port + 1}`), options);
    await replica.start();
    await replica.follow(server);
    await server.kill();
    return async () => {
      await replica.command('REPLICAOF', 'NO', 'ONE');
      server = replica;
      route?.leadTo(replica);
    };
  };
  const restart = async (): Promise<() => Promise<void>> => {
    await server.end();
    return () => server.start();
  };
  const empty = async (): Promise<() => Promise<void>> => {
    await server.kill();
    server.forget();
    return () => server.start();
  };
  const set = async (name: string, value: string, usual: string): Promise<() => Promise<void>> => {
    await command('CONFIG', 'SET', name, value);
    return () => command('CONFIG', 'SET', name, usual);
  };

  const begin = (kind: FaultKind): Promise<() => Promise<void>> | undefined => {
    switch (kind) {
      case 'redis-unreachable':
        return Promise.resolve(() => server.start());
      case 'redis-slow':
        if (route === undefined) return undefined;
        route.delayMs = SLOW_MS;
        return Promise.resolve(async () => void (route.delayMs = 0));
      case 'redis-frozen':
        server.signal('SIGSTOP');
        return Promise.resolve(async () => server.signal('SIGCONT'));
      case 'redis-restarted':
        return restart();
      case 'redis-emptied':
        return empty();
      case 'redis-flushed':
        return command('FLUSHALL').then(() => AT_ONCE_OVER);
      case 'redis-out-of-memory':
        return set('maxmemory', '1', '0');
      case 'redis-read-only':
        return set('min-replicas-to-write', '1', '0');
      case 'redis-failover':
        return failOver();
      case 'store-cut-off':
        hosts?.setStoreCable(STORE_HOST, false);
        return Promise.resolve(async () => hosts?.setStoreCable(STORE_HOST, true));
      default:
        return undefined;
    }
  };
  const configuration = { type: 'redis', url: `redis://${address}`, members: options.members };
  return { configuration, begin, start: () => server.start() };
}

/** A server that is talked to by a socket in its folder, which no network fault reaches. */
class RedisServer {
  readonly port = 12_000 + Math.floor(Math.random() * 15_000);
  readonly #folder: string;
  readonly #hosts: Hosts | undefined;
  #process: Started | undefined;

  constructor(folder: string, { cleanup, hosts }: RedisActorOptions) {
    this.#folder = folder;
    this.#hosts = hosts;
    mkdirSync(folder, { mode: 0o700 });
    cleanup.add(
      () => this.kill(),
      () => this.signal('SIGKILL'),
    );
  }

  async start(): Promise<void> {
    const bind = this.#hosts?.storeAddress ?? '127.0.0.1';
    const network = ['--port', String(this.port), '--bind', bind, '--protected-mode', 'no'];
    const keeping = ['--dir', this.#folder, '--save', '86400 1', '--appendonly', 'no'];
    const rest = [
      '--unixsocket',
      this.#socket,
      '--min-replicas-max-lag',
      '1',
      '--repl-diskless-sync-delay',
      '0',
    ];
    this.#process = new Started({
      program: 'redis-server',
      args: [...network, ...keeping, ...rest],
      namespace: this.#hosts?.storeNamespace,
    });
    await this.#until('PING', (reply) => reply.startsWith('+PONG'));
  }

  /** Ends it as an administrator does: what it knows is kept. */
  async end(): Promise<void> {
    this.signal('SIGTERM');
    await this.#process?.ended;
  }

  async kill(): Promise<void> {
    await this.#process?.kill();
  }

  signal(name: NodeJS.Signals): void {
    this.#process?.signal(name);
  }

  forget(): void {
    rmSync(join(this.#folder, 'dump.rdb'), { force: true });
  }

  async follow(primary: RedisServer): Promise<void> {
    await this.command('REPLICAOF', '127.0.0.1', String(primary.port));
    await this.#until('INFO replication', (reply) => reply.includes('master_link_status:up'));
  }

  /** What the server replies; '' where it does not. */
  command(...words: string[]): Promise<string> {
    const text = words.map((word) => `$${Buffer.byteLength(word)}\r\n${word}\r\n`).join('');
    return new Promise((resolve) => {
      const socket = connect(this.#socket, () => socket.write(`*${words.length}\r\n${text}`));
      socket.setTimeout(1_000, () => socket.destroy());
      socket.once('data', (reply) => {
        resolve(reply.toString());
        socket.destroy();
      });
      socket.on('error', () => {});
      socket.on('close', () => resolve(''));
    });
  }

  get #socket(): string {
    return join(this.#folder, 'control.sock');
  }

  async #until(words: string, isDone: (reply: string) => boolean): Promise<void> {
    const deadline = performance.now() + STARTS_WITHIN_MS;
    while (!isDone(await this.command(...words.split(' ')))) {
      if (performance.now() > deadline || this.#process?.isRunning === false) {
        throw new Error(`redis-server on port ${this.port} is not there: ${this.#process?.stderr ?? ''}`);
      }
      await pause(10);
    }
  }
}

/** The address that agents know: leads to the server that is in charge, at once or after a while. */
class Route {
  delayMs = 0;
  #target: RedisServer;
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();

  static async open(target: RedisServer, cleanup: Cleanup): Promise<Route> {
    const route = new Route(target);
    await new Promise<void>((resolve) => route.#server.listen(0, '127.0.0.1', resolve));
    cleanup.add(() => route.#close());
    return route;
  }

  private constructor(target: RedisServer) {
    this.#target = target;
    this.#server = createServer((client) => this.#accept(client));
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  leadTo(target: RedisServer): void {
    this.#target = target;
    for (const socket of this.#sockets) socket.destroy();
  }

  #accept(client: Socket): void {
    const upstream = connect(this.#target.port, '127.0.0.1');
    this.#pass(client, upstream);
    this.#pass(upstream, client);
  }

  #pass(from: Socket, to: Socket): void {
    let previous = Promise.resolve();
    this.#sockets.add(from);
    from.setNoDelay(true);
    from.on('data', (chunk) => {
      const dueAt = performance.now() + this.delayMs;
      previous = previous.then(async () => {
        const waitMs = dueAt - performance.now();
        if (waitMs > 0) await pause(waitMs);
        to.write(chunk);
      });
    });
    from.on('error', () => to.destroy());
    from.on('close', () => {
      this.#sockets.delete(from);
      to.destroy();
    });
  }

  #close(): void {
    for (const socket of this.#sockets) socket.destroy();
    this.#server.close();
  }
}
