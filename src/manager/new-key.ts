import { resolve } from 'node:path';
import type { Configuration, VaultDefinition } from '../config/configuration.js';
import { defaultBucket } from '../config/discovery.js';
import { readEnvironment } from '../config/environment.js';
import { keyFault } from '../config/key-text.js';
import { readReference } from '../config/reference.js';
import { isVirtualKey } from '../config/virtual-key.js';
import type { Credential } from '../core/credential.js';
import { KeymuxError } from '../core/errors.js';
import type { ProviderDefinition } from '../core/provider.js';
import type { Secret } from '../core/secret.js';
import { catalogue } from '../providers/catalogue.js';
import { isTemplateValue } from '../providers/key-shape.js';
import { ADDED_ORIGIN } from './key-changes.js';
import type { NewKey } from './key-changes.js';
import type { KeyManagerOptions } from './options.js';

const KEY_NAME = /^[a-z0-9][a-z0-9_.-]{0,63}$/;

/**
 * The credential of a key that is added while the program runs.
 * @throws `KEYMUX_USAGE`, `KEYMUX_SECRET_UNREADABLE`
 */
export function credentialOf(
  key: NewKey,
  configuration: Configuration,
  options: KeyManagerOptions,
): Credential {
  const provider = providerOf(key, configuration);
  for (const [what, name] of [
    ['id', key.id],
    ['bucket', key.bucket],
  ] as const) {
    if (name === undefined || KEY_NAME.test(name)) continue;
    throw new KeymuxError('KEYMUX_USAGE', `The ${what} of the new key of ${provider.id} is no name.`, {
      fix: 'Use lower-case letters, digits, `_`, `.` and `-`, 64 at most; never the key itself.',
    });
  }
  const others = configuration.credentials.filter((other) => other.provider === provider.id);
  const folder = resolve(options.cwd ?? '.');
  return {
    id: key.id,
    provider: provider.id,
    secret: secretOf(key, provider, { folder, vault: configuration.vault, options }),
    priority: key.priority ?? Math.max(0, ...others.map(({ priority }) => priority)) + 1,
    weight: key.weight ?? 1,
    bucket: key.bucket ?? defaultBucket(provider.bucketScope, key.id),
    ...(key.bucket === undefined ? {} : { bucketDeclared: true }),
    origin: ADDED_ORIGIN,
    ...(provider.mode === 'virtual' && key.value !== undefined
      ? { source: { reference: key.value, folder } }
      : {}),
  };
}

function providerOf({ provider }: NewKey, configuration: Configuration): ProviderDefinition {
  const definition = configuration.providers.get(provider);
  if (definition !== undefined) return definition;
  throw new KeymuxError('KEYMUX_USAGE', 'The provider of the new key is not in use here.', {
    fix: `Known: ${[...configuration.providers.keys()].join(', ') || 'none'}. Add others to the configuration.`,
  });
}

/** What references are read with. */
interface Reading {
  readonly folder: string;
  readonly vault: VaultDefinition | undefined;
  readonly options: KeyManagerOptions;
}

function secretOf(
  { id, value, secret }: NewKey,
  provider: ProviderDefinition,
  { folder, vault, options }: Reading,
): Secret {
  const keyId = `${provider.id}/${id}`;
  const isTemplate = (text: string): boolean => isTemplateValue(text, catalogue.get(provider.id)?.demoKeys);
  if (value !== undefined && secret === undefined) {
    if (provider.mode === 'virtual' && value.startsWith('env:')) {
      throw new KeymuxError('KEYMUX_USAGE', `${provider.id} is virtual: its keys stand in no variable.`, {
        fix: 'Use `file:`, `vault:` or `exec:`: whatever runs in the program could read a variable.',
      });
    }
    const environment = readEnvironment(options.env ?? process.env, folder);
    return readReference(value, { environment, folder, vault, keyId, isTemplateValue: isTemplate }).secret;
  }
  if (secret === undefined || value !== undefined) {
    throw new KeymuxError('KEYMUX_USAGE', `The new key ${keyId} needs either a reference or the key.`, {
      fix: 'Say where the key is: `env:NAME`, `file:PATH`, `vault:NAME` or `exec:COMMAND`.',
    });
  }
  const text = secret.reveal();
  const fault = faultOf(text, isTemplate);
  if (fault === undefined) return secret;
  throw new KeymuxError('KEYMUX_SECRET_UNREADABLE', `The new key ${keyId} cannot be used: ${fault}.`, {
    fix: 'Pass the key as the provider shows it, without anything around it.',
  });
}

function faultOf(text: string, isTemplate: (text: string) => boolean): string | undefined {
  if (text === '' || text !== text.trim()) return 'it is empty or has blanks around it';
  if (isTemplate(text)) return 'it is a template value, not a key';
  if (isVirtualKey(text)) return 'it is a virtual key, which stands for a real one';
  return keyFault(text);
}
