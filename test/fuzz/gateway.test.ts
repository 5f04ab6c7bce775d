import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { RawClient, TOKENS, openDoor } from '../gateway/door.js';
import type { Door } from '../gateway/door.js';
import { mixOf } from './soundness.js';

const AUTH = `Authorization: Bearer ${TOKENS.use}\r\n`;
const HOST = 'Host: 127.0.0.1\r\n';

const line = fc.oneof(
  fc.constantFrom(
    'GET /acme/x HTTP/1.1\r\n',
    'POST /acme/x HTTP/1.1\r\n',
    'GET /-/health HTTP/1.1\r\n',
    'GET /data/x HTTP/1.0\r\n',
  ),
  mixOf(
    'GET ',
    'POST ',
    'TRACE ',
    'CONNECT ',
    ' ',
    '/acme',
    '/',
    '..',
    '%2e',
    '?',
    '\t',
    'HTTP/1.1',
    'HTTP/9.9',
    '\r\n',
    '\n',
    'PRI * HTTP/2.0',
  ),
);
const header = fc.oneof(
  {
    weight: 3,
    arbitrary: fc.constantFrom(
      HOST,
      AUTH,
      'Connection: close\r\n',
      'Content-Length: 3\r\n',
      'Transfer-Encoding: chunked\r\n',
    ),
  },
  mixOf(
    'Content-Length',
    'Transfer-Encoding',
    'Host',
    'Connection',
    'Upgrade',
    'Expect',
    ':',
    ' ',
    ': ',
    '3',
    '-1',
    '+3',
    '0x3',
    'chunked',
    'gzip',
    ',',
    '\r\n',
    '\n',
    '\r',
    '\0',
    '100-continue',
    'websocket',
  ),
);
const body = mixOf(
  'abc',
  '0\r\n\r\n',
  '3\r\nabc\r\n',
  'FFFFFFFFFFFFFFFF\r\n',
  '3;x="y"\r\n',
  '\r\n',
  'GET /other/x HTTP/1.1\r\n',
  HOST,
  AUTH,
);
const bytes = fc
  .tuple(line, fc.constantFrom(HOST + AUTH, ''), fc.array(header, { maxLength: 4 }), body)
  .map(([first, known, headers, rest]) => `${first}${known}${headers.join('')}\r\n${rest}`);

/** All that the gateway answers; we say nothing more, so that it must end by itself. */
async function send(door: Door, text: string): Promise<string> {
  const client = new RawClient(door.address);
  client.send(text);
  client.socket.end();
  return client.all();
}

describe('the gateway, sent any bytes', () => {
  it('answers what it understands, refuses the rest, and lives', async () => {
    const door = await openDoor();
    const ends = { answered: 0, refused: 0 };
    await fc.assert(
      fc.asyncProperty(bytes, async (text) => {
        const before = door.forwarded.length;
        const answer = await send(door, text);
        // Its own words never repeat what it was sent, tokens and keys least of all.
        expect(answer).not.toContain('canary');
        expect(answer).not.toContain('SECRET');
        for (const [, status = ''] of answer.matchAll(/^HTTP\/1\.1 (\d{3}) /gm)) {
          expect(Number(status), answer).toBeLessThan(500);
          ends[Number(status) < 400 ? 'answered' : 'refused'] += 1;
        }
        // One request with one token is one at most, whatever was hidden behind it.
        const tokens = text.split('Bearer ').length - 1;
        expect(door.forwarded.length - before).toBeLessThanOrEqual(tokens);
      }),
      { numRuns: 400 },
    );
    expect(ends.answered).toBeGreaterThan(0);
    expect(ends.refused).toBeGreaterThan(0);
    expect(await send(door, `GET /acme/x HTTP/1.1\r\n${HOST}${AUTH}Connection: close\r\n\r\n`)).toContain(
      'answered',
    );
  });
});
