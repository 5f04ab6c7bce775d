import { setTimeout as delay } from 'node:timers/promises';
import { KeymuxError } from '../../core/errors.js';
import type { Connection } from './client-connection.js';
import { within } from './client-deadline.js';
import { clientClosed, faultOf, noAnswer, notConnected, notYetConnected } from './client-errors.js';
import { Signal } from './client-signal.js';
import { hrtimeMs, RedisReplyError, type Reply } from './client.js';

export interface LinkOptions {
  readonly address: string;
  /** Settles within some seconds. Called again, for ever, when it rejects or when its connection has ended. */
  readonly open: () => Promise<Connection>;
  /** Before a new connection is used; what it rejects with ends the connection. Settles within some seconds, too. */
  readonly onOpen?: (connection: Connection) => Promise<void>;
  readonly onLost?: () => void;
}

/** So long may a connection be silent while an answer is due. Keep-alive of TCP would take minutes. */
const SILENCE_MS = 1_000;
const FIRST_PAUSE_MS = 50;
const LONGEST_PAUSE_MS = 500;

/** A connection that mends itself. Nothing of it keeps the program alive but commands that wait for an answer. */
export class Link {
  readonly #options: LinkOptions;
  readonly #closing = new AbortController();
  #connection: Connection | undefined;
  #isKept = false;
  #fault: Error | undefined;
  /** A connection was made or lost, or an attempt at one has failed. */
  readonly #change = new Signal();
  #lastHeardMs = 0;
  #unanswered = 0;
  #unansweredSinceMs = 0;

  constructor(options: LinkOptions) {
    this.#options = options;
  }

  get isReady(): boolean {
    return this.#connection !== undefined;
  }

  get isWaiting(): boolean {
    return this.#unanswered > 0;
  }

  /** Milliseconds of `process.hrtime`; 0 before the first answer. */
  get lastHeardMs(): number {
    return this.#lastHeardMs;
  }

  /** Begins to connect, and goes on for ever. */
  begin(): void {
    if (this.#isKept) return;
    this.#isKept = true;
    void this.#connectForEver();
  }

  /** Begins to connect where that was not done yet, and waits for a connection. */
  async ready(deadlineMs: number): Promise<void> {
    this.#refuseIfClosed();
    this.begin();
    const giveUp = (): Error => this.#unconnected();
    let isOver = false;
    const connected = async (): Promise<void> => {
      while (!this.isReady && !isOver) {
        await this.#change.next();
        this.#refuseIfClosed();
        if (this.#fault instanceof KeymuxError) throw this.#fault;
      }
    };
    await within(connected(), deadlineMs, giveUp).finally(() => (isOver = true));
  }

  /** Rejects at once while there is no connection. `isIdle`: the program may end before the answer. */
  async send(command: readonly string[], deadlineMs: number, isIdle = false): Promise<Reply> {
    const connection = this.#connection;
    const { address } = this.#options;
    this.#refuseIfClosed();
    if (connection === undefined) throw this.#unconnected();
    const onLate = (): Error => {
      this.#watchSilence(connection);
      return noAnswer(address, deadlineMs);
    };
    return within(this.#ask(connection, command), deadlineMs, onLate, isIdle);
  }

  close(): void {
    this.#closing.abort();
    this.#connection?.destroy();
    this.#change.fire();
  }

  async #ask(connection: Connection, command: readonly string[]): Promise<Reply> {
    if (this.#unanswered === 0) this.#unansweredSinceMs = hrtimeMs();
    this.#unanswered += 1;
    try {
      const reply = await connection.send(command);
      this.#lastHeardMs = hrtimeMs();
      return reply;
    } catch (error) {
      if (!(error instanceof RedisReplyError)) throw this.#broken(error);
      this.#lastHeardMs = hrtimeMs();
      // It is no master any more: another connection finds the one that is.
      if (error.code === 'READONLY') connection.destroy();
      throw error;
    } finally {
      this.#unanswered -= 1;
    }
  }

  #unconnected(): KeymuxError {
    const { address } = this.#options;
    return this.#fault === undefined ? notYetConnected(address) : notConnected(address, this.#fault);
  }

  #broken(cause: unknown): KeymuxError {
    const { address } = this.#options;
    return this.#closing.signal.aborted ? clientClosed(address) : notConnected(address, cause);
  }

  #refuseIfClosed(): void {
    if (this.#closing.signal.aborted) throw clientClosed(this.#options.address);
  }

  #watchSilence(connection: Connection): void {
    const quietMs = hrtimeMs() - Math.max(this.#lastHeardMs, this.#unansweredSinceMs);
    if (this.#unanswered === 0 || this.#connection !== connection) return;
    if (quietMs >= SILENCE_MS) connection.destroy();
    else setTimeout(() => setImmediate(() => this.#watchSilence(connection)), SILENCE_MS - quietMs).unref();
  }

  async #connectForEver(): Promise<void> {
    const { signal } = this.#closing;
    for (let failures = 0; !signal.aborted;) {
      try {
        const connection = await this.#open();
        failures = 0;
        this.#fault = await connection.ended;
      } catch (error) {
        failures += 1;
        this.#fault = faultOf(this.#options.address, error);
      }
      this.#connection = undefined;
      this.#change.fire();
      this.#options.onLost?.();
      await delay(pauseMs(failures, Math.random()), undefined, { ref: false, signal }).catch(() => {});
    }
  }

  async #open(): Promise<Connection> {
    const connection = await this.#options.open();
    try {
      await this.#options.onOpen?.(connection);
      this.#refuseIfClosed();
    } catch (error) {
      connection.destroy();
      throw error;
    }
    this.#fault = undefined;
    this.#lastHeardMs = hrtimeMs();
    this.#connection = connection;
    this.#change.fire();
    return connection;
  }
}

/** How long to wait before the next attempt, after so many that failed. `random` from 0 to 1. */
export function pauseMs(failures: number, random: number): number {
  const longestMs = Math.min(LONGEST_PAUSE_MS, FIRST_PAUSE_MS * 2 ** failures);
  return longestMs * (0.5 + random / 2);
}
