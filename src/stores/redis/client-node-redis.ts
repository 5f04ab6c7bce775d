import { KeymuxError } from '../../core/errors.js';
import type { RedisAddress, RedisEndpoint, RedisLogin } from '../../core/redis-address.js';
import { parseAddress } from './client-address.js';
import { BorrowedCommands, type Emitter } from './client-borrowed.js';
import { Cluster } from './client-cluster.js';
import { composeClient, type ClientParts, type Commands } from './client-composed.js';
import {
  adopt,
  CONNECT_TIMEOUT_MS,
  CONNECTION_NAME,
  openConnection,
  type Connection,
  type Library,
  type RedisTlsOptions,
} from './client-connection.js';
import { Link } from './client-link.js';
import { Sentinels } from './client-sentinel.js';
import type { Subscription } from './client-subscription.js';
import type { RedisClient, Reply } from './client.js';

/** How a client connects, and how long it waits. */
export interface RedisClientOptions {
  /** With an address of `rediss…` only. */
  readonly tls?: RedisTlsOptions;
  /** In place of the user of the address. */
  readonly username?: string;
  /** In place of the password of the address. */
  readonly password?: string;
  /** What the sentinels themselves ask for. The login of the address is the master's. Default: none. */
  readonly sentinel?: RedisLogin;
  /** What `CLIENT LIST` shows. Default: `keymux`. */
  readonly connectionName?: string;
}

/**
 * A client over the library `@redis/client`, which is loaded by `connect`.
 * @throws `KEYMUX_CONFIG_INVALID` for an address that is none, see `parseAddress`
 */
export function createRedisClient(url: string, options: RedisClientOptions = {}): RedisClient {
  const address = parseAddress(url);
  if (options.tls !== undefined && !address.isTls) throw tlsWithoutEffect(address);
  let library: Library | undefined;
  const load = async (): Promise<Library> => (library ??= await import('@redis/client'));
  const server = connectionOptions(address, options);
  const sentinel = { ...server, login: options.sentinel ?? {}, database: 0 };
  const open: Opener = {
    server: async (endpoint) => openConnection(await load(), endpoint, server),
    sentinel: async (endpoint) => openConnection(await load(), endpoint, sentinel),
  };
  return composeClient({ address: () => address.shown, prepare: load, ...partsOf(address, open) });
}

interface Opener {
  readonly server: (endpoint: RedisEndpoint) => Promise<Connection>;
  readonly sentinel: (endpoint: RedisEndpoint) => Promise<Connection>;
}

function partsOf(
  { kind, shown, endpoints, master }: RedisAddress,
  opener: Opener,
): Pick<ClientParts, 'commands' | 'openSubscriber'> {
  if (kind === 'cluster') {
    const commands = new Cluster({ address: shown, seeds: endpoints, open: opener.server });
    return { commands, openSubscriber: () => commands.openSubscriber() };
  }
  if (kind === 'single') {
    const open = (): Promise<Connection> => opener.server(endpoints[0]);
    return { commands: new ServerCommands(new Link({ address: shown, open })), openSubscriber: open };
  }
  const sentinels = new Sentinels({
    address: shown,
    sentinels: endpoints,
    master,
    openSentinel: opener.sentinel,
    openServer: opener.server,
  });
  const open = (): Promise<Connection> => sentinels.open();
  const link = new Link({ address: shown, open });
  return { commands: new ServerCommands(link, () => sentinels.follow()), openSubscriber: open };
}

class ServerCommands implements Commands {
  readonly #link: Link;
  readonly #follow: (() => Subscription) | undefined;
  #subscription: Subscription | undefined;

  constructor(link: Link, follow?: () => Subscription) {
    this.#link = link;
    this.#follow = follow;
  }

  get lastHeardMs(): number {
    return this.#link.lastHeardMs;
  }

  ready(deadlineMs: number): Promise<void> {
    this.#subscription ??= this.#follow?.();
    return this.#link.ready(deadlineMs);
  }

