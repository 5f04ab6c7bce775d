import type { Connection } from './client-connection.js';
import { clientClosed } from './client-errors.js';
import { runScript } from './client-script.js';
import { subscribe, type Subscription } from './client-subscription.js';
import { hrtimeMs, type RedisClient, type RedisScript, type Reply } from './client.js';

/** Where commands go: to one server, or to that node of a cluster which has the key. */
export interface Commands {
  ready(deadlineMs: number): Promise<void>;
  send(key: string, command: readonly string[], deadlineMs: number): Promise<Reply>;
  readonly lastHeardMs: number;
  close(): void;
}

export interface ClientParts {
  readonly address: () => string;
  /** What takes its time once and is no trouble of the server, such as loading a library. */
  readonly prepare?: () => Promise<unknown>;
  readonly commands: Commands;
  /** A connection that is used for one subscription, and ended with it. */
  readonly openSubscriber: () => Promise<Connection>;
}

export function composeClient(parts: ClientParts): RedisClient {
  return new ComposedClient(parts);
}

class ComposedClient implements RedisClient {
  readonly #parts: ClientParts;
  readonly #subscriptions = new Set<Subscription>();
  #isClosed = false;

  constructor(parts: ClientParts) {
    this.#parts = parts;
  }

  get address(): string {
    return this.#parts.address();
  }

  get lastHeardMs(): number {
    return this.#parts.commands.lastHeardMs;
  }

  async connect(deadlineMs: number): Promise<void> {
    await this.#parts.prepare?.();
    this.#refuseIfClosed();
    await this.#parts.commands.ready(deadlineMs);
  }

  async run(
    script: RedisScript,
    keys: readonly string[],
    args: readonly string[],
    deadlineMs: number,
  ): Promise<Reply> {
    this.#refuseIfClosed();
    const untilMs = hrtimeMs() + deadlineMs;
    return runScript(script, keys, args, (command) =>
      this.#parts.commands.send(keys[0] ?? '', command, Math.max(1, untilMs - hrtimeMs())),
    );
  }

  async subscribe(
    channel: string,
    hooks: Parameters<RedisClient['subscribe']>[1],
  ): Promise<() => Promise<void>> {
    await this.#parts.prepare?.();
    this.#refuseIfClosed();
    const { openSubscriber } = this.#parts;
    const subscription = subscribe(this.address, openSubscriber, channel, hooks);
    this.#subscriptions.add(subscription);
    await subscription.begun;
    return async () => {
      this.#subscriptions.delete(subscription);
      subscription.close();
    };
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    for (const subscription of this.#subscriptions) subscription.close();
    this.#subscriptions.clear();
    this.#parts.commands.close();
  }

  #refuseIfClosed(): void {
    if (this.#isClosed) throw clientClosed(this.address);
  }
}
