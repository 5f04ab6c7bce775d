/** A vault in a folder of its own, with anchors of its own. */
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { VaultDefinition } from '#keymux/config/configuration.js';
import { readEnvironment } from '#keymux/config/environment.js';
import type { Environment } from '#keymux/config/environment.js';
import { makeIdentity } from '#keymux/config/vault-cipher.js';
import type { VaultKey } from '#keymux/config/vault-cipher.js';
import { accessWith } from '#keymux/config/vault-opened.js';
import type { VaultAccess } from '#keymux/config/vault-opened.js';
import { changeVault, createVault } from '#keymux/config/vault-write.js';
import { KeymuxError } from '#keymux/core/errors.js';
import { expect, onTestFinished } from 'vitest';

/** Begins every value that is kept; it must never be seen outside of the vault. */
export const CANARY = 'canary-7d41aa';

export interface Place {
  readonly folder: string;
  readonly definition: VaultDefinition;
  readonly environment: Environment;
  readonly access: VaultAccess;
  readonly identity: string;
}

export async function vaultPlace(): Promise<Place> {
  const folder = mkdtempSync(join(tmpdir(), 'keymux-vault-'));
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  const identity = await makeIdentity();
  writeFileSync(join(folder, 'vault.key'), `# made for a test\n${identity}\n`, { mode: 0o600 });
  const definition = { path: join(folder, 'keymux.vault'), key: 'file:vault.key', folder };
  const environment = readEnvironment({ KEYMUX_STATE_DIR: join(folder, 'state') }, folder);
  const access = accessWith(definition, environment, identityKey(identity));
  return { folder, definition, environment, access, identity };
}

/** With `acme/main` and `acme/spare` in it. */
export async function filledVault(): Promise<Place> {
  const place = await vaultPlace();
  await createVault(place.access);
  await changeVault(place.access, (draft) => {
    draft.set('acme/main', `${CANARY}-main`);
    draft.set('acme/spare', `${CANARY}-spare`);
  });
  return place;
}

export function identityKey(...identities: string[]): VaultKey {
  return { kind: 'identities', identities };
}

export function withKey(access: VaultAccess, key: VaultKey): VaultAccess {
  return { ...access, key };
}

/** The error of a refusal, which says nothing that is kept. */
export async function refusal(work: () => unknown): Promise<KeymuxError> {
  const error = await Promise.resolve()
    .then(work)
    .then(
      () => undefined,
      (thrown: unknown) => thrown,
    );
  expect(error).toBeInstanceOf(KeymuxError);
  const refused = error as KeymuxError;
  const told = [refused.message, refused.fix, refused.stack, String(refused.cause)].join('\n');
  expect(told).not.toContain(CANARY);
  expect(told).not.toContain('AGE-SECRET-KEY-1Q');
  return refused;
}

/** Every file of the folder but keys, as text: none may hold a value in clear. */
export function textsIn(folder: string): string {
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => readFileSync(join(entry.parentPath, entry.name), 'latin1'))
    .join('\n');
}
