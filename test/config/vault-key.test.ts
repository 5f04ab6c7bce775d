import { chmodSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { readEnvironment } from '#keymux/config/environment.js';
import { withoutVariables, envLine } from '#keymux/config/vault-env-text.js';
import { isInKeychain, parseVaultKey, readVaultKey, writeKeychain } from '#keymux/config/vault-key.js';
import type { Keychain } from '#keymux/config/vault-key.js';
import fc from 'fast-check';
import { parseEnv } from 'node:util';
import { describe, expect, it } from 'vitest';
import { CANARY, refusal, vaultPlace } from './vault-place.js';

const LOCKED = { code: 'KEYMUX_VAULT_LOCKED' };
const place = { path: '/v', key: 'env:KEY' };

function keychainWith(stored: Map<string, string>, fails = false): () => Keychain {
  class Entry {
    readonly #name: string;
    constructor(service: string, name: string) {
      this.#name = `${service}/${name}`;
    }
    getPassword(): string | null {
      if (fails) throw new Error(`no session; ${CANARY}`);
      return stored.get(this.#name) ?? null;
    }
    setPassword(text: string): void {
      stored.set(this.#name, text);
    }
  }
  return () => ({ Entry });
}

describe('the key of a vault', () => {
  it('is read from a variable, a file and a command', async () => {
    const { definition, folder, identity } = await vaultPlace();
    const environment = readEnvironment({ KEY: 'a passphrase of words', PATH: process.env['PATH'] }, folder);
    const keys = ['env:KEY', 'file:vault.key', 'exec:cat vault.key'].map((key) =>
      readVaultKey({ ...definition, key }, environment),
    );
    expect(keys).toEqual([
      { kind: 'passphrase', passphrase: 'a passphrase of words' },
      { kind: 'identities', identities: [identity] },
      { kind: 'identities', identities: [identity] },
    ]);
  });

  it('tells what the keychain of this machine says, with and without a session', async () => {
    const { definition, environment } = await vaultPlace();
    const name = `keymux-test-${process.pid}-is-not-there`;
    const error = await refusal(() => readVaultKey({ ...definition, key: `keychain:${name}` }, environment));
    expect(error).toMatchObject(LOCKED);
    expect(error.message).toMatch(/keychain/);
    // The package is there, so nobody is told to install it.
    expect(error.fix).not.toMatch(/npm install/);
  });

  it('is read from the keychain, and told where there is none', async () => {
    const { definition, environment, identity } = await vaultPlace();
    const stated = { ...definition, key: 'keychain:team' };
    const stored = new Map<string, string>();
    const load = keychainWith(stored);
    expect(isInKeychain(stated, load)).toBe(false);
    expect(await refusal(() => readVaultKey(stated, environment, load))).toMatchObject(LOCKED);
    writeKeychain(stated, identity, load);
    expect(isInKeychain(stated, load)).toBe(true);
    expect(readVaultKey(stated, environment, load)).toEqual({ kind: 'identities', identities: [identity] });
    const missing = (): never => {
      throw new Error('Cannot find module');
    };
    expect((await refusal(() => readVaultKey(stated, environment, missing))).fix).toContain('npm install');
    const broken = keychainWith(stored, true);
    expect((await refusal(() => readVaultKey(stated, environment, broken))).message).toContain('no session');
  });

  it.each([0o640, 0o604, 0o660])('is refused in a file with mode %o', async (mode) => {
    const { definition, environment, folder } = await vaultPlace();
    chmodSync(join(folder, 'vault.key'), mode);
    const error = await refusal(() => readVaultKey(definition, environment));
    expect(error).toMatchObject(LOCKED);
    expect(error.fix).toContain(`chmod 600 ${join(folder, 'vault.key')}`);
  });

  it('is told by its place where it is not there', async () => {
    const { definition, environment } = await vaultPlace();
    for (const key of ['env:NONE', 'file:none', 'exec:false']) {
      const error = await refusal(() => readVaultKey({ ...definition, key }, environment));
      expect(error).toMatchObject(LOCKED);
      expect(error.message).toContain(key);
    }
    const command = await refusal(() =>
      readVaultKey({ ...definition, key: `exec:false --token ${CANARY}` }, environment),
    );
    expect(command.fix).toContain('the command');
  });

  it('is identities with comments between them, or one line', () => {
    expect(parseVaultKey('# one\r\nAGE-SECRET-KEY-1AA\n\n  AGE-SECRET-KEY-PQ-1BB\n', place)).toEqual({
      kind: 'identities',
      identities: ['AGE-SECRET-KEY-1AA', 'AGE-SECRET-KEY-PQ-1BB'],
    });
    expect(parseVaultKey(' # no comment \n', place)).toEqual({
      kind: 'passphrase',
      passphrase: '# no comment',
    });
  });

  it.each([
    '',
    `${CANARY}\nsecond line`,
    'age-secret-key-1lower',
    'AGE-PLUGIN-YUBIKEY-1AA',
    `AGE-SECRET-KEY-1AA\n${CANARY}`,
    '-----BEGIN AGE ENCRYPTED FILE-----',
    '# comments\n# alone',
  ])('is refused as %j', async (text) => {
    expect(await refusal(() => parseVaultKey(text, place))).toMatchObject(LOCKED);
  });
});

describe('the text of a .env file', () => {
  it('loses the variables, and nothing else', () => {
    const text = '# OPENAI_API_KEY=old\nexport OPENAI_API_KEY="a" # mine\r\nB=2\n\nOPENAI_API_KEY=b';
    expect(withoutVariables(text, new Set(['OPENAI_API_KEY']))).toBe('# OPENAI_API_KEY=old\nB=2\n\n');
    expect(withoutVariables('\uFEFFA=1\nB=2\n', new Set(['A']))).toBe('B=2\n');
  });

  it('is left alone where another value would change with it', () => {
    const text = 'CERT="one\nKEY=inside\nthree"\nKEY=a\n';
    expect(withoutVariables(text, new Set(['KEY']))).toBeUndefined();
    expect(withoutVariables('KEY="a\nb"\nC=1\n', new Set(['KEY']))).toBeUndefined();
  });

  it('holds values as they are, or not at all', () => {
    fc.assert(
      fc.property(fc.string({ minLength: 1 }), (value) => {
        const line = envLine('NAME', value);
        if (line !== undefined) expect(parseEnv(line)).toEqual({ NAME: value });
      }),
    );
    expect(envLine('NAME', 'plain')).toBe('NAME=plain');
    expect(envLine('NAME', 'with #hash')).toBe("NAME='with #hash'");
    expect(envLine('NAME', '\'"`\n')).toBeUndefined();
  });
});

describe('a stated key file', () => {
  it('may hold a passphrase', async () => {
    const { definition, environment, folder } = await vaultPlace();
    writeFileSync(join(folder, 'words'), 'five random words\n', { mode: 0o600 });
    expect(readVaultKey({ ...definition, key: 'file:words' }, environment)).toEqual({
      kind: 'passphrase',
      passphrase: 'five random words',
    });
  });
});
