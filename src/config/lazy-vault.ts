/** Loads what opens vaults only where one is configured, as one CommonJS file that the build makes. */
import { createRequire } from 'node:module';

type VaultModule = typeof import('./open-vault.js');

const require = createRequire(import.meta.url);

export const openVault: VaultModule['openVault'] = (definition, environment) =>
  (require('#keymux/config/open-vault.cjs') as VaultModule).openVault(definition, environment);
