import type { Configuration } from '../../config/configuration.js';
import type { Credential } from '../../core/credential.js';
import type { ProviderDefinition } from '../../core/provider.js';
import { catalogueFacts } from '../../providers/catalogue-facts.js';
import { warned } from './check.js';
import type { Check } from './check.js';

/** Several keys of one account are one allowance; and some providers allow a person one key. */
export function accountChecks({ providers, credentials }: Configuration): Check[] {
  return [...providers.values()].flatMap((provider) => {
    const keys = credentials.filter((credential) => credential.provider === provider.id);
    if (keys.length < 2 || areOneDeclaredBucket(keys)) return [];
    return [...sharedAllowance(provider, keys), ...terms(provider, keys)];
  });
}

function areOneDeclaredBucket(keys: readonly Credential[]): boolean {
  return keys.every((key) => key.bucketDeclared === true && key.bucket === keys[0]?.bucket);
}

function sharedAllowance({ id, bucketScope }: ProviderDefinition, keys: readonly Credential[]): Check[] {
  if (bucketScope === 'key' || bucketScope === 'egress') return [];
  const undeclared = keys.filter((key) => key.bucketDeclared !== true);
  if (undeclared.length < 2) return [];
  return [
    warned(
      'account',
      `${id} counts per ${bucketScope}; its keys ${idsOf(undeclared)} are taken to belong to different ones.`,
      `If they share one, give them the same \`bucket\` in providers.${id}.keys: together they allow no more than one.`,
    ),
  ];
}

/** What is known of the terms on several keys, in the words of the catalogue, and where that was read. */
function terms({ id }: ProviderDefinition, keys: readonly Credential[]): Check[] {
  const facts = catalogueFacts.get(id);
  const stated = facts?.poolTerms;
  if (facts === undefined || stated === undefined || stated === null) return [];
  const sources = facts.sources.filter((source) => source.startsWith('https://')).join(', ');
  const read = sources === '' ? '' : ` (read at ${sources})`;
  return [
    warned(
      'terms',
      `${id} has ${keys.length} keys (${idsOf(keys)}). On its terms: ${stated}${read}`,
      `Read the terms of your plan. Keys of one account belong into one \`bucket\` in providers.${id}.keys.`,
    ),
  ];
}

function idsOf(keys: readonly Credential[]): string {
  return keys.map(({ id }) => id).join(', ');
}
