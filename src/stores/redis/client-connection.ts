import { readFileSync } from 'node:fs';
import { KeymuxError } from '../../core/errors.js';
import type { RedisEndpoint, RedisLogin } from '../../core/redis-address.js';
import { within } from './client-deadline.js';
import { withoutSecrets } from './client-errors.js';
import { RedisReplyError, replyOf, type Reply } from './client.js';

/** One connection to one server. It never connects again: a `Link` opens another. */
export interface Connection {
  /** Rejects with `RedisReplyError`, or with another error where the connection ends before the answer. */
  send(command: readonly string[]): Promise<Reply>;
  subscribe(channel: string, onMessage: (message: string) => void): Promise<void>;
  /** Resolves with the reason once the connection is gone. */
  readonly ended: Promise<Error>;
  destroy(): void;
}

const ANSWER_MS = 1_000;

/** The answer of a connection that is not kept by a `Link`, within 1 s. */
export function answerOf(connection: Connection, command: readonly string[]): Promise<Reply> {
  const late = (): Error => new Error(`The server did not answer within ${String(ANSWER_MS)} ms`);
  return within(connection.send(command), ANSWER_MS, late, true);
}

/** PEM files; they are read again for each connection, so that a renewed certificate is taken up. */
export interface RedisTlsOptions {
  readonly caFile?: string;
  readonly certFile?: string;
  readonly keyFile?: string;
  /** The name that the server's certificate must have. Default: its host. */
  readonly serverName?: string;
}

export interface ConnectionOptions {
  readonly login: RedisLogin;
  readonly database: number;
  /** Undefined: no TLS. */
  readonly tls: RedisTlsOptions | undefined;
  readonly connectionName: string;
}

export type Library = typeof import('@redis/client');

/** Without any progress of TCP or TLS. */
export const CONNECT_TIMEOUT_MS = 1_000;
/** Until the server has accepted the login and answers. */
const GREETING_TIMEOUT_MS = 2_000;

/**
 * Connects, logs in and waits for a first answer: the kernel of a frozen server still accepts connections.
 * @throws `RedisReplyError` where the server refuses the login; `KEYMUX_CONFIG_INVALID` for a file of `tls`
 */
export async function openConnection(
  library: Library,
  endpoint: RedisEndpoint,
  options: ConnectionOptions,
): Promise<Connection> {
  const client = createClient(library, endpoint, options);
  return adopt(client, [options.login.password ?? ''], options.connectionName);
}

/** What is used of a client of node-redis. */
export interface OneConnection {
  connect(): Promise<unknown>;
  sendCommand(command: string[]): Promise<unknown>;
  subscribe(channel: string, listener: (message: string) => void): Promise<unknown>;
  /** Version 4 has no `destroy`. */
  disconnect(): Promise<unknown>;
  on(event: string, listener: (error?: unknown) => void): unknown;
  /** Lets the program end while it is connected. */
  unref(): void;
}

export const CONNECTION_NAME = 'keymux';

/** Connects a client that is ours, with `reconnectStrategy: false`. */
export async function adopt(
  client: OneConnection,
  secrets: readonly string[],
  name = CONNECTION_NAME,
): Promise<Connection> {
  client.unref();
  // Some versions throw where there is nothing to end.
  const disconnect = async (): Promise<unknown> => client.disconnect();
  const destroy = (): void => void disconnect().catch(() => {});
  const ended = new Promise<Error>((resolve) => {
    client.on('error', (error) => resolve(withoutSecrets(error, secrets)));
    client.on('end', () => resolve(new Error('The connection was ended')));
  });
  const refuse = (error: unknown): never => {
    throw withoutSecrets(error, secrets);
  };
  const send = (command: readonly string[]): Promise<Reply> =>
    client.sendCommand([...command]).then(replyOf, refuse);
  const opening = client.connect();
  try {
    await within(
      opening.then(() => greet(send, name)),
      GREETING_TIMEOUT_MS,
      tooLate,
      true,
    );
  } catch (error) {
    destroy();
    // A connection that comes about after it was destroyed stays open in this library.
    opening.then(destroy).catch(() => {});
    return refuse(error);
  }
  void ended.then(destroy);
  return {
    send,
    subscribe: (channel, onMessage) => client.subscribe(channel, onMessage).then(() => {}, refuse),
    ended,
    destroy,
  };
}

function createClient(library: Library, { host, port }: RedisEndpoint, options: ConnectionOptions) {
  const { username, password } = options.login;
  const socket = { host, port, connectTimeout: CONNECT_TIMEOUT_MS, reconnectStrategy: false } as const;
  return library.createClient({
    RESP: 2,
    disableOfflineQueue: true,
    // Neither is needed, and a user of few rights may not be allowed either.
    disableClientInfo: true,
    maintNotifications: 'disabled',
    // An AbortSignal with a timer for each command otherwise; `Link` has deadlines of its own.
    commandOptions: { timeout: 0 },
    database: options.database,
    ...(username === undefined ? {} : { username }),
    ...(password === undefined ? {} : { password }),
    socket: options.tls === undefined ? socket : { ...socket, tls: true, ...readTls(options.tls) },
  });
}

/** A name for `CLIENT LIST`. A user who may not set it is welcome; one who has to log in first is not. */
async function greet(send: Connection['send'], name: string): Promise<void> {
  try {
    await send(['CLIENT', 'SETNAME', name]);
  } catch (error) {
    if (!(error instanceof RedisReplyError) || error.code !== 'NOPERM') throw error;
  }
}

function tooLate(): Error {
  return new Error(`The server did not greet within ${String(GREETING_TIMEOUT_MS)} ms.`);
}

function readTls({ caFile, certFile, keyFile, serverName }: RedisTlsOptions): {
  ca?: string;
  cert?: string;
  key?: string;
  servername?: string;
} {
  return {
    ...(caFile === undefined ? {} : { ca: readPem(caFile) }),
    ...(certFile === undefined ? {} : { cert: readPem(certFile) }),
    ...(keyFile === undefined ? {} : { key: readPem(keyFile) }),
    ...(serverName === undefined ? {} : { servername: serverName }),
  };
}

function readPem(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch (cause) {
    throw new KeymuxError('KEYMUX_CONFIG_INVALID', `The file ${path} of store.tls cannot be read.`, {
      fix: 'Give the path of a PEM file that this program may read.',
      cause,
    });
  }
}
