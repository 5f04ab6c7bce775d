/** The line to the server: runs scripts, agrees with it on the time, and says when it is cut and when it is mended. */
import { randomBytes } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import { KeymuxError } from '../../core/errors.js';
import type { StoreNotice } from '../../core/ports.js';
import { isSilence } from '../../core/silence.js';
import type { RedisClient, RedisScript, Reply } from './client.js';
import type { Names } from './names.js';
import type { Scripts } from './scripts/all.js';
import type { StoreClock } from './store-clock.js';
import { explain, unavailable } from './trouble.js';

/** Own outputs of a script, all as text, and the word that it answered with. */
export interface Answer {
  readonly word: string;
  readonly parts: readonly string[];
}

/** Own inputs of a script; as a function where they depend on the time, which the server may correct. */
export type Inputs = readonly (string | number)[] | (() => readonly (string | number)[]);

export interface LineOptions {
  readonly client: RedisClient;
  readonly names: Names;
  readonly scripts: Scripts;
  readonly clock: StoreClock;
  readonly onNotice: (notice: StoreNotice) => void;
  /** The server takes writes again, after it did not. */
  readonly onMended: () => Promise<void>;
}

/** Scripts tell times in microseconds where that is worth it. */
export const MICROS = 1_000;
const OPERATION_DEADLINE_MS = 1_000;
/** How often a question is put again where server and client do not agree on the time. */
const MOST_TRIALS = 3;
const CONNECT_DEADLINE_MS = 500;
const LONGEST_PAUSE_MS = 400;

export class Line {
  readonly #options: LineOptions;
  readonly #epochs = randomBytes(9).toString('base64url');
  #nextEpoch = 1;
  #isCut = false;
  #isClosed = false;
  readonly #ending = new AbortController();

  constructor(options: LineOptions) {
    this.#options = options;
  }

  get address(): string {
    return this.#options.client.address;
  }

  /** Rejects with `KEYMUX_STORE_UNAVAILABLE`; goes on trying in the background. */
  connect(): Promise<void> {
    return this.#guard(() => this.#options.client.connect(CONNECT_DEADLINE_MS));
  }

  /** Runs a script on keys of the fleet. */
  ask(operation: keyof Scripts, inputs: Inputs = []): Promise<Answer> {
    const { scripts, names } = this.#options;
    return this.#guard(() => this.#agree(scripts[operation], names.fleet, inputs, OPERATION_DEADLINE_MS));
  }

  /** Runs a script on one bucket. */
  askBucket(
    operation: keyof Scripts,
    bucket: string,
    inputs: Inputs,
    deadlineMs = OPERATION_DEADLINE_MS,
  ): Promise<Answer> {
    const { scripts, names } = this.#options;
    return this.#guard(() => this.#agree(scripts[operation], [names.bucket(bucket)], inputs, deadlineMs));
  }

  /** The server did not do what it was asked for: from now on, and until it takes writes again, it is tried on and on. */
  noteTrouble(error: unknown): void {
    if (this.#isCut || this.#isClosed) return;
    this.#isCut = true;
    // What is only slow is mended, too; it is trouble where that does not succeed at once.
    const isTrouble = !isSilence(error);
    if (isTrouble) this.#tellTrouble(error);
    void this.#mend(isTrouble);
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    this.#ending.abort();
    await this.#options.client.close();
  }

  #tellTrouble(error: unknown): void {
    if (this.#isClosed) return;
    const { problem, fix } = explain(error);
    this.#options.onNotice({
      kind: 'degraded',
      message: `The Redis store ${this.address} cannot be used: ${problem}. Each process goes on with what it has leased, then with its fair share.`,
      fix,
    });
  }

  async #guard<T>(act: () => Promise<T>): Promise<T> {
    try {
      return await act();
    } catch (error) {
      if (error instanceof KeymuxError && error.code === 'KEYMUX_CLOSED') throw error;
      if (error instanceof KeymuxError && error.code === 'KEYMUX_CONFIG_INVALID') throw error;
      this.noteTrouble(error);
      throw unavailable(this.address, error);
    }
  }

  async #agree(
    script: RedisScript,
    keys: readonly string[],
    inputs: Inputs,
    deadlineMs: number,
  ): Promise<Answer> {
    const { client, clock } = this.#options;
    let isCertain = false;
    for (let trial = 1; ; trial += 1) {
      const sentMs = clock.monotonicMs();
      const estimate = clock.estimate(sentMs);
      const reply = await client.run(
        script,
        keys,
        [
          estimate === undefined ? '' : estimate.toFixed(3),
          clock.adjustmentMs.toFixed(3),
          isCertain ? '1' : '0',
          `${this.#epochs}-${String(this.#nextEpoch++)}`,
          ...(typeof inputs === 'function' ? inputs() : inputs).map(String),
        ],
        deadlineMs,
      );
      const receivedMs = clock.monotonicMs();
      const [word = '', storeNow, adjustment, ...parts] = textsOf(reply);
      const time = [Number(storeNow) / MICROS, Number(adjustment) / MICROS, sentMs, receivedMs] as const;
      if (word !== 'CLOCK') {
        clock.learn(...time);
        return { word, parts };
      }
      if (trial === MOST_TRIALS) throw new Error('its clock and that of this process do not agree');
      const verdict = clock.judge(...time);
      isCertain = verdict === 'jumped';
      if (verdict === 'unsure') clock.learn(...time);
    }
  }

  async #mend(wasTold: boolean): Promise<void> {
    let isTold = wasTold;
    const { client, onNotice, onMended } = this.#options;
    while (!this.#isClosed) {
      await this.#pause();
      try {
        await client.connect(CONNECT_DEADLINE_MS);
        // A write: a server that is out of memory, or a replica, answers to reads.
        await this.#agree(this.#options.scripts.enrol, this.#options.names.fleet, [], OPERATION_DEADLINE_MS);
        await onMended();
        break;
      } catch (error) {
        if (!isTold) this.#tellTrouble(error);
        isTold = true;
      }
    }
    this.#isCut = false;
    if (this.#isClosed || !isTold) return;
    onNotice({
      kind: 'recovered',
      message: `The Redis store ${this.address} can be used again.`,
      fix: 'Nothing is to be done.',
    });
  }

  async #pause(): Promise<void> {
    const pauseMs = LONGEST_PAUSE_MS * (0.5 + Math.random() / 2);
    await delay(pauseMs, undefined, { ref: false, signal: this.#ending.signal }).catch(() => {});
  }
}

function textsOf(reply: Reply): string[] {
  if (!Array.isArray(reply)) throw new Error(`it answers with ${typeof reply}, which no script does`);
  return reply.map(String);
}
