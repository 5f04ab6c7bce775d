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

export interface RedisClient {
  /** What people may read: scheme, host and port, never a password. */
  readonly address: string;
  /** Connects, within `deadlineMs`. Afterwards the client connects again by itself whenever it is cut off. */
  connect(deadlineMs: number): Promise<void>;
  /**
   * Runs a script by its digest, with its text where the server does not know it (NOSCRIPT). All `keys` carry the
   * same hash tag. Rejects within `deadlineMs` where no answer came, and at once while there is no connection:
   * nothing is queued.
   */
  run(
    script: RedisScript,
    keys: readonly string[],
    args: readonly string[],
    deadlineMs: number,
  ): Promise<Reply>;
  /** When this client last heard anything from the server, in milliseconds of `process.hrtime`. */
  readonly lastHeardMs: number;
  /**
   * Follows a channel, on a connection of its own. `onGap` is called whenever messages may have been missed: after
   * the first subscription, and after each new connection.
   */
  subscribe(
    channel: string,
    hooks: { readonly onMessage: (message: string) => void; readonly onGap: () => void },
  ): Promise<() => Promise<void>>;
  close(): Promise<void>;
}
