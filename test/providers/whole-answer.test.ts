import { brotliCompressSync, deflateRawSync, deflateSync, gzipSync } from 'node:zlib';
import { DEFAULT_STREAM } from '#keymux/core/provider.js';
import { whyCut } from '#keymux/providers/whole-answer.js';
import { describe, expect, it } from 'vitest';

function why(body: Uint8Array | string, headers: Readonly<Record<string, string>>, endMark?: string) {
  const head = { status: 200, header: (name: string) => headers[name] };
  const policy = { ...DEFAULT_STREAM, ...(endMark === undefined ? {} : { endMark }) };
  return whyCut(head, Buffer.from(body), policy);
}

const SSE = { 'content-type': 'text/event-stream; charset=utf-8' };
const DONE = '^data: \\[done\\]';

describe('an event stream', () => {
  it.each([
    ['data: 1\n\ndata: [DONE]\n\n', true],
    ['data: 1\r\n\r\ndata: [DONE]\r\n\r\n', true],
    ['data: 1\r\rdata: [DONE]\r\r', true],
    ['data: 1\n\ndata: [DONE]', true],
    ['data: [DONE]\n\n: ping\n\n: ping\n\n', true],
    ['data: [DONE]\n\ndata: 2\n\ndata: 3\n\ndata: 4\n\n', false],
    ['data: 1\n\ndata: "data: [DONE]"\n\n', false],
    ['data: 1\n\n', false],
    ['', false],
  ])('%j is whole by its end mark: %s', (text, isWhole) => {
    expect(why(text, SSE, DONE) === undefined).toBe(isWhole);
  });

  it('without an end mark ends where it ends', () => {
    expect(why('data: 1', SSE)).toBeUndefined();
  });

  it('is looked at unpacked', () => {
    const packed = { ...SSE, 'content-encoding': 'gzip' };
    expect(why(gzipSync('data: [DONE]\n\n'), packed, DONE)).toBeUndefined();
    expect(why(gzipSync('data: 1\n\n'), packed, DONE)).toContain('end mark');
  });
});

describe('a packed answer', () => {
  it.each([
    ['gzip', gzipSync],
    ['x-gzip', gzipSync],
    ['deflate', deflateSync],
    ['deflate', deflateRawSync],
    ['br', brotliCompressSync],
    ['identity', (text: string) => Buffer.from(text)],
  ])('in %s is cut where it cannot be unpacked to its end', (encoding, pack) => {
    const headers = { 'content-type': 'text/plain', 'content-encoding': encoding };
    const body = pack('a long text, a long text');
    expect(why(body, headers)).toBeUndefined();
    const isCut = why(body.subarray(0, body.length - 4), headers) !== undefined;
    expect(isCut).toBe(encoding !== 'identity');
  });

  it('may be empty', () => {
    expect(why('', { 'content-type': 'text/plain', 'content-encoding': 'gzip' })).toBeUndefined();
    expect(why('', { ...SSE, 'content-encoding': 'gzip' }, DONE)).toContain('end mark');
  });

  it('several times over is unpacked in the opposite order', () => {
    const headers = { ...SSE, 'content-encoding': 'gzip, br' };
    expect(why(brotliCompressSync(gzipSync('data: [DONE]\n\n')), headers, DONE)).toBeUndefined();
  });

  it('that nobody here can unpack is taken as whole', () => {
    for (const encoding of ['compress', 'constructor'])
      expect(why('x', { ...SSE, 'content-encoding': encoding }, DONE)).toBeUndefined();
  });
});

describe('JSON that ends with the connection', () => {
  const json = { 'content-type': 'application/json; charset=utf-8' };

  it('is cut where it does not parse', () => {
    expect(why('{"a":', json)).toContain('JSON');
    expect(why('{"a":', { 'content-type': 'application/problem+json' })).toContain('JSON');
    expect(why('{"a":1}', json)).toBeUndefined();
  });

  it('is believed where its length was stated, or where it is something else', () => {
    expect(why('{"a":', { ...json, 'content-length': '5' })).toBeUndefined();
    expect(why('{"a":', { ...json, 'transfer-encoding': 'chunked' })).toBeUndefined();
    expect(why('{"a":1}\n{', { 'content-type': 'application/jsonl' })).toBeUndefined();
    expect(why('{"a":', {})).toBeUndefined();
  });
});
