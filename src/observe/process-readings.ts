/** What is read of the process itself. */
import { monitorEventLoopDelay } from 'node:perf_hooks';
import type { IntervalHistogram } from 'node:perf_hooks';
import type { KeyManager } from '../manager/key-manager.js';
import type { Reading } from './readings.js';

const NANOSECONDS_PER_MS = 1e6;
/** A timer fires this often while somebody measures: seldom enough to cost nothing, and far below what hurts. */
const RESOLUTION_MS = 20;
const QUANTILES = [0.5, 0.99, 1];

/** The managers of this thread that are measured, by who measures them; one may be measured twice. */
const measured = new Map<ProcessReadings, KeyManager>();

/** Delay of the event loop, memory, and the managers of this thread. */
export class ProcessReadings {
  readonly #manager: KeyManager;
  readonly #since: number;
  readonly #delay: IntervalHistogram = monitorEventLoopDelay({ resolution: RESOLUTION_MS });

  constructor(manager: KeyManager) {
    this.#manager = manager;
    this.#since = manager.now();
    this.#delay.enable();
    measured.set(this, manager);
  }

  read(): Reading[] {
    const { rss, heapUsed, external } = process.memoryUsage();
    const memory = { resident: rss, heap_used: heapUsed, external };
    return [
      ...this.#delays(),
      ...Object.entries(memory).map(([kind, value]): Reading => ({
        metric: 'memory',
        labels: { kind },
        value,
      })),
      { metric: 'managers', labels: {}, value: new Set(measured.values()).size },
      { metric: 'created', labels: { manager: this.#manager.name }, value: this.#since / 1_000 },
    ];
  }

  close(): void {
    this.#delay.disable();
    measured.delete(this);
  }

  /** A timer that fires in time is not late at all; the histogram counts its whole interval. */
  #delays(): Reading[] {
    if (this.#delay.count === 0) return [];
    const readings = QUANTILES.map((quantile): Reading => {
      const lateMs = this.#delay.percentile(quantile * 100) / NANOSECONDS_PER_MS - RESOLUTION_MS;
      return {
        metric: 'eventLoop',
        labels: { quantile: String(quantile) },
        value: Math.max(0, lateMs) / 1_000,
      };
    });
    this.#delay.reset();
    return readings;
  }
}
