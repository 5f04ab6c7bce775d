import { generateKeyPairSync } from 'node:crypto';
import { existsSync, readFileSync, readdirSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { makeIdentity } from '#keymux/config/vault-cipher.js';
import { isSigned, publicKeyOf, signerFromFile, signerFromSeed } from '#keymux/observe/audit-signing.js';
import { createVault } from '#keymux/vault.js';
import { describe, expect, it } from 'vitest';
import { acmeConfig } from '../manager/acme.js';
import { auditPlace } from './audit-folder.js';

const TEXT = Buffer.from('what happened');

/** A folder with a vault, and settings of managers that have it. */
async function vaultPlace() {
  const place = auditPlace();
  const env = { KEYMUX_VAULT_KEY: await makeIdentity() };
  const path = join(place.root, 'keymux.vault');
  await createVault({ path, env });
  const config = { ...acmeConfig(), vault: { path } };
  const withVault = { options: { config, cwd: place.root } } as const;
  return { ...place, env, path, withVault };
}

describe('the key that signs', () => {
  it('is made from the vault where there is one, the same for all, and in no file', async () => {
    const place = await vaultPlace();
    for (const name of ['acme/main', 'acme/2']) {
      const { manager, audit } = place.start(place.withVault, { env: place.env });
      manager.disable(name);
      audit.stop();
    }
    expect(place.warnings).toEqual([]);
    const opened = place.records().filter(({ type }) => type === 'opened');
    expect(opened).toHaveLength(2);
    expect(new Set(opened.map(({ data }) => data['key'])).size).toBe(1);
    expect(await place.verify()).toMatchObject({ ok: true, files: 2 });
    expect(existsSync(join(place.stateFolder, 'audit-key.pem'))).toBe(false);
    for (const name of readdirSync(place.folder)) {
      const text = readFileSync(join(place.folder, name), 'utf8');
      expect(text).not.toContain('PRIVATE');
      expect(text).not.toContain(place.env.KEYMUX_VAULT_KEY);
    }
  });

  it('is looked for as things stood at the start', async () => {
    const place = await vaultPlace();
    const env: Record<string, string> = { ...place.env };
    const { manager, audit } = place.start(place.withVault, { env });
    delete env['KEYMUX_VAULT_KEY'];
    manager.disable('acme/main');
    audit.flush();
    expect([audit.trouble, place.types()]).toEqual([undefined, expect.arrayContaining(['administered'])]);
  });

  it('is missed while the vault is locked or damaged, and the trail waits', async () => {
    const place = await vaultPlace();
    const locked = place.start(place.withVault, { env: { KEYMUX_VAULT_KEY: await makeIdentity() } });
    locked.manager.disable('acme/main');
    locked.audit.flush();
    const { cause, message } = locked.audit.trouble ?? {};
    expect(cause).toMatchObject({ code: 'KEYMUX_VAULT_LOCKED' });
    expect(message).toContain('stays locked');
    const whole = readFileSync(place.path, 'utf8');
    writeFileSync(place.path, whole.slice(0, -60));
    const damaged = place.start(place.withVault, { env: place.env });
    damaged.manager.disable('acme/main');
    damaged.audit.flush();
    expect(damaged.audit.trouble?.cause).toMatchObject({ code: 'KEYMUX_VAULT_DAMAGED' });
    expect(place.files()).toEqual([]);
    writeFileSync(place.path, whole);
    damaged.audit.flush();
    expect(damaged.audit.trouble).toBeUndefined();
    expect(place.types()).toEqual(expect.arrayContaining(['resumed', 'administered']));
  });

  it('is made where there is none, once, for its user only', () => {
    const { stateFolder } = auditPlace();
    const path = join(stateFolder, 'audit-key.pem');
    const { fingerprint } = signerFromFile(path);
    expect(signerFromFile(path).fingerprint).toBe(fingerprint);
    expect(statSync(path).mode & 0o777).toBe(0o600);
    expect(readdirSync(stateFolder)).toEqual(['audit-key.pem']);
  });

  it('is told from others by its fingerprint and its signatures', () => {
    const [one, two] = [1, 2].map((byte) => signerFromSeed(new Uint8Array(32).fill(byte)));
    const key = publicKeyOf(one?.publicKey ?? '', one?.fingerprint ?? '');
    if (key === undefined || one === undefined || two === undefined) throw new Error('no key');
    expect(isSigned(TEXT, one.sign(TEXT), key)).toBe(true);
    expect(isSigned(TEXT, two.sign(TEXT), key)).toBe(false);
    expect(isSigned(Buffer.from('else'), one.sign(TEXT), key)).toBe(false);
    for (const signature of [undefined, 7, '', 'AAAA']) expect(isSigned(TEXT, signature, key)).toBe(false);
    expect(publicKeyOf(one.publicKey, two.fingerprint)).toBeUndefined();
    expect(publicKeyOf('no key', one.fingerprint)).toBeUndefined();
  });

  it('is refused where it is damaged, of another kind, or cannot be read, and stays as it is', () => {
    const { root } = auditPlace();
    const path = join(root, 'audit-key.pem');
    const otherKind = generateKeyPairSync('x25519').privateKey.export({ type: 'pkcs8', format: 'pem' });
    for (const text of ['CANARY-no-key', otherKind.toString()]) {
      writeFileSync(path, text);
      expect(() => signerFromFile(path)).toThrow(
        expect.objectContaining({
          code: 'KEYMUX_AUDIT_UNAVAILABLE',
          message: `The signing key ${path} is damaged.`,
        }),
      );
      expect(readFileSync(path, 'utf8')).toBe(text);
    }
    expect(() => signerFromFile(root)).toThrow(expect.objectContaining({ code: 'EISDIR' }));
  });
});
