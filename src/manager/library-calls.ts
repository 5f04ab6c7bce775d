/** `manager.run`: the attempt engine around somebody else's code. */
import { KeymuxError } from '../core/errors.js';
import { SUCCESS } from '../core/outcome.js';
import type { Exchange, RequestFacts } from './attempt.js';
import type { Lease } from './lease.js';
import { outcomeOfError } from './outcome-of-error.js';
import type { ManagedOrigins } from './managed-origins.js';
import { runOwned } from './ownership.js';
import type { Pool } from './pool.js';
import type { Refusal } from './refusal.js';
import { isRefusal } from './refusal.js';

/** What these calls need of a manager. */
export interface Caller {
  readonly origins: Pick<ManagedOrigins, 'crossingOf'>;
  now(): number;
  recovered(): void | Promise<void>;
  exchange(pool: Pool, facts: RequestFacts): Exchange;
}

/** What to do at each provider: one function per provider id. */
export type Adapters<T> = Readonly<Record<string, (lease: Lease) => Promise<T>>>;

/** What ends the wait of `run`, and whether the work may be repeated. */
export interface RunOptions {
  readonly signal?: AbortSignal;
  /**
   * The work may be repeated after an ambiguous failure (timeout, reset, 5xx). Default: false, so that it is only
   * repeated after a refusal that proves that nothing was done.
   */
  readonly idempotent?: boolean;
}

export async function callRun<T>(
  caller: Caller,
  pool: Pool,
  work: ((lease: Lease) => Promise<T>) | Adapters<T>,
  options: RunOptions,
): Promise<T> {
  await caller.recovered();
  const exchange = caller.exchange(pool, {
    method: options.idempotent === true ? 'GET' : 'POST',
    path: '/',
    hasIdempotencyKey: false,
    canReplay: () => true,
    signal: options.signal,
    way: 'library',
  });
  let lease = leaseOrThrow(await exchange.first());
  for (;;) {
    const attempt = lease;
    try {
      const result = await runOwned(() => adapterFor(work, attempt)(attempt));
      await exchange.afterOutcome(attempt, SUCCESS);
      return result;
    } catch (error) {
      const step = await exchange.afterOutcome(
        attempt,
        outcomeOfError(error, attempt.member.provider, caller.now()),
      );
      if (step.do === 'refuse') throw step.refusal.error;
      if (step.do !== 'retry') throw error;
      await delay(step.delayMs);
      lease = step.lease;
    } finally {
      attempt.end();
    }
  }
}

function adapterFor<T>(
  work: ((lease: Lease) => Promise<T>) | Adapters<T>,
  lease: Lease,
): (lease: Lease) => Promise<T> {
  if (typeof work === 'function') return work;
  const adapter = work[lease.provider];
  if (adapter !== undefined) return adapter;
  throw new KeymuxError(
    'KEYMUX_USAGE',
    `run("${lease.service}") has no adapter for the provider "${lease.provider}".`,
    {
      fix: `Add \`${lease.provider}: async (lease) => …\`, or take the provider out of the service.`,
    },
  );
}

function leaseOrThrow(result: Lease | Refusal): Lease {
  if (isRefusal(result)) throw result.error;
  return result;
}

export function delay(delayMs: number): Promise<void> {
  return delayMs <= 0 ? Promise.resolve() : new Promise((resolve) => setTimeout(resolve, delayMs));
}
