import { randomBytes } from 'node:crypto';
import * as zlib from 'node:zlib';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { LONGEST_TEXT } from '#keymux/providers/body-json.js';
import { PEEK_BYTES, peekText } from '#keymux/providers/body-peek.js';

const TEXT = '{"error":{"code":"rate_limited","message":"Zu schnell, später: 再試行"}}';
const bytes = (text: string) => new TextEncoder().encode(text);

const PACK: Readonly<Record<string, (content: Uint8Array) => Uint8Array>> = {
  gzip: (content) => zlib.gzipSync(content),
  'x-gzip': (content) => zlib.gzipSync(content),
  GZIP: (content) => zlib.gzipSync(content),
  deflate: (content) => zlib.deflateSync(content),
  br: (content) => zlib.brotliCompressSync(content),
};
const names = Object.keys(PACK);
const pack = (name: string, content: Uint8Array) => PACK[name]?.(content) ?? content;

describe('peekText', () => {
  it.each([undefined, '', 'identity'])('gives plain text for the encoding %j', (encoding) => {
    expect(peekText(bytes(TEXT), encoding)).toBe(TEXT);
  });

  it.each(names)('unpacks %s', (name) => {
    expect(peekText(pack(name, bytes(TEXT)), name)).toBe(TEXT);
  });

  it('unpacks deflate without its header, as some servers send it', () => {
    expect(peekText(zlib.deflateRawSync(bytes(TEXT)), 'deflate')).toBe(TEXT);
  });

  it('undoes several encodings, the last first', () => {
    expect(peekText(zlib.brotliCompressSync(zlib.gzipSync(bytes(TEXT))), 'gzip, br')).toBe(TEXT);
  });

  it('reads zstd where this Node can, and nothing where it cannot', () => {
    // One raw block of a frame without checksum, so that the test needs no packer.
    const frame = Uint8Array.from([0x28, 0xb5, 0x2f, 0xfd, 0x20, 0x02, 0x11, 0x00, 0x00, 0x68, 0x69]);
    expect(peekText(frame, 'zstd')).toBe('zstdDecompressSync' in zlib ? 'hi' : '');
  });

  it.each(names)('gives the beginning of a long body in %s, cut anywhere', (name) => {
    const long = TEXT + randomBytes(40_000).toString('hex');
    const text = peekText(pack(name, bytes(long)), name);
    expect(text.startsWith(TEXT)).toBe(true);
    expect(long.startsWith(text)).toBe(true);
  });

  it('reads no more than 4 KiB of a plain body', () => {
    expect(peekText(bytes('x'.repeat(10_000)), undefined)).toHaveLength(PEEK_BYTES);
  });

  it.each(['gzip', 'deflate', 'br'])('cuts a bomb in %s', (name) => {
    const bomb = pack(name, Buffer.alloc(20_000_000, 'a'));
    expect(peekText(bomb, name).length).toBeLessThanOrEqual(LONGEST_TEXT);
  });

  it('gives the beginning of what unpacks to too much, where less of it fits', () => {
    const text = peekText(
      zlib.gzipSync(Buffer.concat([randomBytes(2_000), Buffer.alloc(2_000_000, 'a')])),
      'gzip',
    );
    expect(text.length).toBeGreaterThan(500);
  });

  it.each(['compress', 'constructor', 'gzip, gzip, gzip, gzip', 'gzip, unknown'])(
    'gives nothing for the encoding %j',
    (encoding) => {
      expect(peekText(zlib.gzipSync(bytes(TEXT)), encoding)).toBe('');
    },
  );

  it('gives nothing for no bytes', () => {
    for (const name of names) expect(peekText(new Uint8Array(), name)).toBe('');
  });

  it('never throws', () => {
    const encoding = fc.oneof(fc.string(), fc.constantFrom(...names, 'zstd', 'br, gzip'));
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 300 }), encoding, (content, name) => {
        expect(peekText(content, name).length).toBeLessThanOrEqual(LONGEST_TEXT);
      }),
    );
  });
});
