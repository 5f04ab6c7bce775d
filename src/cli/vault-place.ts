/** Which vault a command means, and with what it opens. */
import { relative, resolve } from 'node:path';
import { statSync } from 'node:fs';
import type { Command } from 'commander';
import type { VaultDefinition } from '../config/configuration.js';
import type { Environment } from '../config/environment.js';
import { readEnvironment } from '../config/environment.js';
import type { VaultKey } from '../config/vault-cipher.js';
import { vaultUsage } from '../config/vault-errors.js';
import { DEFAULT_VAULT_KEY, readVaultKey } from '../config/vault-key.js';
import type { VaultAccess } from '../config/vault-opened.js';
import { accessWith } from '../config/vault-opened.js';
import { editableFile } from './configuration-write.js';
import { askHidden, hasTerminal } from './vault-prompt.js';

const DEFAULT_FILE = 'keymux.vault';
const KEY_REFERENCE = /^(?:env:[A-Za-z_][A-Za-z0-9_]*|(?:file|exec|keychain):\s*\S[^]*)$/;

export interface PlaceOptions {
  readonly vault?: string;
  readonly key?: string;
}

export interface VaultPlace {
  readonly definition: VaultDefinition;
  readonly environment: Environment;
  /** Nobody said where its key is. */
  readonly isKeyImplied: boolean;
  /** The configuration file says where it is. */
  readonly isConfigured: boolean;
}

/** The options that say which vault is meant. */
export function withPlace(command: Command): Command {
  return command
    .option('--vault <path>', 'the vault; absent, the configured one, or keymux.vault in this folder')
    .option('--key <reference>', 'where its key is: env:NAME, file:PATH, exec:COMMAND or keychain:NAME');
}

export function findPlace(options: PlaceOptions): VaultPlace {
  const cwd = process.cwd();
  const environment = readEnvironment(process.env, cwd);
  if (options.key !== undefined) checkReference(options.key, '--key');
  const file = options.vault === undefined ? editableFile() : undefined;
  const stated = file?.content.vault;
  const folder = file === undefined ? cwd : resolve(file.path, '..');
  const path =
    options.vault === undefined ? resolve(folder, stated?.path ?? DEFAULT_FILE) : resolve(options.vault);
  const key = options.key ?? stated?.key;
  const definition = {
    path,
    key: key ?? DEFAULT_VAULT_KEY,
    folder: options.key === undefined ? folder : cwd,
  };
  return { definition, environment, isKeyImplied: key === undefined, isConfigured: stated !== undefined };
}

export function checkReference(reference: string, option: string): void {
  if (KEY_REFERENCE.test(reference)) return;
  throw vaultUsage(
    `${option} says where the key of the vault is, and is never the key itself.`,
    'Use env:NAME, file:PATH, exec:COMMAND or keychain:NAME. If this was a key, replace it: the history of the shell has it.',
  );
}

/** With the key from where it is said to be, or from a person in a terminal. */
export async function openPlace(options: PlaceOptions): Promise<VaultAccess> {
  const place = findPlace(options);
  const { definition, environment } = place;
  return accessWith(definition, environment, await keyOf(place));
}

async function keyOf(place: VaultPlace): Promise<VaultKey> {
  const { definition, environment } = place;
  if (!mayAsk(place)) return readVaultKey(definition, environment);
  // Nothing is asked for a vault that is not there.
  if (statSync(definition.path, { throwIfNoEntry: false }) === undefined)
    return { kind: 'passphrase', passphrase: '' };
  return { kind: 'passphrase', passphrase: (await askHidden(`Passphrase of ${definition.path}`)).trim() };
}

/** Nothing says where the key is, and somebody is there. */
export function mayAsk({ isKeyImplied, environment }: VaultPlace): boolean {
  return isKeyImplied && !environment.variables.has('KEYMUX_VAULT_KEY') && hasTerminal();
}

/** As it would stand in a configuration file of this folder. */
export function shownPath(path: string): string {
  const from = relative(process.cwd(), path);
  return from.startsWith('..') ? path : `./${from}`;
}
