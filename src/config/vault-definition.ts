/** Which vault a configuration has, and what belongs to it. */
import { resolve } from 'node:path';
import type { VaultDefinition } from './configuration.js';
import type { Environment } from './environment.js';
import type { ConfigurationFile } from './file-content.js';

/** `keymux.vault` beside the configuration file, which opens with what `KEYMUX_VAULT_KEY` holds. */
export function defaultVault(folder: string): VaultDefinition {
  return { path: resolve(folder, 'keymux.vault'), key: 'env:KEYMUX_VAULT_KEY', folder };
}

/** The variable that holds the key of the vault, if one does. */
export function vaultVariable(vault: VaultDefinition | undefined): string | undefined {
  const key = vault?.key ?? 'env:KEYMUX_VAULT_KEY';
  return key.startsWith('env:') ? key.slice('env:'.length) : undefined;
}

/** The vault that the file states, or the usual one where a key is in it. */
export function vaultOf(file: ConfigurationFile | undefined): VaultDefinition | undefined {
  if (file === undefined) return undefined;
  const { vault: stated, store } = file.content;
  const secrets = store?.type === 'redis' ? [store.url, store.secret] : [];
  const references = [...referencesOf(file), ...secrets];
  if (stated === undefined && !references.some((reference) => reference?.startsWith('vault:')))
    return undefined;
  const { path, key } = stated ?? {};
  const usual = defaultVault(file.folder);
  return {
    ...usual,
    ...(path === undefined ? {} : { path: resolve(file.folder, path) }),
    ...(key === undefined ? {} : { key }),
  };
}

function referencesOf({ content }: ConfigurationFile): string[] {
  return Object.values(content.providers ?? {}).flatMap(({ keys = [] }) => keys.map(({ value }) => value));
}

/** What opens the vault is no key of a provider, whatever it is called. */
export function withoutVaultKey(environment: Environment, vault: VaultDefinition | undefined): Environment {
  const name = vaultVariable(vault);
  if (name === undefined || !environment.variables.has(name)) return environment;
  const variables = new Map(environment.variables);
  variables.delete(name);
  return { ...environment, variables };
}

/** Files whose change is a change of keys. */
export function secretFiles(
  file: ConfigurationFile | undefined,
  vault: VaultDefinition | undefined,
): string[] {
  if (file === undefined) return [];
  const references = [...referencesOf(file), ...(vault === undefined ? [] : [vault.key])];
  const files = references.flatMap((reference) =>
    reference.startsWith('file:') ? [resolve(file.folder, reference.slice('file:'.length))] : [],
  );
  return vault === undefined ? files : [vault.path, ...files];
}
