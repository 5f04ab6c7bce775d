import { Buffer } from 'node:buffer';
import { createRedactor } from '#keymux/core/redaction.js';
import type { LabelledSecret, Redactor } from '#keymux/core/redaction.js';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';

const KEY = 'sk-live/9f+Q2 "x\\8';
const MARK = '[keymux:acme/main]';
const redactor = createRedactor([{ text: KEY, label: 'acme/main' }]);

function escapedWith(text: string, escape: (code: number) => string): string {
  return Array.from(text, (letter) => escape(letter.charCodeAt(0))).join('');
}

const hex = (text: string): string => Buffer.from(text).toString('hex');
const unicode = (code: number): string => `\\u${code.toString(16).padStart(4, '0')}`;

const WRITINGS: readonly [string, (key: string) => string][] = [
  ['as it is', (key) => key],
  ['base64', (key) => Buffer.from(key).toString('base64')],
  ['base64 without padding', (key) => Buffer.from(key).toString('base64').replaceAll('=', '')],
  ['base64url', (key) => Buffer.from(key).toString('base64url')],
  ['hexadecimal', hex],
  ['hexadecimal in capitals', (key) => hex(key).toUpperCase()],
  ['percent escapes where they are needed', encodeURIComponent],
  [
    'percent escapes in small letters',
    (key) => encodeURIComponent(key).replaceAll(/%../g, (one) => one.toLowerCase()),
  ],
  ['percent escapes everywhere', (key) => escapedWith(key, (code) => `%${code.toString(16)}`)],
  ['a form', (key) => new URLSearchParams({ '': key }).toString().slice(1)],
  ['JSON', (key) => JSON.stringify(key).slice(1, -1)],
  ['JSON with escaped slashes', (key) => JSON.stringify(key).slice(1, -1).replaceAll('/', '\\/')],
  ['JSON with escapes everywhere', (key) => escapedWith(key, unicode)],
  [
    'JSON with escapes in capitals',
    (key) => escapedWith(key, (code) => `\\u${code.toString(16).toUpperCase().padStart(4, '0')}`),
  ],
];

/** What a stream gives for a text that comes in pieces of these lengths. */
function inPieces({ stream }: Redactor, bytes: Uint8Array, lengths: readonly number[]): Buffer {
  const redacting = stream();
  const out: Uint8Array[] = [];
  let at = 0;
  for (const length of [...lengths, bytes.length])
    out.push(redacting.push(bytes.subarray(at, (at += length))));
  return Buffer.concat([...out, redacting.end()]);
}

/** Texts that are made of parts of keys, so that many of them begin and few are whole. */
function texts(keys: readonly string[]): fc.Arbitrary<string> {
  const written = fc
    .constantFrom(...keys)
    .chain((key) => fc.constantFrom(...WRITINGS.map(([, write]) => write(key))));
  const part = fc
    .tuple(written, fc.nat(60), fc.nat(60))
    .map(([text, from, length]) => text.slice(from % text.length, (from % text.length) + length));
  const mark = fc.constantFrom('%', '\\', '\\u', '%4', '\\\\', '"', '\u00e9', '\0', ' ');
  return fc.array(fc.oneof(written, part, mark), { maxLength: 12 }).map((parts) => parts.join(''));
}

