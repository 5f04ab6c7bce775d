/**
 * What this machine remembers of each vault, outside of it: which one it is, and how far it had come. Without it an
 * older copy put in its place would be as good as the newest.
 */
import { createHash } from 'node:crypto';
import { mkdirSync, readFileSync, rmSync } from 'node:fs';
import { homedir } from 'node:os';
import { dirname, join } from 'node:path';
import type { Environment } from './environment.js';
import { isFromEnvFile, systemCodeOf } from './environment.js';
import type { VaultContent } from './vault-content.js';
import { headOf, isSameMac, mac } from './vault-content.js';
import { damagedVault } from './vault-errors.js';
import { replaceFile } from './replaced-file.js';

const ACCEPT = 'If you put it there, such as from a backup, run `keymux vault accept`.';

interface Anchor {
  readonly id: string;
  readonly generation: number;
  readonly head: string;
  readonly mac: string;
}

/** `vaults` in the user's state directory. A `.env` has no say: it belongs to a project. */
export function anchorFolder(environment: Environment): string {
  const own = (name: string): string | undefined => {
    const value = environment.variables.get(name)?.value;
    return value === '' || isFromEnvFile(environment, name) ? undefined : value;
  };
  return join(own('KEYMUX_STATE_DIR') ?? platformFolder(own), 'vaults');
}

function platformFolder(own: (name: string) => string | undefined): string {
  const home = own('HOME') ?? homedir();
  if (process.platform === 'darwin') return join(home, 'Library', 'Application Support', 'keymux');
  if (process.platform === 'win32')
    return join(own('LOCALAPPDATA') ?? join(home, 'AppData', 'Local'), 'keymux');
  return join(own('XDG_STATE_HOME') ?? join(home, '.local', 'state'), 'keymux');
}

/**
 * Refuses a vault that is older than, or another one than, the last one seen at `path`; remembers a newer one.
 * @throws `KEYMUX_VAULT_DAMAGED`
 */
export function checkAnchor(folder: string, path: string, content: VaultContent): void {
  const file = fileOf(folder, path);
  const anchor = readAnchor(file, path);
  if (anchor === undefined) return remember(folder, path, content);
  const { id, generation, head } = anchor;
  if (id !== content.id) throw damagedVault(path, 'another vault stands in its place', ACCEPT);
  if (!isSameMac(macOf(content, path, anchor), anchor.mac))
    throw damagedVault(path, `what this machine remembers of it (${file}) was changed`, ACCEPT);
  if (content.generation < generation)
    throw damagedVault(
      path,
      `it is an older copy (writing ${content.generation}, where ${generation} was seen)`,
      ACCEPT,
    );
  if (content.generation > generation) return remember(folder, path, content);
  if (!isSameMac(headOf(content), head))
    throw damagedVault(
      path,
      `it is not the copy that was seen here, though as old (writing ${generation})`,
      ACCEPT,
    );
}

/** From here on this is the vault at `path`. Where nothing can be written, as in many containers, nothing is kept. */
export function remember(folder: string, path: string, content: VaultContent): void {
  const seen = { id: content.id, generation: content.generation, head: headOf(content) };
  const anchor: Anchor = { ...seen, mac: macOf(content, path, seen) };
  const file = fileOf(folder, path);
  try {
    mkdirSync(dirname(file), { recursive: true, mode: 0o700 });
    replaceFile(file, `${JSON.stringify({ 'keymux-vault-anchor': 1, path, ...anchor }, null, 2)}\n`);
  } catch {
    // An older anchor, if there is one, guards what it knows.
  }
}

/** For what `keymux vault accept` was asked to do: an anchor that cannot be replaced would refuse again. */
export function forget(folder: string, path: string): void {
  rmSync(fileOf(folder, path), { force: true });
}

function fileOf(folder: string, path: string): string {
  return join(folder, `${createHash('sha256').update(path).digest('hex').slice(0, 32)}.json`);
}

function macOf(content: VaultContent, path: string, seen: Omit<Anchor, 'mac'>): string {
  return mac(content, 'anchor', [path, seen.id, seen.generation, seen.head]);
}

function readAnchor(file: string, path: string): Anchor | undefined {
  let text: string;
  try {
    text = readFileSync(file, 'utf8');
  } catch (error) {
    const code = systemCodeOf(error);
    if (code === 'ENOENT') return undefined;
    throw damagedVault(path, `what this machine remembers of it (${file}) cannot be read (${code})`, ACCEPT);
  }
  const anchor = anchorOf(text);
  if (anchor === undefined)
    throw damagedVault(path, `what this machine remembers of it (${file}) was changed`, ACCEPT);
  return anchor;
}

function anchorOf(text: string): Anchor | undefined {
  try {
    const stated = JSON.parse(text) as Readonly<Record<string, unknown>> | null;
    const { id, generation, head, mac: proof } = stated ?? {};
    if (typeof id !== 'string' || typeof head !== 'string' || typeof proof !== 'string') return undefined;
    return typeof generation === 'number' ? { id, generation, head, mac: proof } : undefined;
  } catch {
    return undefined;
  }
}
