import { inspect } from 'node:util';
import type { VaultContent, VaultEntry } from '#keymux/config/vault-content.js';
import {
  checkName,
  checkValue,
  deriveVaultKey,
  emptyContent,
  headOf,
  readContent,
  valueFingerprint,
  writeContent,
} from '#keymux/config/vault-content.js';
import { OpenedVault } from '#keymux/config/vault-opened.js';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { CANARY, refusal } from './vault-place.js';

const changedAt = '2026-11-24T00:00:00.000Z';

function contentWith(values: Readonly<Record<string, string>>): VaultContent {
  const entries = new Map(
    Object.entries(values).map(([name, value]): [string, VaultEntry] => [
      name,
      { version: 1, value, changedAt },
    ]),
  );
  return { ...emptyContent(['age1someone']), entries };
}

const names = fc.stringMatching(/^[A-Za-z0-9][A-Za-z0-9_./-]{0,30}$/);
const values = fc
  .string({ unit: 'binary', minLength: 1, maxLength: 60 })
  .filter((value) => !/\p{Surrogate}/u.test(value));

/** What `writeContent` wrote, changed by hand as somebody who can decrypt it might. */
function edited(content: VaultContent, edit: (text: string) => string): () => VaultContent {
  return () => readContent(edit(writeContent(content)), '/v');
}

interface Written {
  entries: Record<string, Record<string, unknown>>;
  [part: string]: unknown;
}

function editedJson(content: VaultContent, edit: (written: Written) => void): () => VaultContent {
  return edited(content, (text) => {
    const written = JSON.parse(text) as Written;
    edit(written);
    return JSON.stringify(written);
  });
}

