import {
  chmodSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { anchorFolder } from '#keymux/config/vault-anchor.js';
import { decryptArmour, encryptArmour, makeIdentity, recipientsOf } from '#keymux/config/vault-cipher.js';
import { emptyContent, writeContent } from '#keymux/config/vault-content.js';
import { accessWith, contentFrom } from '#keymux/config/vault-opened.js';
import { rotateInPlace } from '#keymux/config/vault-rotation.js';
import {
  acceptVault,
  changeRecipients,
  changeVault,
  createVault,
  exportVault,
  readVault,
  rotateVault,
} from '#keymux/config/vault-write.js';
import * as programs from '#keymux/vault.js';
import { describe, expect, it } from 'vitest';
import { CANARY, filledVault, identityKey, refusal, textsIn, vaultPlace, withKey } from './vault-place.js';

const WORK_FACTOR = 4;
const DAMAGED = { code: 'KEYMUX_VAULT_DAMAGED' };
const LOCKED = { code: 'KEYMUX_VAULT_LOCKED' };
const USAGE = { code: 'KEYMUX_USAGE' };

const passphrase = (text: string) => ({ kind: 'passphrase', passphrase: text }) as const;

async function publicKeyOf(identity: string): Promise<string> {
  const [recipient = ''] = (await recipientsOf(identityKey(identity))) ?? [];
  return recipient;
}

describe('a vault', () => {
  it('keeps values, counts their versions and forgets what is removed', async () => {
    const { access } = await filledVault();
    const changed = await changeVault(access, (draft) => {
      expect(draft.names()).toEqual(['acme/main', 'acme/spare']);
      expect(draft.get('acme/main')).toBe(`${CANARY}-main`);
      draft.set('acme/main', 'another');
      expect(draft.remove('acme/spare')).toBe(true);
      expect(draft.remove('acme/none')).toBe(false);
    });
    expect(changed.generation).toBe(3);
    const vault = await readVault(access);
    expect(vault.names()).toEqual(['acme/main']);
    expect(vault.get('acme/main')).toBe('another');
    expect(vault.entry('acme/main')).toMatchObject({ name: 'acme/main', version: 2 });
    expect(vault.recipients).toHaveLength(1);
  });

  it('is not written again where nothing differs', async () => {
    const { access, definition } = await filledVault();
    const before = statSync(definition.path).ino;
    const vault = await changeVault(access, (draft) => draft.set('acme/main', `${CANARY}-main`));
    expect(vault.generation).toBe(2);
    expect(statSync(definition.path).ino).toBe(before);
  });

  it('is as it was where the change fails in the middle', async () => {
    const { access } = await filledVault();
    const error = await refusal(() =>
      changeVault(access, (draft) => {
        draft.set('acme/new', 'x');
        draft.set(' bad', 'x');
      }),
    );
    expect(error).toMatchObject(USAGE);
    expect((await readVault(access)).names()).toEqual(['acme/main', 'acme/spare']);
  });

  it('leaves no value in clear on disk, no temporary file and no lock; all for its owner alone', async () => {
    const { folder, access, definition } = await filledVault();
    await rotateInPlace(access);
    const files = readdirSync(folder).sort();
    expect(files).toEqual([
      'keymux.vault',
      'keymux.vault.previous',
      'state',
      'vault.key',
      'vault.key.previous',
    ]);
    expect(textsIn(folder)).not.toContain(CANARY);
    for (const name of files.filter((one) => one !== 'state'))
      expect(statSync(join(folder, name)).mode & 0o777).toBe(0o600);
    expect(statSync(join(folder, 'state', 'vaults')).mode & 0o777).toBe(0o700);
    expect(statSync(definition.path).size).toBeGreaterThan(100);
  });

  it('is never made over something that is there', async () => {
    const { access, definition } = await vaultPlace();
    writeFileSync(definition.path, 'mine', { mode: 0o600 });
    expect(await refusal(() => createVault(access))).toMatchObject(USAGE);
    expect(await refusal(() => changeVault(access, (draft) => draft.set('a', 'x')))).toMatchObject(DAMAGED);
    expect(readFileSync(definition.path, 'utf8')).toBe('mine');
  });

  it('is written where a link leads to, and the link stays', async () => {
    const { folder, definition, environment, identity } = await vaultPlace();
    mkdirSync(join(folder, 'real'));
    const real = join(folder, 'real', 'team.vault');
    await createVault(accessWith({ ...definition, path: real }, environment, identityKey(identity)));
    symlinkSync(real, definition.path);
    const access = accessWith(definition, environment, identityKey(identity));
    await changeVault(access, (draft) => draft.set('a', 'x'));
    expect(readdirSync(folder)).not.toContain('keymux.vault.lock');
    expect((await readVault(access)).path).toBe(real);
  });

  it('opens with a passphrase, and with the right one only', async () => {
    const { access } = await vaultPlace();
    const own = withKey(access, passphrase('five random words are enough'));
    const writing = { workFactor: WORK_FACTOR };
    await createVault(own, writing);
    await changeVault(own, (draft) => draft.set('a', CANARY), writing);
    const vault = await readVault(own);
    expect(vault.get('a')).toBe(CANARY);
    expect(vault.recipients).toEqual([]);
    expect(await refusal(() => readVault(withKey(access, passphrase('another'))))).toMatchObject(LOCKED);
    expect(await refusal(() => readVault(access))).toMatchObject(LOCKED);
    expect(await refusal(() => changeRecipients(own, { add: ['age1x'] }))).toMatchObject(USAGE);
  });

  it('refuses a content without recipients that an identity opened', async () => {
    const { access, definition, identity } = await vaultPlace();
    const armour = await encryptArmour(writeContent(emptyContent([])), {
      recipients: [await publicKeyOf(identity)],
    });
    writeFileSync(definition.path, armour, { mode: 0o600 });
    expect(await refusal(() => changeVault(access, (draft) => draft.set('a', 'x')))).toMatchObject(DAMAGED);
    expect(readFileSync(definition.path, 'utf8')).toBe(armour);
  });
});

describe('what is refused', () => {
  it('notices every byte that is flipped', async () => {
    const { access, definition } = await vaultPlace();
    await createVault(access);
    await changeVault(access, (draft) => draft.set('a', CANARY));
    const bytes = readFileSync(definition.path);
    const codes = new Set<string>();
    for (const [at, byte] of bytes.entries()) {
      // Blanks are what readers of armour forgive: all their bits.
      const flips = byte === 10 ? [1, 2, 4, 8, 16, 32, 64, 128] : [1 << (at % 8)];
      for (const flip of flips) {
        const other = Buffer.from(bytes);
        other[at] = byte ^ flip;
        const decrypted = await decryptArmour(other.toString('latin1'), access.key);
        const error = await refusal(() => contentFrom(decrypted, access));
        codes.add(error.code);
      }
    }
    expect([...codes].sort()).toEqual(['KEYMUX_VAULT_DAMAGED', 'KEYMUX_VAULT_LOCKED']);
  });

  it('opens after an editor or git changed the ends of lines, which say nothing', async () => {
    const { access, definition } = await filledVault();
    const text = readFileSync(definition.path, 'utf8');
    writeFileSync(definition.path, text.replaceAll('\n', '\r\n'));
    expect((await readVault(access)).get('acme/main')).toBe(`${CANARY}-main`);
  });

  it.each([
    ['nothing', ''],
    ['another text', 'hello\n'],
    ['a cut file', '-----BEGIN AGE ENCRYPTED FILE-----\nYWdl\n'],
    [
      'armour around something else',
      '-----BEGIN AGE ENCRYPTED FILE-----\nYWdl\n-----END AGE ENCRYPTED FILE-----\n',
    ],
  ])('refuses %s and leaves it as it is', async (_, text) => {
    const { access, definition } = await vaultPlace();
    writeFileSync(definition.path, text, { mode: 0o600 });
    expect(await refusal(() => readVault(access))).toMatchObject(DAMAGED);
    expect(await refusal(() => rotateInPlace(access))).toMatchObject(DAMAGED);
    expect(readFileSync(definition.path, 'utf8')).toBe(text);
  });

  it('refuses another key, and one that is mistyped', async () => {
    const { access } = await filledVault();
    const other = await makeIdentity();
    const wrong = await refusal(() => readVault(withKey(access, identityKey(other))));
    expect(wrong).toMatchObject(LOCKED);
    expect(wrong.message).toContain('another key than this vault needs');
    const mistyped = withKey(access, identityKey(`${other.slice(0, -1)}!`));
    expect(await refusal(() => readVault(mistyped))).toMatchObject(LOCKED);
    expect(await refusal(() => createVault({ ...mistyped, path: `${access.path}2` }))).toMatchObject(LOCKED);
  });

  it.each([0o640, 0o604, 0o620, 0o602])('refuses a vault with mode %o', async (mode) => {
    const { access, definition } = await filledVault();
    chmodSync(definition.path, mode);
    const error = await refusal(() => readVault(access));
    expect(error).toMatchObject({ ...DAMAGED, fix: `chmod 600 ${definition.path}` });
    chmodSync(definition.path, 0o600);
    expect((await readVault(access)).names()).toHaveLength(2);
  });

  it('refuses what is no file, is too large, or is not there', async () => {
    const { access, definition } = await vaultPlace();
    expect(await refusal(() => readVault(access))).toMatchObject(LOCKED);
    mkdirSync(definition.path);
    expect(await refusal(() => readVault(access))).toMatchObject(DAMAGED);
    rmSync(definition.path, { recursive: true });
    writeFileSync(definition.path, Buffer.alloc(16_777_217), { mode: 0o600 });
    expect(await refusal(() => readVault(access))).toMatchObject(DAMAGED);
    rmSync(definition.path);
    writeFileSync(definition.path, '');
    const below = { ...access, path: join(definition.path, 'below') };
    expect(await refusal(() => readVault(below))).toMatchObject(LOCKED);
  });

  it('says where a folder is missing that it should be made in', async () => {
    const { access } = await vaultPlace();
    const error = await refusal(() => createVault({ ...access, path: join(access.path, 'below', 'v') }));
    expect(error).toMatchObject(USAGE);
    expect(error.message).toContain('ENOENT');
  });
});

describe('an older copy', () => {
  it('is refused until it is accepted', async () => {
    const { access, definition, folder } = await filledVault();
    const copy = join(folder, 'copy');
    copyFileSync(definition.path, copy);
    await changeVault(access, (draft) => draft.set('acme/main', 'newer'));
    copyFileSync(copy, definition.path);
    const error = await refusal(() => readVault(access));
    expect(error).toMatchObject(DAMAGED);
    expect(error.message).toContain('an older copy (writing 2, where 3 was seen)');
    expect(error.fix).toContain('keymux vault accept');
    expect(await refusal(() => changeVault(access, (draft) => draft.set('a', 'x')))).toMatchObject(DAMAGED);
    expect(await refusal(() => exportVault(access, []))).toMatchObject(DAMAGED);
    await acceptVault(access);
    expect((await readVault(access)).get('acme/main')).toBe(`${CANARY}-main`);
  });

  it('is refused, too, where it was changed apart', async () => {
    const { access, definition, folder } = await filledVault();
    const copy = join(folder, 'copy');
    copyFileSync(definition.path, copy);
    await changeVault(access, (draft) => draft.set('a', 'x'));
    const elsewhere = { ...access, path: copy };
    await changeVault(elsewhere, (draft) => draft.set('b', 'x'));
    copyFileSync(copy, definition.path);
    expect((await refusal(() => readVault(access))).message).toContain('not the copy that was seen here');
    await changeVault(elsewhere, (draft) => draft.set('c', 'x'));
    copyFileSync(copy, definition.path);
    expect((await readVault(access)).names()).toContain('c');
  });

  it('is another vault where somebody else put one for the same key', async () => {
    const { access, definition } = await filledVault();
    const other = await filledVault();
    const exported = await exportVault(other.access, (await readVault(access)).recipients);
    writeFileSync(definition.path, exported, { mode: 0o600 });
    expect((await refusal(() => readVault(access))).message).toContain('another vault stands in its place');
    await acceptVault(access);
    expect((await readVault(access)).get('acme/main')).toBe(`${CANARY}-main`);
  });

  it.each([
    ['no JSON', () => 'x'],
    ['a part missing', (text: string) => text.replace('"mac"', '"man"')],
    ['null', () => 'null'],
    ['text for a number', (text: string) => text.replace(/"generation": \d+/, '"generation": "2"')],
    ['an earlier writing', (text: string) => text.replace(/"generation": \d+/, '"generation": 1')],
  ])('is not let in by an anchor that was changed: %s', async (_, edit) => {
    const { access } = await filledVault();
    const [name = ''] = readdirSync(access.anchors);
    const anchor = join(access.anchors, name);
    writeFileSync(anchor, edit(readFileSync(anchor, 'utf8')));
    expect((await refusal(() => readVault(access))).message).toContain('was changed');
    await acceptVault(access);
    expect((await readVault(access)).names()).toHaveLength(2);
  });

  it('is refused where the anchor cannot be read', async () => {
    const { access } = await filledVault();
    const [name = ''] = readdirSync(access.anchors);
    rmSync(join(access.anchors, name));
    mkdirSync(join(access.anchors, name));
    expect((await refusal(() => readVault(access))).message).toContain('cannot be read (EISDIR)');
  });

  it('cannot be told where nothing can be kept, and the vault opens all the same', async () => {
    const { access, definition } = await filledVault();
    const elsewhere = { ...access, anchors: join(definition.path, 'no-folder') };
    expect(await refusal(() => readVault(elsewhere))).toMatchObject(DAMAGED);
    const nowhere = { ...access, anchors: '/sys/keymux/vaults' };
    expect((await readVault(nowhere)).names()).toHaveLength(2);
  });

  it('is remembered in the state directory of the user, whatever a project says', () => {
    const variable = (name: string, value: string) => [name, { value, origin: `env:${name}` }] as const;
    const environment = (ofFile: Record<string, string>, ...own: [string, string][]) => ({
      variables: new Map([
        ...Object.entries(ofFile).map(([name, value]) => variable(name, value)),
        ...own.map(([name, value]) => variable(name, value)),
      ]),
      sources: [],
      notes: [],
      ofFile,
    });
    expect(anchorFolder(environment({ KEYMUX_STATE_DIR: '/project' }, ['XDG_STATE_HOME', '/state']))).toBe(
      '/state/keymux/vaults',
    );
    expect(anchorFolder(environment({}, ['KEYMUX_STATE_DIR', '/own']))).toBe('/own/vaults');
    expect(anchorFolder(environment({}, ['HOME', '/home/ann']))).toBe('/home/ann/.local/state/keymux/vaults');
    expect(anchorFolder(environment({}))).toMatch(/keymux.vaults$/);
  });
});

describe('recipients', () => {
  it('open the vault from when they are added until they are removed', async () => {
    const { access, identity } = await filledVault();
    const other = await makeIdentity();
    const recipient = await publicKeyOf(other);
    const theirs = withKey(access, identityKey(other));
    expect((await changeRecipients(access, { add: [recipient] })).recipients).toHaveLength(2);
    await changeVault(theirs, (draft) => draft.set('theirs', 'x'));
    expect((await readVault(access)).names()).toContain('theirs');
    await changeRecipients(access, { remove: [recipient] });
    expect(await refusal(() => readVault(theirs))).toMatchObject(LOCKED);
    expect((await readVault(access)).recipients).toEqual([await publicKeyOf(identity)]);
  });

  it('are public keys, of which one is in use here and stays', async () => {
    const { access, identity } = await filledVault();
    const before = readFileSync(access.path, 'utf8');
    for (const change of [
      { add: ['nobody'] },
      { add: [await makeIdentity()] },
      { remove: ['age1unknown'] },
      { remove: [await publicKeyOf(identity)] },
    ])
      expect(await refusal(() => changeRecipients(access, change))).toMatchObject(USAGE);
    expect(readFileSync(access.path, 'utf8')).toBe(before);
  });

  it('get a vault of their own by an export, under another secret', async () => {
    const { access, folder } = await filledVault();
    const other = await makeIdentity();
    const path = join(folder, 'theirs.vault');
    writeFileSync(path, await exportVault(access, [await publicKeyOf(other)]), { mode: 0o600 });
    const theirs = { ...withKey(access, identityKey(other)), path };
    const vault = await readVault(theirs);
    expect(vault.get('acme/spare')).toBe(`${CANARY}-spare`);
    expect(vault.deriveKey('store')).not.toEqual((await readVault(access)).deriveKey('store'));
    expect(await refusal(() => readVault({ ...access, path }))).toMatchObject(LOCKED);
  });
});

describe('a new key', () => {
  it('opens the vault in the place of the old one, which is kept until then', async () => {
    const { access, definition, folder } = await filledVault();
    const secret = (await readVault(access)).deriveKey('store');
    await rotateVault(access, withKey(access, passphrase('a new passphrase')), { workFactor: WORK_FACTOR });
    const wrong = await refusal(() => readVault(access));
    expect(wrong.fix).toContain(`${definition.path}.previous is the vault before its key changed`);
    const previous = { ...access, path: `${definition.path}.previous`, anchors: join(folder, 'other') };
    expect((await readVault(previous)).names()).toHaveLength(2);
    const vault = await readVault(withKey(access, passphrase('a new passphrase')));
    expect(vault.get('acme/main')).toBe(`${CANARY}-main`);
    expect(vault.deriveKey('store')).toEqual(secret);
    expect(existsSync(previous.path)).toBe(false);
    expect((await refusal(() => readVault(access))).fix).not.toContain('.previous');
  });

  it('leaves other recipients in, so that it cannot be a passphrase', async () => {
    const { access } = await filledVault();
    const other = await makeIdentity();
    await changeRecipients(access, { add: [await publicKeyOf(other)] });
    const next = withKey(access, passphrase('a new passphrase'));
    expect(await refusal(() => rotateVault(access, next))).toMatchObject(USAGE);
    await rotateInPlace(access);
    expect((await readVault(withKey(access, identityKey(other)))).recipients).toHaveLength(2);
    expect(await refusal(() => readVault(access))).toMatchObject(LOCKED);
  });

  it('takes the place of the old one in its file, which is as it was where that fails', async () => {
    const { access, folder, identity, definition } = await filledVault();
    const keyFile = join(folder, 'vault.key');
    const armour = readFileSync(definition.path, 'utf8');
    writeFileSync(definition.path, armour.replace('A', 'B'));
    expect(await refusal(() => rotateInPlace(access))).toBeDefined();
    expect(readFileSync(keyFile, 'utf8')).toContain(identity);
    expect(readFileSync(keyFile, 'utf8').match(/AGE-SECRET/g)).toHaveLength(1);
    writeFileSync(definition.path, armour);
    await rotateInPlace(access);
    const text = readFileSync(keyFile, 'utf8');
    expect(text).not.toContain(identity);
    const [next = ''] = /AGE-SECRET\S+/.exec(text) ?? [];
    expect((await readVault(withKey(access, identityKey(next)))).names()).toHaveLength(2);
    expect(readdirSync(folder).filter((name) => name.endsWith('.previous'))).toEqual([]);
  });

  it('cannot take the place of a passphrase, or of what only others can change', async () => {
    const { access, definition } = await filledVault();
    const inVariable = { ...access, definition: { ...definition, key: 'env:KEY' } };
    for (const one of [inVariable, withKey(access, passphrase('some passphrase'))])
      expect(await refusal(() => rotateInPlace(one))).toMatchObject(USAGE);
  });

  it('takes the place of the old one in the keychain', async () => {
    const { access, definition, identity } = await filledVault();
    const stored: string[] = [];
    class Entry {
      getPassword(): string | null {
        return stored.at(-1) ?? null;
      }
      setPassword(text: string): void {
        stored.push(text);
      }
    }
    const inKeychain = { ...access, definition: { ...definition, key: 'keychain:team' } };
    await rotateInPlace(inKeychain, {}, () => ({ Entry }));
    const [both = '', last = ''] = stored;
    expect(both).toContain(identity);
    expect(both).toContain(last.trim());
    expect((await readVault(withKey(access, identityKey(last.trim())))).names()).toHaveLength(2);
  });
});

describe('keymux/vault', () => {
  it('makes, changes and reads a vault', async () => {
    const { definition, identity, folder } = await vaultPlace();
    const env = { KEYMUX_VAULT_KEY: identity, KEYMUX_STATE_DIR: join(folder, 'state') };
    const options = { path: definition.path, env };
    await programs.createVault(options);
    await programs.changeVault((draft) => draft.set('a', CANARY), options);
    const vault = await programs.readVault({ ...options, key: `file:${join(folder, 'vault.key')}` });
    expect(vault.get('a')).toBe(CANARY);
    expect(await refusal(() => programs.readVault({ path: definition.path, env: {} }))).toMatchObject(LOCKED);
  });
});
