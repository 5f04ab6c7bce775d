/** The vault, and where secrets come from, for programs of their own. */
export type { OpenVault } from './config/open-vault.js';
