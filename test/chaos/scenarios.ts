/** What can go wrong, and which of it goes together: data only. */
import type { StoreKind } from './plan.js';

/** From, to. Milliseconds. */
export type Span = readonly [number, number];

export type FaultKind =
  | 'agent-killed'
  | 'agent-stopped'
  | 'clock-jumps'
  | 'key-storm'
  | 'key-revoked'
  | 'key-exhausted'
  | 'provider-down'
  | 'store-locked'
  | 'store-locked-by-stopped'
  | 'store-deleted'
  | 'disk-full'
  | 'store-read-only'
  | 'redis-unreachable'
  | 'redis-slow'
  | 'redis-frozen'
  | 'redis-restarted'
  | 'redis-emptied'
  | 'redis-flushed'
  | 'redis-out-of-memory'
  | 'redis-read-only'
  | 'redis-failover'
  | 'partition'
  | 'store-cut-off';

/** A fault before the seed has said when it happens and to whom. */
export interface FaultSketch {
  readonly kind: FaultKind;
  readonly on?: 'agent' | 'key' | 'host';
  /** Default: at once over. */
  readonly forMs?: Span;
  /** After the storm began. Default: as chance has it. */
  readonly atMs?: number;
}

export interface Scenario {
  readonly name: string;
  /** The first is the default. */
  readonly stores: readonly [StoreKind, ...StoreKind[]];
  readonly always: readonly FaultSketch[];
  /** `howMany` of these join in. */
  readonly sometimes: readonly FaultSketch[];
  readonly howMany: number;
  readonly needsHosts: boolean;
  readonly skewsClocks: boolean;
  readonly startsWithoutStore: boolean;
}

const KILLED: FaultSketch = { kind: 'agent-killed', on: 'agent', forMs: [200, 1_500] };
/** Across the end of the leases that it holds. */
const STOPPED: FaultSketch = { kind: 'agent-stopped', on: 'agent', forMs: [1_500, 4_000] };
const STORM: FaultSketch = { kind: 'key-storm', on: 'key', forMs: [1_000, 3_000] };
const REVOKED: FaultSketch = { kind: 'key-revoked', on: 'key' };
const EXHAUSTED: FaultSketch = { kind: 'key-exhausted', on: 'key', forMs: [2_000, 3_000] };
const DOWN: FaultSketch = { kind: 'provider-down', forMs: [500, 1_500] };
const JUMP: FaultSketch = { kind: 'clock-jumps', on: 'agent' };

/** Joins in with the loss of a store. No process starts anew meanwhile: it would know of no fleet. */
const BESIDES: readonly FaultSketch[] = [STOPPED, STORM, REVOKED, EXHAUSTED];
const SECONDS: Span = [2_000, 4_000];

function scenario(
  name: string,
  stores: Scenario['stores'],
  always: readonly FaultSketch[],
  rest: Partial<Scenario> = {},
): Scenario {
  const shape = { needsHosts: false, skewsClocks: false, startsWithoutStore: false };
  return { name, stores, always, sometimes: BESIDES, howMany: 2, ...shape, ...rest };
}

export const SCENARIOS: readonly Scenario[] = [
  scenario('agents', ['sqlite', 'redis'], [KILLED, KILLED, STOPPED], {
    sometimes: [KILLED, KILLED, STOPPED, STOPPED],
    howMany: 3,
  }),
  scenario('keys', ['sqlite', 'redis'], [STORM, REVOKED, EXHAUSTED], {
    sometimes: [STORM, EXHAUSTED, DOWN, KILLED],
  }),
  scenario('clocks', ['sqlite', 'redis'], [JUMP, JUMP], {
    sometimes: [JUMP, KILLED, STOPPED, STORM],
    skewsClocks: true,
  }),
  scenario('sqlite-locked', ['sqlite'], [{ kind: 'store-locked', forMs: SECONDS }]),
  scenario('sqlite-locked-by-stopped', ['sqlite'], [{ kind: 'store-locked-by-stopped', forMs: SECONDS }]),
  scenario('sqlite-deleted', ['sqlite'], [{ kind: 'store-deleted' }]),
  scenario('sqlite-disk-full', ['sqlite'], [{ kind: 'disk-full', forMs: SECONDS }]),
  scenario('sqlite-read-only', ['sqlite'], [{ kind: 'store-read-only', on: 'agent', forMs: SECONDS }], {
    sometimes: [STORM, REVOKED, EXHAUSTED],
  }),
  scenario('redis-refused', ['redis'], [{ kind: 'redis-unreachable', atMs: 0, forMs: SECONDS }], {
    startsWithoutStore: true,
  }),
  scenario('redis-slow', ['redis'], [{ kind: 'redis-slow', forMs: SECONDS }]),
  scenario('redis-frozen', ['redis'], [{ kind: 'redis-frozen', forMs: SECONDS }]),
  scenario('redis-killed', ['redis'], [{ kind: 'redis-restarted', forMs: SECONDS }]),
  scenario('redis-emptied', ['redis'], [{ kind: 'redis-emptied', forMs: [200, 2_000] }]),
  scenario('redis-flushed', ['redis'], [{ kind: 'redis-flushed' }, { kind: 'redis-flushed' }]),
  scenario('redis-out-of-memory', ['redis'], [{ kind: 'redis-out-of-memory', forMs: SECONDS }]),
  scenario('redis-read-only', ['redis'], [{ kind: 'redis-read-only', forMs: SECONDS }]),
  scenario('redis-failover', ['redis'], [{ kind: 'redis-failover', forMs: [500, 2_000] }]),
  scenario('partition', ['redis'], [{ kind: 'partition', on: 'host', forMs: [3_000, 5_000] }], {
    needsHosts: true,
    sometimes: [STORM, EXHAUSTED, STOPPED],
  }),
  scenario('store-cut-off', ['redis'], [{ kind: 'store-cut-off', forMs: SECONDS }], {
    needsHosts: true,
    skewsClocks: true,
  }),
];
