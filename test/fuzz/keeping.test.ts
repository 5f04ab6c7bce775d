import { mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { armor } from 'age-encryption';
import fc from 'fast-check';
import { AllowedFiles } from '#keymux/config/allowed-files.js';
import { demandsOf } from '#keymux/config/demands.js';
import { checkContent } from '#keymux/config/file.js';
import { decryptArmour, encryptArmour, isRecipient } from '#keymux/config/vault-cipher.js';
import {
  checkName,
  checkValue,
  emptyContent,
  readContent,
  writeContent,
} from '#keymux/config/vault-content.js';
import type { VaultContent } from '#keymux/config/vault-content.js';
import { checkAnchor, remember } from '#keymux/config/vault-anchor.js';
import { envLine, withoutVariables } from '#keymux/config/vault-env-text.js';
import { parseVaultKey } from '#keymux/config/vault-key.js';
import {
  readBaselines,
  writtenBaselines,
  mergedBaselines,
  newBaselines,
} from '#keymux/core/anomaly-baselines.js';
import { createRedactor } from '#keymux/core/redaction.js';
import { startAudit } from '#keymux/observe/audit.js';
import { verifyAudit } from '#keymux/observe/audit-verify.js';
import { catalogue } from '#keymux/providers/catalogue.js';
import { acmeManager } from '../manager/acme.js';
import { parseEnv } from 'node:util';
import { afterAll, describe, expect, it } from 'vitest';
import { POLLUTING, SECRET, anyText, hostileJson, mixOf, soundly, watchPrototypes } from './soundness.js';

watchPrototypes();

const folder = mkdtempSync(join(tmpdir(), 'keymux-fuzz-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const PATH = '/project/keymux.vault';
const name = fc.constantFrom('acme/main', 'a', 'constructor', '__proto__', 'toString');

function vaultOf(entries: readonly (readonly [string, string])[]): VaultContent {
  const changedAt = '2026-01-01T00:00:00.000Z';
  const content = emptyContent(['age1x']);
  return {
    ...content,
    entries: new Map(entries.map(([id, value]) => [id, { version: 1, value, changedAt }])),
  };
}

describe('the content of a vault', () => {
  const entries = fc.array(
    fc.tuple(
      fc.constantFrom('acme/main', 'a', 'constructor', 'toString'),
      fc.string({ unit: 'grapheme', minLength: 1 }),
    ),
    { maxLength: 4 },
  );

  it('is read as it was written', () => {
    fc.assert(
      fc.property(entries, (listed) => {
        const content = vaultOf(listed);
        const read = readContent(writeContent(content), PATH);
        expect([...read.entries].toSorted()).toEqual([...content.entries].toSorted());
      }),
      { numRuns: 200 },
    );
  });

  it('is refused where a letter of it is another one, and the refusal tells no value', () => {
    const text = writeContent(
      vaultOf([
        ['acme/main', SECRET],
        ['acme/spare', 'another'],
      ]),
    );
    const whole = JSON.stringify(JSON.parse(text));
    fc.assert(
      fc.property(fc.nat(text.length - 1), fc.string({ minLength: 0, maxLength: 2 }), (at, instead) => {
        const changed = text.slice(0, at) + instead + text.slice(at + 1);
        const read = soundly(() => readContent(changed, PATH));
        if (read === undefined) return;
        // Blanks of JSON, and an escape for what it stands for, change nothing.
        expect(JSON.stringify(JSON.parse(changed))).toBe(whole);
      }),
      { numRuns: 800 },
    );
  });

  it('of any data is refused', () => {
    const parts = fc.dictionary(
      fc.constantFrom(
        'keymux-vault',
        'id',
        'secret',
        'generation',
        'recipients',
        'entries',
        'seal',
        ...POLLUTING,
      ),
      fc.oneof(hostileJson, fc.constant(1), fc.constant(Buffer.alloc(32).toString('base64'))),
    );
    fc.assert(
      fc.property(
        fc.oneof(
          parts.map((value) => JSON.stringify(value)),
          anyText,
        ),
        (text) => {
          expect(soundly(() => readContent(text, PATH))).toBeUndefined();
        },
      ),
      { numRuns: 500 },
    );
  });

  it('takes names and values that it can give back', () => {
    fc.assert(
      fc.property(
        fc.oneof(anyText, mixOf('acme', '/', '.', '-', '..', ...POLLUTING), name),
        fc.oneof(anyText, fc.string({ unit: 'binary' })),
        (id, value) => {
          const isTaken = soundly(() => {
            checkName(id);
            checkValue('acme/main', value);
            return true;
          });
          if (isTaken === undefined) return;
          const read = readContent(writeContent(vaultOf([[id, value]])), PATH);
          expect(read.entries.get(id)?.value).toBe(value);
        },
      ),
      { numRuns: 500 },
    );
  });
});

describe('the file of a vault', () => {
  const passphrase = { kind: 'passphrase', passphrase: 'three blind mice' } as const;

  it('of any text is refused', async () => {
    const pieces = mixOf(
      '-----BEGIN AGE ENCRYPTED FILE-----\n',
      '-----END AGE ENCRYPTED FILE-----\n',
      'YWdlLWVuY3J5cHRpb24ub3JnL3YxCg==\n',
      '\n',
      '=',
      'A'.repeat(64),
    );
    await fc.assert(
      fc.asyncProperty(fc.oneof(anyText, pieces), async (text) => {
        expect(await decryptArmour(text, passphrase)).toHaveProperty('refusal');
      }),
      { numRuns: 300 },
    );
  });

  it('cannot make keymux work for hours by what it says of its passphrase', async () => {
    const armoured = await encryptArmour('{}', { passphrase: passphrase.passphrase, workFactor: 2 });
    const file = Buffer.from(armor.decode(armoured)).toString('latin1');
    for (const factor of ['30', '63', '64', '999999999', '-1', '1e3']) {
      const changed = file.replace(/(-> scrypt \S+) 2\n/, `$1 ${factor}\n`);
      expect(changed).not.toBe(file);
      const before = process.cpuUsage();
      expect(await decryptArmour(armor.encode(Buffer.from(changed, 'latin1')), passphrase)).toHaveProperty(
        'refusal',
      );
      expect(process.cpuUsage(before).user).toBeLessThan(10_000_000);
    }
  });

  it('has a key or none, whatever text is given as one', async () => {
    const text = mixOf('AGE-SECRET-KEY-1', 'age1', '-----BEGIN', '#', '\n', '\r\n', 'QQQQ', ' ');
    await fc.assert(
      fc.asyncProperty(text, async (given) => {
        soundly(() => parseVaultKey(given, { path: PATH, key: 'file:vault.key' }));
        expect(typeof (await isRecipient(given))).toBe('boolean');
      }),
      { numRuns: 200 },
    );
  });

  it('is guarded by what the machine remembers, whatever was written over that', () => {
    const anchors = join(folder, 'anchors');
    const content = vaultOf([['acme/main', SECRET]]);
    remember(anchors, PATH, content);
    const [file = ''] = readdirSync(anchors);
    expect(() => checkAnchor(anchors, PATH, content)).not.toThrow();
    fc.assert(
      fc.property(
        fc.oneof(
          anyText,
          hostileJson.map((value) => JSON.stringify(value) ?? ''),
        ),
        (text) => {
          writeFileSync(join(anchors, file), text);
          expect(() =>
            soundly(() => {
              checkAnchor(anchors, PATH, content);
              throw new Error('it was accepted');
            }),
          ).not.toThrow();
        },
      ),
      { numRuns: 200 },
    );
  });
});

describe('the text of an environment file', () => {
  it('keeps every other variable when some are taken out, or is left as it is', () => {
    const text = mixOf('A=', 'B=', 'export B=', '"', "'", '`', '\n', '\n\n', '# remark', 'x', '\\', '\uFEFF');
    fc.assert(
      fc.property(text, (given) => {
        const kept = soundly(() => withoutVariables(given, new Set(['A'])));
        if (kept === undefined) return;
        const { A: _taken, ...wanted } = parseEnv(given.replace(/^\uFEFF/, ''));
        expect({ ...parseEnv(kept.replace(/^\uFEFF/, '')) }).toEqual({ ...wanted });
      }),
      { numRuns: 500 },
    );
  });

  it('is read as what was to be written', () => {
    fc.assert(
      fc.property(fc.oneof(anyText, mixOf('"', "'", '`', '\\n', '\n', '$A', '#', ' ')), (value) => {
        const line = soundly(() => envLine('A', value));
        if (line !== undefined) expect(parseEnv(line)).toEqual({ A: value });
      }),
      { numRuns: 500 },
    );
  });
});

describe('what a person allowed', () => {
  const digest = 'a'.repeat(64);

  it('is allowed, and nothing is by a record of any text', () => {
    const allowed = new AllowedFiles(folder);
    const path = join(folder, 'keymux.config.yaml');
    allowed.allow(path, digest, 0);
    const records = join(folder, 'allowed');
    const [record = ''] = readdirSync(records);
    expect(allowed.has(path, digest)).toBe(true);
    const parts = fc.dictionary(
      fc.constantFrom('path', 'digest', 'allowedAt', ...POLLUTING),
      fc.oneof(hostileJson, fc.constant(path)),
    );
    fc.assert(
      fc.property(
        fc.oneof(
          anyText,
          parts.map((value) => JSON.stringify(value)),
        ),
        (text) => {
          writeFileSync(join(records, record), text, { mode: 0o600 });
          expect(soundly(() => allowed.has(path, digest))).toBe(false);
          soundly(() => allowed.list());
        },
      ),
      { numRuns: 300 },
    );
    mkdirSync(join(records, 'x.json'), { recursive: true });
    expect(soundly(() => allowed.list())).toEqual([]);
  });

  it('is asked for wherever an address or a command stands that is not known', () => {
    const evil = fc.constantFrom(
      'https://evil.example',
      'http://169.254.169.254',
      'https://127.0.0.1.evil.example',
      'https://localhost.evil.example',
      'https://api.openai.com.evil.example',
      'https://[::ffff:8.8.8.8]',
    );
    fc.assert(
      fc.property(evil, fc.constantFrom('openai', 'acme'), fc.boolean(), (url, id, isOrigin) => {
        const provider = isOrigin ? { baseUrl: 'http://127.0.0.1:9', origins: [url] } : { baseUrl: url };
        const content = { providers: { [id]: { allowInsecure: true, ...provider } } };
        const file = soundly(() => checkContent(content, { name: 'x', folder, catalogue }));
        if (file === undefined) return;
        expect(demandsOf(file.content, catalogue, '/')).not.toEqual([]);
      }),
      { numRuns: 100 },
    );
    for (const value of ['exec:true', 'exec: true', 'exec:\ttrue'])
      expect(
        demandsOf({ providers: { openai: { keys: [{ id: 'a', value }] } } }, catalogue, '/'),
      ).not.toEqual([]);
  });
});

describe('the redactor', () => {
  const WRITINGS: readonly ((key: string) => string)[] = [
    (key) => key,
    (key) => encodeURIComponent(key),
    (key) => JSON.stringify(key).slice(1, -1),
    (key) => Buffer.from(key).toString('hex'),
    (key) => Buffer.from(`u:${key}`).toString('base64'),
    (key) => Buffer.from(`${key}`).toString('base64url'),
  ];

  it('takes a key out of any text, cut wherever, and leaves what is none', () => {
    const key = fc.string({
      minLength: 12,
      maxLength: 40,
      unit: fc.constantFrom(...'abcdefXYZ0189-_/+="&!*~'),
    });
    fc.assert(
      fc.property(
        key,
        anyText,
        anyText,
        fc.constantFrom(...WRITINGS),
        fc.array(fc.nat(200), { maxLength: 6 }),
        (secret, before, after, write, cuts) => {
          const redactor = createRedactor([{ text: secret, label: 'acme/main' }]);
          const text = wellFormed(before) + write(secret) + wellFormed(after);
          const bytes = Buffer.from(text);
          const stream = redactor.stream();
          const ends = [...cuts.filter((cut) => cut < bytes.length), bytes.length].toSorted((a, b) => a - b);
          let from = 0;
          const pieces = ends.map((end) => {
            const piece = Buffer.from(stream.push(bytes.subarray(from, end)));
            from = end;
            return piece;
          });
          const shown = Buffer.concat([...pieces, stream.end()]).toString();
          expect(shown).not.toContain(secret);
          expect(shown).toContain('[keymux:acme/main]');
          expect(redactor.redact(text)).toBe(shown);
        },
      ),
      { numRuns: 600 },
    );
    fc.assert(
      fc.property(anyText, (text) => {
        const plain = wellFormed(text);
        fc.pre(!plain.includes(SECRET));
        const redactor = createRedactor([{ text: SECRET, label: 'acme/main' }]);
        expect(redactor.redact(plain)).toBe(plain);
      }),
      { numRuns: 400 },
    );
  });
});

describe('an audit trail', () => {
  it('of any text is read to a verdict, and one that was changed is not whole', async () => {
    const place = mkdtempSync(join(tmpdir(), 'keymux-fuzz-'));
    const trail = { path: join(place, 'audit'), stateFolder: place };
    const manager = acmeManager({
      keys: [SECRET],
      options: { env: { ACME_API_KEY: SECRET, KEYMUX_STATE_DIR: place } },
    });
    const audit = startAudit(manager, trail);
    manager.disable('acme/main');
    manager.enable('acme/main');
    audit.stop();
    const verify = (): ReturnType<typeof verifyAudit> => verifyAudit(audit.folder, { stateFolder: place });
    expect((await verify()).ok).toBe(true);
    const file = readdirSync(audit.folder).find((each) => each.endsWith('.jsonl')) ?? '';
    const path = join(audit.folder, file);
    const whole = readFileSync(path);
    const cut = fc.nat(whole.length - 1).map((at) => whole.subarray(0, at));
    const flipped = fc.tuple(fc.nat(whole.length - 1), fc.integer({ min: 1, max: 255 })).map(([at, bits]) => {
      const bytes = Buffer.from(whole);
      bytes[at] = (bytes[at] ?? 0) ^ bits;
      return bytes;
    });
    const lines = whole.toString().split(/(?<=\n)/);
    const shuffled = fc
      .shuffledSubarray(lines)
      .filter((some) => some.join('') !== lines.join(''))
      .map((some) => Buffer.from(some.join('')));
    const texts = fc
      .oneof(
        anyText,
        hostileJson.map((value) => `${JSON.stringify(value)}\n`),
      )
      .map((text) => Buffer.from(text));
    await fc.assert(
      fc.asyncProperty(fc.oneof(flipped, cut, shuffled, texts), async (bytes) => {
        writeFileSync(path, bytes);
        const verdict = await verify();
        expect(verdict.ok).toBe(false);
        expect(JSON.stringify(verdict)).not.toContain(SECRET.slice(3, 15));
      }),
      { numRuns: 60 },
    );
    rmSync(place, { recursive: true, force: true });
  }, 60_000);
});

/** As text becomes when it is written. */
function wellFormed(text: string): string {
  return Buffer.from(text).toString();
}

describe('what is usual, as it was kept', () => {
  it('of any data is read or begun anew', () => {
    const parts = fc.record({
      uses: fc.oneof(hostileJson, fc.constant([])),
      callers: fc.oneof(hostileJson, fc.constant([])),
      routes: fc.oneof(hostileJson, fc.constant([])),
      outside: fc.oneof(hostileJson, fc.constant([])),
    });
    let read = 0;
    fc.assert(
      fc.property(fc.oneof(parts, hostileJson), (value) => {
        const baselines = soundly(() => readBaselines(value));
        if (baselines === undefined) return;
        read += 1;
        soundly(() => writtenBaselines(mergedBaselines(baselines, newBaselines())));
      }),
      { numRuns: 500 },
    );
    expect(read).toBeGreaterThan(5);
  });
});
