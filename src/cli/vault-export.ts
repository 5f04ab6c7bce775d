/** `keymux vault export`: entries for somebody else, encrypted, or in clear where that is asked for. */
import { existsSync } from 'node:fs';
import { resolve } from 'node:path';
import type { Command } from 'commander';
import { vaultUsage } from '../config/vault-errors.js';
import { replaceVaultFile } from '../config/vault-file.js';
import { envLine } from '../config/vault-env-text.js';
import type { OpenedVault } from '../config/vault-opened.js';
import { exportVault, readVault } from '../config/vault-write.js';
import { auditChange } from './audited-change.js';
import { note } from './terminal.js';
import { openPlace, withPlace } from './vault-place.js';
import type { PlaceOptions } from './vault-place.js';

interface ExportOptions extends PlaceOptions {
  readonly to?: readonly string[];
  readonly reveal?: true;
  readonly out?: string;
}

export function registerExport(vault: Command): void {
  withPlace(vault.command('export'))
    .description(
      'Writes the entries as a vault for other public keys, or with --reveal as lines of a .env file.',
    )
    .option('--to <recipients...>', 'encrypt for these public keys (age1…)')
    .option('--reveal', 'in clear, as NAME=value')
    .option('--out <path>', 'a new file; absent, stdout')
    .action(exportEntries);
}

async function exportEntries(options: ExportOptions): Promise<void> {
  const { to, reveal, out } = options;
  if ((to === undefined) === (reveal === undefined))
    throw vaultUsage(
      'An export is for public keys (--to age1…) or in clear (--reveal).',
      'State one of the two.',
    );
  if (out !== undefined && existsSync(out))
    throw vaultUsage(
      `${resolve(out)} is already there, and is left as it is.`,
      'Choose another path with --out.',
    );
  const access = await openPlace(options);
  const text = to === undefined ? envText(await readVault(access)) : await exportVault(access, to);
  auditChange({ type: 'vault', data: { action: 'export', path: access.path } });
  if (out === undefined) {
    process.stdout.write(text);
    return;
  }
  replaceVaultFile(resolve(out), text);
  note(`wrote ${resolve(out)}`);
}

/** @throws `KEYMUX_USAGE` where two names, or a value, cannot be told in such a file */
export function envText(vault: OpenedVault): string {
  const names = new Map<string, string>();
  const lines = vault.names().map((name) => {
    const variable = variableOf(name);
    const other = names.get(variable);
    if (other !== undefined)
      throw vaultUsage(
        `${other} and ${name} would both become ${variable}.`,
        'Use --to, or rename one of them.',
      );
    names.set(variable, name);
    const line = envLine(variable, vault.get(name) ?? '');
    if (line === undefined)
      throw vaultUsage(
        `The value of ${name} cannot be written into a .env file.`,
        'Use --to, or --json of get.',
      );
    return `${line}\n`;
  });
  return lines.join('');
}

/** `openai/main` becomes `OPENAI_MAIN`. */
function variableOf(name: string): string {
  const variable = name.toUpperCase().replaceAll(/[^A-Z0-9]/g, '_');
  return /^\d/.test(variable) ? `_${variable}` : variable;
}