describe('createRedactor', () => {
  it.each(WRITINGS)('finds a key written as %s', (_, write) => {
    const text = `before, ${write(KEY)}; after`;
    const shown = redactor.redact(text);
    expect(shown).toContain(`before, ${MARK}`);
    expect(shown.endsWith('; after')).toBe(true);
    expect(inPieces(redactor, Buffer.from(text), []).toString()).toBe(shown);
  });

  it('finds a key wherever it stands in what was encoded in base64', () => {
    for (const before of ['', 'a', 'ab', 'user:']) {
      for (const after of ['', '1', '12']) {
        for (const encoding of ['base64', 'base64url'] as const) {
          const shown = redactor.redact(Buffer.from(`${before}${KEY}${after}`).toString(encoding));
          expect(shown).toContain(MARK);
          expect(Buffer.from(shown.replace(MARK, ''), 'base64').toString('latin1')).not.toContain(
            KEY.slice(1, 5),
          );
        }
      }
    }
  });

  it('names keys that it leaves alone, and why others are found although they are like them', () => {
    const { left, redact } = createRedactor([
      { text: '1234567', label: 'a/short' },
      { text: '12345678', label: 'a/long' },
      { text: 'schl\u00fcssel-wort', label: 'a/strange' },
    ]);
    expect(left).toEqual(['a/short', 'a/strange']);
    expect(redact('1234567 12345678 schl\u00fcssel-wort')).toBe(
      '1234567 [keymux:a/long] schl\u00fcssel-wort',
    );
  });

  it('prefers the longer of two keys, and covers those that overlap', () => {
    const { redact } = createRedactor([
      { text: 'abcdefgh', label: 'k/short' },
      { text: 'abcdefghij', label: 'k/long' },
      { text: 'ghijklmnop', label: 'k/next' },
    ]);
    expect(redact('abcdefghX')).toBe('[keymux:k/short]X');
    expect(redact('abcdefghij')).toBe('[keymux:k/long]');
    expect(redact('-abcdefghijklmnop-')).toBe('-[keymux:k/long]-');
    expect(redact('abcdefghabcdefgh')).toBe('[keymux:k/short][keymux:k/short]');
  });

  it('leaves text beyond ASCII, lone surrogates and marks of no escape as they are', () => {
    const text = `\ud800 100 % \\ %zz \\u00zz \\n %2 ${KEY} \u20ac`;
    expect(redactor.redact(text)).toBe(text.replace(KEY, MARK));
  });

  it('passes on at once what no key begins with', () => {
    const stream = redactor.stream();
    expect(Buffer.from(stream.push(Buffer.from('a line\n'))).toString()).toBe('a line\n');
    expect(Buffer.from(stream.push(Buffer.from(`more ${KEY.slice(0, 6)}`))).toString()).toBe('more ');
    expect(Buffer.from(stream.push(Buffer.from('!'))).toString()).toBe(`${KEY.slice(0, 6)}!`);
    expect(Buffer.from(stream.push(Buffer.from(`${KEY}100 %`))).toString()).toBe(`${MARK}100 `);
    expect(Buffer.from(stream.end()).toString()).toBe('%');
  });

  it('holds nothing of a text in which a key overlaps itself without end', () => {
    const stream = createRedactor([{ text: 'aaaaaaaaaa', label: 'a/a' }]).stream();
    let length = 0;
    for (let count = 0; count < 1000; count++) length += stream.push(new Uint8Array(1000).fill(0x61)).length;
    length += stream.end().length;
    expect(length).toBe('[keymux:a/a]'.length);
  });

  it('keeps nothing of the memory of a chunk that its owner uses again', () => {
    const chunk = Buffer.from(KEY.slice(0, 8));
    const stream = redactor.stream();
    const first = Buffer.from(stream.push(chunk)).toString();
    chunk.fill(0);
    const rest =
      Buffer.from(stream.push(Buffer.from(KEY.slice(8)))).toString() + Buffer.from(stream.end()).toString();
    expect(first + rest).toBe(MARK);
  });

  it('gives the same however a text is split', () => {
    const keys = [KEY, 'u0073k-live%', '7%2573b6c69', 'aabaabaabaab', '\\\\u0061\\u00'];
    const secrets: LabelledSecret[] = keys.map((text, index) => ({ text, label: `k/${index}` }));
    const several = createRedactor(secrets);
    const lengths = fc.array(fc.nat(9), { maxLength: 80 });
    fc.assert(
      fc.property(texts(keys), lengths, (text, split) => {
        const bytes = Buffer.from(text, 'latin1');
        expect(inPieces(several, bytes, split).toString('latin1')).toBe(several.redact(text));
        expect(inPieces(several, bytes, []).toString('latin1')).toBe(several.redact(text));
      }),
      { numRuns: 2000 },
    );
  });

  it('lets no key survive in any writing, whatever stands around it', () => {
    const secret = fc.string({ minLength: 8, maxLength: 60, unit: 'grapheme-ascii' });
    const writing = fc.constantFrom(...WRITINGS.map(([, write]) => write));
    fc.assert(
      fc.property(secret, writing, fc.string(), fc.string(), (text, write, before, after) => {
        const { redact } = createRedactor([{ text, label: 'the/key' }]);
        const written = write(text);
        expect(redact(`${before} ${written} ${after}`)).toContain('[keymux:the/key]');
        expect(redact(`${before} ${written} ${after}`)).not.toContain(written);
      }),
    );
  });

  it('passes bytes without a key through, each as it was', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 300 }), fc.array(fc.nat(40)), (bytes, split) => {
        expect(inPieces(redactor, bytes, split).equals(Buffer.from(bytes))).toBe(true);
      }),
    );
  });

  it('finds 200 keys as it finds one', () => {
    const secrets = Array.from({ length: 200 }, (_, index) => ({
      text: `sk-proj-${String(index).padStart(4, '0')}-${hex(`key ${index}`)}`,
      label: `k/${index}`,
    }));
    const { redact, find } = createRedactor(secrets);
    for (const [, write] of WRITINGS) {
      const text = secrets.map((one) => write(one.text)).join(' ');
      const shown = redact(text);
      for (const { text: key, label } of secrets) {
        expect(shown).toContain(`[keymux:${label}]`);
        expect(shown).not.toContain(write(key));
      }
    }
    expect(find(Buffer.from(`a ${secrets[7]?.text} b`))).toEqual([{ start: 2, end: 25, label: 'k/7' }]);
  });
});

describe('two keys that one text may be', () => {
  const [plain, escaped] = ['ab%63defgh', 'abcdefgh'];

  it.each([
    ['the plain one', 'acme/main', 'other/main'],
    ['the escaped one', 'other/main', 'acme/main'],
    ['both', 'acme/main', 'acme/main'],
  ])('are told by the name that comes first, which is that of %s', (_which, ofPlain, ofEscaped) => {
    const secrets = [
      { text: plain, label: ofPlain },
      { text: escaped, label: ofEscaped },
    ];
    expect(createRedactor(secrets).redact(`it is ${plain}.`)).toBe('it is [keymux:acme/main].');
  });
});
