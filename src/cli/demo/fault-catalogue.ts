/** Every kind of fault that the bad day brings, and how the simulators' own records prove that it came. */
import type { RequestRecord } from '../../testing/simulator-records.js';
import type { Stage } from './stage.js';

interface Fault {
  readonly name: string;
  readonly provider: string;
  readonly isSeenIn: (record: RequestRecord) => boolean;
}

export interface FaultCount {
  readonly name: string;
  readonly provider: string;
  /** How often it happened. */
  readonly count: number;
}

const did =
  (what: string, status?: number) =>
  (record: RequestRecord): boolean =>
    record.did === what && (status === undefined || record.status === status);

const FAULTS: readonly Fault[] = [
  { name: 'rate limit (429, Retry-After)', provider: 'openai', isSeenIn: did('refuse rate-limited', 429) },
  { name: 'rate limit told in a 200', provider: 'alpha_vantage', isSeenIn: did('refuse rate-limited', 200) },
  { name: 'rate limit on an order (429)', provider: 'acme', isSeenIn: did('refuse rate-limited', 429) },
  {
    name: 'daily quota spent, in a 200',
    provider: 'alpha_vantage',
    isSeenIn: did('refuse quota-exhausted', 200),
  },
  { name: 'quota spent (429)', provider: 'openai', isSeenIn: did('refuse quota-exhausted', 429) },
  { name: 'quota spent on an order (402)', provider: 'acme', isSeenIn: did('refuse quota-exhausted', 402) },
  { name: 'credit used up (400)', provider: 'anthropic', isSeenIn: did('refuse quota-exhausted', 400) },
  { name: 'key revoked, in a 200', provider: 'alpha_vantage', isSeenIn: did('refuse rejected', 200) },
  { name: 'key revoked (401)', provider: 'finnhub', isSeenIn: did('refuse rejected', 401) },
  { name: 'key revoked between orders (401)', provider: 'acme', isSeenIn: did('refuse rejected', 401) },
  { name: 'endpoint not in the plan (403)', provider: 'newswire', isSeenIn: did('refuse restricted', 403) },
  { name: 'region down for seconds (529)', provider: 'anthropic', isSeenIn: did('refuse overloaded', 529) },
  { name: 'outage of the provider (503)', provider: 'tickstore', isSeenIn: did('refuse overloaded', 503) },
  { name: 'connection reset', provider: 'newswire', isSeenIn: did('reset before-headers') },
  { name: 'error inside a stream', provider: 'openai', isSeenIn: did('stream-error overloaded') },
  { name: 'stream broken before its first event', provider: 'openai', isSeenIn: did('stream cut') },
  { name: 'slow stream', provider: 'openai', isSeenIn: did('stream') },
];

/** How often each staged fault happened, by the simulators' count. One with 0 was staged in vain. */
export function countFaults({ simulators, feedsCut }: Pick<Stage, 'simulators' | 'feedsCut'>): FaultCount[] {
  const counts = FAULTS.map(({ name, provider, isSeenIn }) => {
    const records = simulators.find((staged) => staged.provider.id === provider)?.simulator.requests ?? [];
    return { name, provider, count: records.filter(isSeenIn).length };
  });
  return [...counts, { name: 'feed cut: its key revoked', provider: 'finnhub', count: feedsCut.length }];
}

/** Whether the simulator answered as asked. */
export function isGood({ did: what, status }: RequestRecord): boolean {
  return status !== undefined && (what === 'ok' || what === 'stream');
}
