import type { Configuration } from '../../config/configuration.js';
import type { ProviderDefinition } from '../../core/provider.js';
import type { KeySnapshot, Snapshot } from '../../manager/inspection.js';
import { withManager } from '../opened-manager.js';
import { warned } from './check.js';
import type { Check } from './check.js';

/** Rests get up to this much on top of the deadline that the provider states. Milliseconds. */
const JITTER_MS = 5_000;

/** Which keys look like one bucket, by what running programs learnt and wrote into the store. */
export async function bucketChecks(configuration: Configuration): Promise<Check[]> {
  const snapshot = await withManager(({ manager }) => manager.inspect(), {
    configuration,
    // The check of the store tells.
    onTrouble: () => {},
  });
  return bucketChecksOf(configuration, snapshot);
}

export function bucketChecksOf({ providers }: Configuration, { keys }: Snapshot): Check[] {
  return [...providers.values()].flatMap((provider) => {
    const own = keys.filter((key) => key.provider === provider.id);
    return [...learntBuckets(provider, own), ...restingAlike(provider, own)];
  });
}

function learntBuckets({ id, ownerHeader = '' }: ProviderDefinition, keys: readonly KeySnapshot[]): Check[] {
  const learnt = keys.filter(({ bucketSource }) => bucketSource === 'learnt');
  return [...new Set(learnt.map(({ bucket }) => bucket))].map((name) => {
    const sharing = namesOf(learnt.filter(({ bucket }) => bucket === name));
    return warned(
      'bucket',
      `${sharing} belong to one owner, as answers say (${ownerHeader}), and share one allowance.`,
      `Together they allow no more than one of them. Give them one \`bucket\` in providers.${id}.keys, or take all but one out.`,
    );
  });
}

/** Keys of different buckets that rest until the same moment, which no boundary of the calendar explains. */
function restingAlike({ id, reset, limits }: ProviderDefinition, keys: readonly KeySnapshot[]): Check[] {
  if (reset !== undefined || limits.some(({ calendar }) => calendar !== undefined)) return [];
  const resting = keys
    .filter(({ state, source }) => state === 'resting' && source === 'stated')
    .sort((a, b) => (a.until ?? 0) - (b.until ?? 0));
  return resting.flatMap((key, index) => {
    const next = resting[index + 1];
    if (next === undefined || next.bucket === key.bucket || next.reason !== key.reason) return [];
    if ((next.until ?? 0) - (key.until ?? 0) > JITTER_MS) return [];
    return [
      warned(
        'bucket',
        `${namesOf([key, next])} were refused until the same moment, as keys of one account are.`,
        `If they share an account, give them the same \`bucket\` in providers.${id}.keys.`,
      ),
    ];
  });
}

function namesOf(keys: readonly KeySnapshot[]): string {
  return keys.map(({ id }) => id).join(', ');
}
