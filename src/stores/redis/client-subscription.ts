import type { Connection } from './client-connection.js';
import { within } from './client-deadline.js';
import { noAnswer } from './client-errors.js';
import { Link } from './client-link.js';
import type { RedisClient } from './client.js';

export interface Subscription {
  /** Resolves when the channel is followed, or after 1 s. */
  readonly begun: Promise<void>;
  close(): void;
}

/** Nobody sends anything on a quiet channel: only a question shows that the connection was cut off meanwhile. */
const HEARTBEAT_MS = 2_000;
const HEARTBEAT_DEADLINE_MS = 1_000;
const PATIENCE_MS = 1_000;

/** Follows a channel on a connection of its own, which mends itself. */
export function subscribe(
  address: string,
  open: () => Promise<Connection>,
  channel: string,
  hooks: Parameters<RedisClient['subscribe']>[1],
): Subscription {
  let isClosed = false;
  const link = new Link({
    address,
    open,
    onOpen: async (connection) => {
      const following = connection.subscribe(channel, (message) => {
        if (!isClosed) hooks.onMessage(message);
      });
      await within(following, HEARTBEAT_DEADLINE_MS, () => noAnswer(address, HEARTBEAT_DEADLINE_MS), true);
      if (!isClosed) hooks.onGap();
    },
  });
  const heartbeat = setInterval(() => {
    if (link.isReady) link.send(['PING'], HEARTBEAT_DEADLINE_MS, true).catch(() => {});
  }, HEARTBEAT_MS).unref();
  return {
    begun: link.ready(PATIENCE_MS).catch(() => {}),
    close: () => {
      isClosed = true;
      clearInterval(heartbeat);
      link.close();
    },
  };
}
