import type { Configuration } from '../../config/configuration.js';
import { defaultBucket } from '../../config/discovery.js';
import type { Credential } from '../../core/credential.js';
import type { ProviderDefinition } from '../../core/provider.js';
import { catalogue } from '../../providers/catalogue.js';
import { warned } from './check.js';
import type { Check } from './check.js';

/** Several keys of one account are one allowance; and some providers allow a person one key. */
export function accountChecks({ providers, credentials }: Configuration): Check[] {
  return [...providers.values()].flatMap((provider) => {
    const keys = credentials.filter((credential) => credential.provider === provider.id);
    return keys.length < 2 ? [] : [...sharedAllowance(provider, keys), ...terms(provider)];
  });
}

function sharedAllowance({ id, bucketScope }: ProviderDefinition, keys: readonly Credential[]): Check[] {
  if (bucketScope === 'key' || bucketScope === 'egress') return [];
  const undeclared = keys.filter((key) => key.bucket === defaultBucket(bucketScope, key.id));
  if (undeclared.length < 2) return [];
  const names = undeclared.map((key) => key.id).join(', ');
  return [
    warned(
      'account',
      `${id} counts per ${bucketScope}; its keys ${names} are taken to belong to different ones.`,
      `If they share one, give them the same \`bucket\` in providers.${id}.keys: together they allow no more than one.`,
    ),
  ];
}

function terms({ id }: ProviderDefinition): Check[] {
  const stated = catalogue.get(id)?.poolTerms ?? undefined;
  if (stated === undefined) return [];
  return [warned('terms', `${id} has several keys. On its terms: ${stated}`, 'Read the terms of your plan.')];
}
