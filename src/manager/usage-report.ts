import { KeymuxError } from '../core/errors.js';
import type { UsageTotal } from '../core/ports.js';
import type { KeyManager } from './key-manager.js';

/** What was spent, without a secret. Times are epoch milliseconds. */
export interface UsageReport {
  readonly at: number;
  /** `fleet`: of all processes that share the store, ever. `process`: of this one alone, since the store is lost. */
  readonly scope: 'fleet' | 'process';
  readonly providers: readonly ProviderUsage[];
  readonly keys: readonly KeyUsage[];
}

interface Usage {
  readonly requests: number;
  readonly failures: number;
  /** US dollars, as far as programs reported them. */
  readonly costUsd: number;
}

export interface ProviderUsage extends Usage {
  readonly provider: string;
}

export interface KeyUsage extends Usage {
  /** `provider/id`. */
  readonly key: string;
  readonly provider: string;
  readonly lastUsedAt?: number;
}

/** What is used now is told to the store within a second, and in here after that. */
export async function usageReport(manager: KeyManager): Promise<UsageReport> {
  const totals = await totalsOf(manager);
  const { keys, at } = manager.inspect();
  const used = keys.map(({ id, provider, uses, failures }): KeyUsage => {
    if (totals === undefined) return { key: id, provider, requests: uses, failures, costUsd: 0 };
    const total = totals.get(manager.subjectOf(id));
    if (total === undefined) return { key: id, provider, requests: 0, failures: 0, costUsd: 0 };
    const { requests, failures: failed, costUsd, lastUsedAt } = total;
    return { key: id, provider, requests, failures: failed, costUsd, lastUsedAt };
  });
  return {
    at,
    scope: totals === undefined ? 'process' : 'fleet',
    providers: manager.inspect().providers.map(({ id }) => sumOf(id, used)),
    keys: used,
  };
}

function sumOf(provider: string, keys: readonly KeyUsage[]): ProviderUsage {
  const sum = { provider, requests: 0, failures: 0, costUsd: 0 };
  for (const key of keys.filter((one) => one.provider === provider)) {
    sum.requests += key.requests;
    sum.failures += key.failures;
    sum.costUsd += key.costUsd;
  }
  return sum;
}

async function totalsOf(manager: KeyManager): Promise<Map<string, UsageTotal> | undefined> {
  try {
    const totals = await manager.store.usage();
    return new Map(totals.map((total) => [total.subject, total]));
  } catch (error) {
    if (error instanceof KeymuxError && error.code === 'KEYMUX_STORE_UNAVAILABLE') return undefined;
    throw error;
  }
}
