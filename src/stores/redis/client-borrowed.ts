import type { Commands } from './client-composed.js';
import { within } from './client-deadline.js';
import { clientClosed, noAnswer, notConnected, withoutSecrets } from './client-errors.js';
import { Signal } from './client-signal.js';
import { hrtimeMs, RedisReplyError, replyOf, type Reply } from './client.js';

/** Events of a client; the listeners that are added here are taken away by `close`. */
export interface Emitter {
  on(event: string, listener: (...args: unknown[]) => void): unknown;
  off(event: string, listener: (...args: unknown[]) => void): unknown;
}

export interface BorrowedOptions {
  /** A cluster tells its nodes once it is connected. */
  readonly address: () => string;
  readonly emitter: Emitter;
  /** Events after which the client can be used, or its connection is gone. */
  readonly events: { readonly ready: string; readonly lost: readonly string[] };
  readonly isReady: () => boolean;
  /** Where the client waits for its first command before it connects. */
  readonly begin?: () => void;
  readonly send: (command: readonly string[]) => Promise<unknown>;
  /** What is to appear in no error. */
  readonly secrets: readonly string[];
}

/**
 * The commands of a client that belongs to somebody else: it may queue what we send, and connects again as its owner
 * wants. What is given to it has a deadline here, and is given up here as soon as the connection is gone.
 */
export class BorrowedCommands implements Commands {
  readonly #options: BorrowedOptions;
  readonly #change = new Signal();
  readonly #pending = new Set<(error: Error) => void>();
  #isClosed = false;
  #lastHeardMs = 0;
  readonly #onReady = (): void => this.#change.fire();
  readonly #onLost = (): void => this.#giveUp(notConnected(this.#options.address()));

  constructor(options: BorrowedOptions) {
    this.#options = options;
    const { emitter, events } = options;
    emitter.on(events.ready, this.#onReady);
    for (const event of events.lost) emitter.on(event, this.#onLost);
  }

  get lastHeardMs(): number {
    return this.#lastHeardMs;
  }

  /** Waits until the client is ready and the server answers: the kernel of a frozen one still accepts connections. */
  async ready(deadlineMs: number): Promise<void> {
    const { address, begin, isReady } = this.#options;
    const untilMs = hrtimeMs() + deadlineMs;
    begin?.();
    let isOver = false;
    const becomesReady = async (): Promise<void> => {
      while (!isReady() && !isOver) {
        await this.#change.next();
        this.#refuseIfClosed();
      }
    };
    await within(becomesReady(), deadlineMs, () => notConnected(address())).finally(() => (isOver = true));
    try {
      await this.send('', ['PING'], Math.max(1, untilMs - hrtimeMs()));
    } catch (error) {
      if (!(error instanceof RedisReplyError)) throw error;
    }
  }

  async send(_key: string, command: readonly string[], deadlineMs: number): Promise<Reply> {
    const { address, isReady } = this.#options;
    this.#refuseIfClosed();
    if (!isReady()) throw notConnected(address());
    return within(this.#ask(command), deadlineMs, () => noAnswer(address(), deadlineMs));
  }

  close(): void {
    const { emitter, events } = this.#options;
    this.#isClosed = true;
    emitter.off(events.ready, this.#onReady);
    for (const event of events.lost) emitter.off(event, this.#onLost);
    this.#change.fire();
    this.#giveUp(clientClosed(this.#options.address()));
  }

  async #ask(command: readonly string[]): Promise<Reply> {
    const { address, secrets, send } = this.#options;
    try {
      const reply = await new Promise<unknown>((resolve, reject) => {
        this.#pending.add(reject);
        void send(command)
          .then(resolve, reject)
          .finally(() => this.#pending.delete(reject));
      });
      this.#lastHeardMs = hrtimeMs();
      return replyOf(reply);
    } catch (error) {
      const clean = withoutSecrets(error, secrets);
      if (!(clean instanceof RedisReplyError)) throw notConnected(address(), clean);
      this.#lastHeardMs = hrtimeMs();
      throw clean;
    }
  }

  #giveUp(error: Error): void {
    for (const reject of this.#pending) reject(error);
    this.#pending.clear();
  }

  #refuseIfClosed(): void {
    if (this.#isClosed) throw clientClosed(this.#options.address());
  }
}
