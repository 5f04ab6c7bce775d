/** What the Redis store needs of a client library; an adapter for each library gives it. */

/** A script that Redis runs as one atomic operation. */
export interface RedisScript {
  readonly name: string;
  /** Lua. Its head tells its inputs and outputs. */
  readonly text: string;
  /** SHA-1 of `text`, in hex. */
  readonly sha1: string;
}

/** What scripts answer with. Numbers with fractions come as text. */
export type Reply = string | number | null | readonly Reply[];

/** The server answered, with an error. `code` is its first word, such as `READONLY`, `OOM`, `NOPERM` or `LOADING`. */
export class RedisReplyError extends Error {
  readonly code: string;

  constructor(message: string) {
    super(message);
    this.name = 'RedisReplyError';
    this.code = /^[A-Z][A-Z0-9_]*(?= |$)/.exec(message)?.[0] ?? 'ERR';
  }
}

/** No method rejects with an error that holds a password. */
export interface RedisClient {
  /** What people may read: scheme, hosts and path, never a password. */
  readonly address: string;
  /**
   * Connects, within `deadlineMs` (the loading of a library is not counted). From the first call on the client
   * connects by itself whenever there is no connection, also after this call was rejected, and may be asked again.
   * @throws `KEYMUX_STORE_UNAVAILABLE`, at once where the server refuses the login; `KEYMUX_CONFIG_INVALID` where a
   *   file of `tls` cannot be read; `KEYMUX_CLOSED`
   */
  connect(deadlineMs: number): Promise<void>;
  /**
   * Runs a script by its digest, with its text where the server does not know it (NOSCRIPT). All `keys` carry the
   * same hash tag. Rejects within `deadlineMs` where no answer came, and at once while there is no connection:
   * nothing is queued. A script whose answer did not come may have run, or may run yet. Where this thread was blocked,
   * answers that came meanwhile are read first, so that the rejection is later by as much and up to 20 ms more.
   * @throws `RedisReplyError` where the server refuses; `KEYMUX_TIMEOUT` where no answer came in time;
   *   `KEYMUX_STORE_UNAVAILABLE` where there is no connection, or it broke; `KEYMUX_CLOSED`
   */
  run(
    script: RedisScript,
    keys: readonly string[],
    args: readonly string[],
    deadlineMs: number,
  ): Promise<Reply>;
  /**
   * When this client last had an answer from the server, refusals included, in milliseconds of `process.hrtime`; 0
   * before the first. Of a cluster: from that node, among those whose answer is waited for, that is silent longest.
   */
  readonly lastHeardMs: number;
  /**
   * Follows a channel, on a connection of its own. `onGap` is called whenever messages may have been missed: after
   * the first subscription, and after each new connection. Resolves when the subscription is in force, or after 1 s
   * where there is no connection: it then comes into force by itself.
   */
  subscribe(
    channel: string,
    hooks: { readonly onMessage: (message: string) => void; readonly onGap: () => void },
  ): Promise<() => Promise<void>>;
  /** Ends all connections; commands under way are rejected. May be called twice. */
  close(): Promise<void>;
}

/** The clock of `lastHeardMs`. */
export function hrtimeMs(): number {
  const [seconds, nanoseconds] = process.hrtime();
  return seconds * 1_000 + nanoseconds / 1e6;
}

/** As the port promises it, where the owner of the client wants texts as bytes, or numbers of any size. */
export function replyOf(reply: unknown): Reply {
  if (Array.isArray(reply)) return reply.map(replyOf);
  if (Buffer.isBuffer(reply)) return reply.toString();
  if (typeof reply === 'bigint') return Number(reply);
  return reply as Reply;
}
