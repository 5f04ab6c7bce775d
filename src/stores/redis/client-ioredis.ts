import { KeymuxError } from '../../core/errors.js';
import { BorrowedCommands, type Emitter } from './client-borrowed.js';
import { composeClient } from './client-composed.js';
import type { Connection } from './client-connection.js';
import { within } from './client-deadline.js';
import { withoutSecrets } from './client-errors.js';
import { replyOf, type RedisClient } from './client.js';

/** What is used of a `Redis` of ioredis or iovalkey. */
export interface IoredisServer extends IoredisAny {
  duplicate(override: Readonly<Record<string, unknown>>): IoredisServer;
}

/** What is used of a `Cluster` of ioredis or iovalkey. */
export interface IoredisCluster extends IoredisAny {
  nodes(role?: 'all' | 'master' | 'slave'): readonly IoredisServer[];
}

interface IoredisAny extends Emitter {
  readonly status: string;
  readonly options: object;
  connect(): Promise<void>;
  disconnect(): void;
  call(command: string, ...args: string[]): Promise<unknown>;
  /** The socket. */
  readonly stream?: { unref?(): unknown };
  subscribe(...channels: string[]): Promise<unknown>;
}

interface IoredisOptions {
  readonly host?: string | null;
  readonly port?: number | null;
  readonly path?: string | null;
  readonly db?: number | null;
  readonly tls?: object | null;
  readonly name?: string | null;
  readonly sentinels?: readonly { readonly host?: string; readonly port?: number }[] | null;
  readonly password?: string | null;
  readonly sentinelPassword?: string | null;
  readonly stringNumbers?: boolean;
  readonly redisOptions?: IoredisOptions;
}

/** For the connection of the subscriber, which is ours. A new one is made when it ends. */
const SUBSCRIBER = {
  lazyConnect: true,
  retryStrategy: null,
  sentinelRetryStrategy: null,
  reconnectOnError: null,
  autoResubscribe: false,
  maxRetriesPerRequest: 0,
  keyPrefix: '',
  connectTimeout: 1_000,
};
const GREETING_TIMEOUT_MS = 2_000;

/**
 * A client over one of ioredis 5 or later, or iovalkey, that the program has: for a server, Sentinel or a cluster. It
 * is used as it is; neither its options nor its state are changed, and `close` leaves it open. Channels are followed on
 * duplicates of it. With its defaults it sends a command again that was under way when the connection broke.
 * @throws `KEYMUX_CONFIG_INVALID` where it answers with texts in place of numbers (`stringNumbers`)
 */
export function fromIoredis(client: IoredisServer | IoredisCluster): RedisClient {
  const options = optionsOf(client);
  if (options.stringNumbers === true || options.redisOptions?.stringNumbers === true)
    throw new KeymuxError('KEYMUX_CONFIG_INVALID', 'The ioredis client has the option stringNumbers.', {
      fix: 'Give the store a client without it, such as client.duplicate({ stringNumbers: false }).',
    });
  const secrets = secretsOf(options);
  const address = (): string => addressOf(client);
  return composeClient({
    address,
    commands: new BorrowedCommands({
      address,
      secrets,
      emitter: client,
      events: { ready: 'ready', lost: ['close', 'end'] },
      isReady: () => client.status === 'ready',
      begin: () => {
        // So does the first command of anybody else. Its owner hears of errors by the event.
        if (client.status === 'wait') client.connect().catch(() => {});
      },
      send: ([name = '', ...args]) => client.call(name, ...args),
    }),
    openSubscriber: () => openSubscriber(client, secrets),
  });
}

async function openSubscriber(
  client: IoredisServer | IoredisCluster,
  secrets: readonly string[],
): Promise<Connection> {
  const subscriber = serverOf(client).duplicate(SUBSCRIBER);
  const ended = new Promise<Error>((resolve) => {
    subscriber.on('error', (error) => resolve(withoutSecrets(error, secrets)));
    subscriber.on('connect', () => void subscriber.stream?.unref?.());
    subscriber.on('end', () => resolve(new Error('The connection was ended')));
  });
  const refuse = (error: unknown): never => {
    throw withoutSecrets(error, secrets);
  };
  const destroy = (): void => subscriber.disconnect();
  const late = (): Error => new Error('The server did not greet in time');
  try {
    await within(subscriber.connect(), GREETING_TIMEOUT_MS, late, true);
  } catch (error) {
    destroy();
    return refuse(error);
  }
  void ended.then(destroy);
  return {
    ended,
    destroy,
    send: ([name = '', ...args]) => subscriber.call(name, ...args).then(replyOf, refuse),
    subscribe: (channel, onMessage) => {
      subscriber.on('message', (_, message) => onMessage(String(message)));
      return subscriber.subscribe(channel).then(() => {}, refuse);
    },
  };
}

/** Itself, or one node of the cluster: each passes on what is published at another. */
function serverOf(client: IoredisServer | IoredisCluster): IoredisServer {
  if (!('nodes' in client)) return client;
  const nodes = client.nodes('master');
  const node = nodes[Math.floor(Math.random() * nodes.length)];
  if (node === undefined) throw new Error('The cluster is not connected');
  return node;
}

function optionsOf(client: IoredisServer | IoredisCluster): IoredisOptions {
  return client.options;
}

function secretsOf({ password, sentinelPassword, redisOptions }: IoredisOptions): readonly string[] {
  return [password, sentinelPassword, redisOptions?.password].filter((text) => typeof text === 'string');
}

/** As `createRedisClient` would take it, for people. A cluster tells its nodes once it is connected. */
function addressOf(client: IoredisServer | IoredisCluster): string {
  const options = optionsOf(client);
  const scheme = (options.tls ?? options.redisOptions?.tls) ? 'rediss' : 'redis';
  if ('nodes' in client) {
    const hosts = client.nodes('master').map((node) => hostOf(optionsOf(node), 6379));
    return `${scheme}+cluster://${hosts.join(',') || 'unknown'}`;
  }
  const database = options.db ? `/${String(options.db)}` : '';
  if (options.sentinels) {
    const hosts = options.sentinels.map((sentinel) => hostOf(sentinel, 26_379));
    return `${scheme}+sentinel://${hosts.join(',')}/${String(options.name)}${database}`;
  }
  return options.path ? `unix:${options.path}` : `${scheme}://${hostOf(options, 6379)}${database}`;
}

function hostOf({ host, port }: Pick<IoredisOptions, 'host' | 'port'>, standardPort: number): string {
  return `${host ?? 'localhost'}:${String(port ?? standardPort)}`;
}
