import { readFileSync } from 'node:fs';
import { uptime } from 'node:os';
import type { Database, Query, Statement } from './driver.js';

/** What a clock reads of its machine. */
export interface TimeSources {
  /** Epoch milliseconds; may jump. */
  wallMs(): number;
  /** Since some moment of this start of the machine, the same for all processes; never jumps. */
  monotonicMs(): number;
  /** How long the machine has slept since it was started, where the monotonic clock does not count sleep. */
  suspendedMs(): number;
  /** Names this start of the machine; `''` where the platform does not tell. */
  readonly boot: string;
}

const BOOT_ID_FILE = '/proc/sys/kernel/random/boot_id';

export function machineTime(): TimeSources {
  const boot = readBootId();
  return {
    wallMs: () => Date.now(),
    monotonicMs,
    // Only Linux stops CLOCK_MONOTONIC during sleep; its /proc/uptime, which os.uptime() reads, goes on.
    suspendedMs: boot === '' ? () => 0 : () => Math.max(0, uptime() * 1_000 - monotonicMs()),
    boot,
  };
}

export function monotonicMs(): number {
  return Number(process.hrtime.bigint()) / 1e6;
}

function readBootId(): string {
  try {
    return readFileSync(BOOT_ID_FILE, 'utf8').trim();
  } catch {
    return '';
  }
}

/** A difference smaller than this is the grain of the machine's counters, not sleep. */
const SHORTEST_SLEEP_MS = 1_000;
const SLEEP_CHECK_EVERY_MS = 1_000;

/**
 * The time that all members agree on: monotonic time plus an offset kept in the file. The offset is taken from the
 * wall clock once per start of the machine, so a wall clock that is set later moves nothing; only sleep does.
 */
export class SharedClock {
  readonly #sources: TimeSources;
  readonly #read: Query;
  readonly #readBoot: Query;
  readonly #write: Statement;
  #offsetMs = 0;
  #sleepCheckedAt = 0;

  constructor(db: Database, sources: TimeSources) {
    this.#sources = sources;
    this.#read = db.prepare('SELECT offset_ms, suspended_ms, monotonic_ms FROM clock').raw();
    this.#readBoot = db.prepare('SELECT boot = ? FROM clock').raw();
    this.#write = db.prepare('INSERT OR REPLACE INTO clock VALUES (1, ?, ?, ?, ?)');
  }

  now(): number {
    return this.#sources.monotonicMs() + this.#offsetMs;
  }

  /** Takes the offset of this start of the machine, or sets it if nobody did. Call it within a transaction. */
  start(knownOffsetMs: number | undefined): void {
    const { boot } = this.#sources;
    const monotonic = this.#sources.monotonicMs();
    const row = this.#read.get();
    const sameBoot = this.#readBoot.get(boot)?.[0] === 1 && (boot !== '' || Number(row?.[2]) <= monotonic);
    if (row !== undefined && sameBoot) {
      this.#offsetMs = Number(row[0]);
      this.#write.run(boot, this.#offsetMs, Number(row[1]), monotonic);
    } else {
      this.#offsetMs = knownOffsetMs ?? this.#sources.wallMs() - monotonic;
      this.#write.run(boot, this.#offsetMs, this.#sources.suspendedMs(), monotonic);
    }
  }

  get offsetMs(): number {
    return this.#offsetMs;
  }

  /** The exact time within a transaction: another member may have moved the offset after sleep. */
  nowInTransaction(): number {
    const row = this.#read.get();
    if (row === undefined) return this.now();
    this.#offsetMs = Number(row[0]);
    const monotonic = this.#sources.monotonicMs();
    if (monotonic - this.#sleepCheckedAt >= SLEEP_CHECK_EVERY_MS) {
      this.#sleepCheckedAt = monotonic;
      this.#addSleep(Number(row[1]));
    }
    return this.now();
  }

  /** The same without a transaction; undefined where it is time to see in one whether the machine has slept. */
  nowInRead(): number | undefined {
    if (this.#sources.monotonicMs() - this.#sleepCheckedAt >= SLEEP_CHECK_EVERY_MS) return undefined;
    const row = this.#read.get();
    if (row !== undefined) this.#offsetMs = Number(row[0]);
    return this.now();
  }

  #addSleep(accountedMs: number): void {
    const suspended = this.#sources.suspendedMs();
    if (suspended - accountedMs < SHORTEST_SLEEP_MS) return;
    this.#offsetMs += suspended - accountedMs;
    this.#write.run(this.#sources.boot, this.#offsetMs, suspended, this.#sources.monotonicMs());
  }
}
