/** What a run saw. All moments are milliseconds of the machine's monotonic clock, which all processes share. */
import type { FaultKind } from './scenarios.js';
import type { Plan } from './plan.js';

/** A request as it arrived at the provider. */
export interface Arrival {
  /** `x-request-id`: which call of which agent it stands for; '' where it names none. */
  readonly id: string;
  /** The name of the key; `undefined` where it was unknown. */
  readonly key: string | undefined;
  readonly at: number;
  readonly endedAt: number | undefined;
  readonly method: string;
  /** As the simulator says it: `ok`, `refuse rate-limited`. */
  readonly did: string;
  readonly status: number | undefined;
  readonly executed: boolean;
  /** The order that it stands for. */
  readonly order: string | undefined;
  /** It came over a limit. */
  readonly overshoot: boolean;
}

/** A request as an agent saw it, from its beginning to its answer. */
export interface Call {
  readonly id: string;
  readonly agent: string;
  readonly method: string;
  readonly startedAt: number;
  readonly endedAt: number;
  /** Absent where there was no answer. */
  readonly status?: number;
  readonly error?: string;
}

/** When a key, or with '' every key, is refused whatever its limits are. */
export interface BadSpan {
  readonly key: string;
  readonly from: number;
  /** Includes the time for which the provider told everybody to stay away. */
  readonly to: number;
}

/** A fault as it really came to pass. */
export interface FaultSpan {
  readonly kind: FaultKind;
  readonly on?: string;
  readonly from: number;
  readonly to: number;
}

/** A process of an agent. */
export interface Life {
  readonly agent: string;
  /** From 1; grows with each start. */
  readonly incarnation: number;
  readonly startedAt: number;
  /** Stopped by the run, which does not tell what became of its requests. */
  readonly wasKilled: boolean;
  /** Calls that it began and ended, as it said at its end; absent where it could not. */
  readonly began?: number;
  readonly ended?: number;
  readonly exitCode: number | null;
  /** The end of what it wrote to stderr. */
  readonly complaint: string;
}

/** What keymux told within an agent. */
export interface News {
  readonly agent: string;
  readonly at: number;
  readonly name: string;
  readonly message?: string;
}

/** From the first moment to the last. */
export interface Phase {
  readonly from: number;
  readonly to: number;
}

export interface Evidence {
  readonly plan: Plan;
  readonly arrivals: readonly Arrival[];
  readonly calls: readonly Call[];
  readonly badSpans: readonly BadSpan[];
  readonly faults: readonly FaultSpan[];
  readonly lives: readonly Life[];
  readonly news: readonly News[];
  readonly calm: Phase;
  readonly storm: Phase;
  readonly saturation: Phase;
  /** After the last fault until nobody was without the store. Milliseconds; absent: it never came to that. */
  readonly recoveredAfterMs: number | undefined;
  /** Agents, and what they last said of their store, that had it not back by then. */
  readonly notRecovered: readonly string[];
}
