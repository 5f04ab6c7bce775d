/** The real `age` reads what keymux wrote, and the other way round. */
import { spawnSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { recipientsOf } from '#keymux/config/vault-cipher.js';
import { acceptVault, changeVault, readVault } from '#keymux/config/vault-write.js';
import { describe, expect, it } from 'vitest';
import { CANARY, filledVault, identityKey, refusal } from './vault-place.js';
import type { Place } from './vault-place.js';

const AGE = process.env['AGE'] ?? 'age';

interface Written {
  entries: Record<string, { value: string }>;
}

function decrypted({ definition, folder }: Place): string {
  const { stdout, stderr, status } = spawnSync(
    AGE,
    ['-d', '-i', join(folder, 'vault.key'), definition.path],
    {
      encoding: 'utf8',
    },
  );
  expect([status, stderr]).toEqual([0, '']);
  return stdout;
}

async function encrypt({ definition, identity }: Place, text: string): Promise<void> {
  const [recipient = ''] = (await recipientsOf(identityKey(identity))) ?? [];
  const { stdout, status } = spawnSync(AGE, ['-e', '-a', '-r', recipient], { input: text, encoding: 'utf8' });
  expect(status).toBe(0);
  writeFileSync(definition.path, stdout, { mode: 0o600 });
}

describe('age', () => {
  it('opens a vault with its identity', async () => {
    const place = await filledVault();
    const written = JSON.parse(decrypted(place)) as Written;
    expect(written).toMatchObject({ 'keymux-vault': 1, generation: 2 });
    expect(written.entries['acme/main']).toMatchObject({ version: 1, value: `${CANARY}-main` });
  });

  it('may encrypt it again: it is the same vault', async () => {
    const place = await filledVault();
    await encrypt(place, decrypted(place));
    expect((await readVault(place.access)).get('acme/main')).toBe(`${CANARY}-main`);
    await changeVault(place.access, (draft) => draft.set('acme/main', 'next'));
    expect(decrypted(place)).toContain('"value": "next"');
  });

  it('gives nobody a way to swap entries, not even after `accept`', async () => {
    const place = await filledVault();
    const written = JSON.parse(decrypted(place)) as Written;
    const { 'acme/main': main, 'acme/spare': spare } = written.entries;
    await encrypt(place, JSON.stringify({ ...written, entries: { 'acme/main': spare, 'acme/spare': main } }));
    const before = readFileSync(place.definition.path, 'utf8');
    for (const work of [readVault, acceptVault])
      expect(await refusal(() => work(place.access))).toMatchObject({ code: 'KEYMUX_VAULT_DAMAGED' });
    expect(readFileSync(place.definition.path, 'utf8')).toBe(before);
  });

  it('makes other files than vaults, which are told apart', async () => {
    const place = await filledVault();
    await encrypt(place, 'OPENAI_API_KEY=x\n');
    expect((await refusal(() => readVault(place.access))).message).toContain('an age file, but no vault');
  });
});