  send(_key: string, command: readonly string[], deadlineMs: number): Promise<Reply> {
    return this.#link.send(command, deadlineMs);
  }

  close(): void {
    this.#subscription?.close();
    this.#link.close();
  }
}

function connectionOptions(address: RedisAddress, options: RedisClientOptions) {
  const { username = address.login.username, password = address.login.password } = options;
  return {
    login: { username, password },
    database: address.database,
    tls: address.isTls ? (options.tls ?? {}) : undefined,
    connectionName: options.connectionName ?? CONNECTION_NAME,
  };
}

function tlsWithoutEffect({ shown }: RedisAddress): KeymuxError {
  return new KeymuxError(
    'KEYMUX_CONFIG_INVALID',
    `The store has options of TLS, but ${shown} is not for TLS.`,
    {
      fix: 'Write rediss in place of redis in the address, or leave out `tls`.',
    },
  );
}

/** What is used of a client that `createClient` of `redis` or `@redis/client` has made, of version 4 or later. */
export interface NodeRedis extends Emitter {
  readonly isReady: boolean;
  /** Not of clients for Sentinel or a cluster, nor of pools. */
  readonly isPubSubActive: boolean;
  readonly options?: object | undefined;
  sendCommand(command: string[], options?: object): Promise<unknown>;
  duplicate(override: object): NodeRedis;
  connect(): Promise<unknown>;
  subscribe(channel: string, listener: (message: string) => void): Promise<unknown>;
  disconnect(): Promise<unknown>;
  unref(): void;
}

interface NodeRedisOptions {
  readonly database?: number;
  readonly password?: string;
  readonly url?: string;
  readonly socket?: {
    readonly host?: string;
    readonly port?: number;
    readonly path?: string;
    readonly tls?: unknown;
  };
}

/**
 * A client over one of node-redis that the program has. It is used as it is: it must have been connected by its owner,
 * `keyPrefix` does not apply to what the store keeps, and `close` leaves it open. Channels are followed on duplicates
 * of it.
 * @throws `KEYMUX_CONFIG_INVALID` for a client of Sentinel, of a cluster, or for a pool: give the address instead
 */
export function fromNodeRedis(client: NodeRedis): RedisClient {
  if (typeof (client as Partial<NodeRedis>).isPubSubActive !== 'boolean') throw notOneServer();
  const options: NodeRedisOptions = client.options ?? {};
  const secrets = [options.password ?? ''];
  const address = (): string => addressOf(options);
  return composeClient({
    address,
    commands: new BorrowedCommands({
      address,
      secrets,
      emitter: client,
      events: { ready: 'ready', lost: ['reconnecting', 'end'] },
      isReady: () => client.isReady,
      send: (command) => client.sendCommand([...command], { typeMapping: {} }),
    }),
    openSubscriber: () => openDuplicate(client, options, secrets),
  });
}

async function openDuplicate(
  client: NodeRedis,
  options: NodeRedisOptions,
  secrets: readonly string[],
): Promise<Connection> {
  const socket = { ...options.socket, reconnectStrategy: false, connectTimeout: CONNECT_TIMEOUT_MS };
  return adopt(client.duplicate({ socket, disableOfflineQueue: true, clientSideCache: undefined }), secrets);
}

function addressOf({ database, socket = {} }: NodeRedisOptions): string {
  const { host = 'localhost', port = 6379, path, tls } = socket;
  if (path !== undefined) return `unix:${path}`;
  return `redis${tls === true ? 's' : ''}://${host}:${String(port)}${database ? `/${String(database)}` : ''}`;
}

function notOneServer(): KeymuxError {
  return new KeymuxError(
    'KEYMUX_CONFIG_INVALID',
    'The client of node-redis is for Sentinel or a cluster, or a pool.',
    {
      fix: 'Give the store the address instead, such as redis+sentinel://host:26379/master or redis+cluster://host:6379.',
    },
  );
}
