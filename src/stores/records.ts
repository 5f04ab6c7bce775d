import { mergeHealth } from '../core/health.js';
import type { Health } from '../core/health.js';
import type { HealthRecord } from '../core/ports.js';

/**
 * Two views of one subject become one. Health merges by `mergeHealth`; of `disabled` the higher version wins, and
 * within one version the careful view: disabled. The very object `a` where `b` adds nothing to it.
 */
export function mergeRecords(a: HealthRecord, b: HealthRecord): HealthRecord {
  const health = mergeHealth(a.health, b.health);
  const takesDisabled =
    b.disabledVersion > a.disabledVersion ||
    (b.disabledVersion === a.disabledVersion && b.disabled && !a.disabled);
  if (!takesDisabled && JSON.stringify(health) === JSON.stringify(a.health)) return a;
  const { disabled, disabledVersion } = takesDisabled ? b : a;
  return { subject: a.subject, health, disabled, disabledVersion };
}

/** Health as it was written to a store; undefined where damage made it something else. */
export function parseHealth(text: string): Health | undefined {
  try {
    const value: unknown = JSON.parse(text);
    return isHealth(value) ? value : undefined;
  } catch {
    return undefined;
  }
}

function isHealth(value: unknown): value is Health {
  if (typeof value !== 'object' || value === null) return false;
  const health = value as Partial<Record<string, unknown>>;
  if (!Number.isSafeInteger(health['version']) || !Number.isSafeInteger(health['level'])) return false;
  switch (health['status']) {
    case 'healthy':
      return Number.isSafeInteger(health['strikes']);
    case 'recovering':
      return Number.isFinite(health['since']);
    case 'resting':
      return (
        Number.isFinite(health['until']) &&
        typeof health['reason'] === 'string' &&
        (health['source'] === 'stated' || health['source'] === 'guessed')
      );
    default:
      return false;
  }
}
