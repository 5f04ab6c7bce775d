/** What is to be told to one destination: one message after the other, with patience and without end of neither. */
import type { Random } from '../core/ports.js';
import type { AlertPayload } from './alert-payload.js';

/** Messages that wait; of more, the oldest are given up. */
const MOST_WAITING = 100;
const MOST_ATTEMPTS = 5;
const FIRST_PAUSE_MS = 1_000;
const JITTER = 0.2;

interface Retry {
  readonly mayRetry: boolean;
  /** What the receiver asked for. Milliseconds. */
  readonly afterMs?: number;
}

/** A message that did not arrive; the text tells why, without a secret. */
export class Undelivered extends Error {
  readonly retry: Retry;

  constructor(message: string, retry: Retry) {
    super(message);
    this.name = 'Undelivered';
    this.retry = retry;
  }
}

export interface OutboxContext {
  /** Rejects with `Undelivered`. */
  readonly deliver: (payload: AlertPayload, signal: AbortSignal) => Promise<void>;
  /** Called once when messages begin to be lost, and once when one arrives again. */
  readonly onTrouble: (reason: string) => void;
  readonly onRecovery: () => void;
  readonly random: Random;
  /** The pause after the first failure; each further one is twice as long. Milliseconds. Default: 1,000. */
  readonly firstPauseMs?: number | undefined;
}

export class Outbox {
  readonly counts = { delivered: 0, failed: 0 };
  readonly #context: OutboxContext;
  readonly #waiting: AlertPayload[] = [];
  readonly #abort = new AbortController();
  #running: Promise<void> | undefined;
  #wake: () => void = () => {};
  #isInTrouble = false;
  #isClosing = false;

  constructor(context: OutboxContext) {
    this.#context = context;
  }

  /** Never waits, never fails. */
  add(payload: AlertPayload): void {
    if (this.#isClosing) return;
    this.#waiting.push(payload);
    if (this.#waiting.length > MOST_WAITING) {
      this.#waiting.shift();
      this.#lose('too many messages wait for it');
    }
    this.#running ??= this.#run();
  }

  /** Tries once more what waits, for no longer than `graceMs`; then nothing is under way any more. */
  async close(graceMs: number): Promise<void> {
    this.#isClosing = true;
    this.#wake();
    const timer = setTimeout(() => this.#abort.abort(), graceMs);
    await this.#running;
    clearTimeout(timer);
  }

  async #run(): Promise<void> {
    for (;;) {
      const payload = this.#waiting.shift();
      if (payload === undefined) break;
      await this.#deliver(payload);
    }
    this.#running = undefined;
  }

  async #deliver(payload: AlertPayload): Promise<void> {
    for (let attempt = 1; ; attempt += 1) {
      try {
        if (this.#abort.signal.aborted) throw new Undelivered('keymux stopped', { mayRetry: false });
        await this.#context.deliver(payload, this.#abort.signal);
        this.#arrived();
        return;
      } catch (error) {
        const { message, retry } = asUndelivered(error);
        if (!retry.mayRetry || attempt >= MOST_ATTEMPTS || this.#isClosing) {
          this.#lose(message);
          return;
        }
        await this.#pause(retry.afterMs ?? this.#pauseMs(attempt));
      }
    }
  }

  #pauseMs(attempt: number): number {
    const { firstPauseMs = FIRST_PAUSE_MS, random } = this.#context;
    return firstPauseMs * 2 ** (attempt - 1) * (1 + JITTER * random());
  }

  /** Keeps no process alive; ends when the outbox is closed. */
  #pause(pauseMs: number): Promise<void> {
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, pauseMs).unref();
      this.#wake = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }

  #arrived(): void {
    this.counts.delivered += 1;
    if (!this.#isInTrouble) return;
    this.#isInTrouble = false;
    this.#context.onRecovery();
  }

  #lose(reason: string): void {
    this.counts.failed += 1;
    if (this.#isInTrouble) return;
    this.#isInTrouble = true;
    this.#context.onTrouble(reason);
  }
}

function asUndelivered(error: unknown): Undelivered {
  return error instanceof Undelivered
    ? error
    : new Undelivered('it failed in a way that nobody foresaw', { mayRetry: false });
}