describe('the content of a vault', () => {
  it('reads as it was written, whatever the names and values', () => {
    fc.assert(
      fc.property(fc.dictionary(names, values, { maxKeys: 8 }), (stated) => {
        const content = contentWith(stated);
        const read = readContent(writeContent(content), '/v');
        expect(headOf(read)).toBe(headOf(content));
        const vault = new OpenedVault('/v', read);
        expect(vault.names()).toEqual(Object.keys(stated).sort());
        for (const [name, value] of Object.entries(stated)) expect(vault.get(name)).toBe(value);
      }),
      { numRuns: 100 },
    );
  });

  it('never answers with what every object has', () => {
    const vault = new OpenedVault('/v', contentWith({ a: 'x' }));
    for (const name of ['constructor', '__proto__', 'toString']) {
      expect(vault.get(name)).toBeUndefined();
      expect(vault.entry(name)).toBeUndefined();
    }
  });

  it('shows no value when it is printed', () => {
    const vault = new OpenedVault('/v', contentWith({ a: CANARY }));
    expect(inspect(vault, { depth: 9, showHidden: true }) + JSON.stringify(vault)).not.toContain(CANARY);
    expect(JSON.stringify(vault.entry('a'))).not.toContain(CANARY);
  });

  it('notices every edit of its text that keymux did not make', () => {
    const content = contentWith({ one: 'first', two: 'second' });
    const text = writeContent(content);
    const same = JSON.stringify(JSON.parse(text));
    fc.assert(
      fc.property(fc.nat({ max: text.length - 1 }), fc.integer({ min: 1, max: 127 }), (at, flip) => {
        const other =
          text.slice(0, at) + String.fromCharCode(text.charCodeAt(at) ^ flip) + text.slice(at + 1);
        let read: string;
        try {
          read = writeContent(readContent(other, '/v'));
        } catch (error) {
          expect(error).toMatchObject({ code: 'KEYMUX_VAULT_DAMAGED' });
          return;
        }
        // Blanks between the parts of JSON mean nothing.
        expect(JSON.stringify(JSON.parse(read))).toBe(same);
      }),
      { numRuns: 1_000 },
    );
  });

  it.each<[string, (written: Written) => void, RegExp]>([
    [
      'a value under another name',
      ({ entries }) => ([entries['one'], entries['two']] = [entries['two'] ?? {}, entries['one'] ?? {}]),
      /does not belong to this name/,
    ],
    ['another value', ({ entries }) => (entries['one'] = { ...entries['one'], value: 'x' }), /entry one/],
    ['another version', ({ entries }) => (entries['one'] = { ...entries['one'], version: 2 }), /entry one/],
    [
      'another date',
      ({ entries }) => (entries['one'] = { ...entries['one'], changedAt: '2020' }),
      /entry one/,
    ],
    ['an entry fewer', ({ entries }) => delete entries['one'], /something else than keymux/],
    ['another generation', (written) => (written['generation'] = 9), /something else than keymux/],
    ['a recipient more', (written) => (written['recipients'] = ['a', 'b']), /something else than keymux/],
    [
      'an entry of an unknown version',
      ({ entries }) => (entries['one'] = { ...entries['one'], kind: 'totp' }),
      /entry one is of a version/,
    ],
    ['a version 0', ({ entries }) => (entries['one'] = { ...entries['one'], version: 0 }), /of a version/],
    ['an entry that is none', ({ entries }) => (entries['one'] = [] as never), /of a version/],
    [
      'a value that is none',
      ({ entries }) => (entries['one'] = { ...entries['one'], value: 1 }),
      /of a version/,
    ],
    [
      'a seal that is none',
      ({ entries }) => (entries['one'] = { ...entries['one'], seal: 1 }),
      /of a version/,
    ],
    ['a strange name', ({ entries }) => (entries[CANARY + ' '] = {}), /has a name that keymux/],
    ['no entries', (written) => (written.entries = [] as never), /no list of entries/],
    ['a part more', (written) => (written['more'] = 1), /the shape/],
    ['no id', (written) => delete written['id'], /the shape/],
    ['recipients that are none', (written) => (written['recipients'] = [1]), /the shape/],
    ['a short secret', (written) => (written['secret'] = 'AAAA'), /the shape/],
    ['another secret', (written) => (written['secret'] = Buffer.alloc(32).toString('base64')), /entry one/],
    ['a newer version', (written) => (written['keymux-vault'] = 2), /version that this keymux/],
    ['no mark', (written) => delete written['keymux-vault'], /no vault/],
  ])('refuses %s', async (_, edit, message) => {
    const error = await refusal(editedJson(contentWith({ one: 'first', two: 'second' }), edit));
    expect(error).toMatchObject({ code: 'KEYMUX_VAULT_DAMAGED' });
    expect(error.message).toMatch(message);
  });

  it.each(['', 'no json', 'null', '[]', '"text"', '{"__proto__":1}'])('refuses %j', async (text) => {
    const error = await refusal(() => readContent(text, '/v'));
    expect(error).toMatchObject({ code: 'KEYMUX_VAULT_DAMAGED' });
  });

  it('derives keys that differ by purpose and by vault, and no other way', () => {
    const [a, b] = [contentWith({}), contentWith({})];
    const keys = [deriveVaultKey(a, 'x'), deriveVaultKey(a, 'y'), deriveVaultKey(b, 'x')];
    expect(new Set(keys.map((key) => Buffer.from(key).toString('hex'))).size).toBe(3);
    expect(deriveVaultKey({ ...a, generation: 7 }, 'x')).toEqual(keys[0]);
    expect(keys[0]).toHaveLength(32);
  });

  it('gives equal values equal fingerprints in one vault alone', () => {
    const [a, b] = [contentWith({}), contentWith({})];
    expect(valueFingerprint(a, 'key')).toBe(valueFingerprint(a, 'key'));
    expect(valueFingerprint(a, 'key')).not.toBe(valueFingerprint(b, 'key'));
    expect(valueFingerprint(a, 'key')).toMatch(/^[0-9a-f]{16}$/);
  });
});

describe('names and values', () => {
  it.each(['', ' a', '/a', '.a', '_a', 'a b', 'ä', 'a'.repeat(129), `${CANARY}\n`, '__proto__'])(
    'refuses the name %j without repeating it',
    async (name) => {
      const error = await refusal(() => checkName(name));
      expect(error).toMatchObject({ code: 'KEYMUX_USAGE' });
    },
  );

  it.each([
    ['', /empty/],
    ['x'.repeat(65_537), /longer/],
    ['\ud800', /no text/],
  ])('refuses a value that cannot be kept', async (value, message) => {
    expect((await refusal(() => checkValue('a', value))).message).toMatch(message);
  });
});
