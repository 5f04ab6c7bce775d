/** Whatever an OpenAI-compatible provider does wrong: the whole answer from another one, or one clean error. */
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { describe, expect, it, onTestFinished } from 'vitest';
import type { KeyScript } from '#keymux/testing/script-key.js';
import {
  malformedChunk,
  ok,
  refuse,
  reply,
  reset,
  silence,
  softError,
  stream,
  streamError,
} from '#keymux/testing/script.js';
import type { Behaviour } from '#keymux/testing/script.js';
import { CHAT, chat, forwarded, until } from './forwarded.js';
import type { Forwarded } from './forwarded.js';

const STREAM = { firstByteMs: 400, idleMs: 400 };

/** OpenAI with one faulty key and, where wanted, a good one; behind it another provider. */
function wall(faulty: KeyScript, { second = false, fallback = {}, policy = {} } = {}): Promise<Forwarded> {
  const provider = { stream: { ...STREAM, ...policy } };
  return forwarded({
    providers: {
      openai: { keys: { 'sk-faulty': faulty, ...(second ? { 'sk-good': {} } : {}) }, provider },
      groq: {
        keys: { 'gsk-good': fallback },
        provider: { ...provider, protocol: { name: 'openai', pathPrefix: '/v1' } },
      },
    },
  });
}

interface Told {
  readonly status: number;
  readonly text: string;
  readonly key: string | null;
  readonly provider: string | null;
  readonly header: (name: string) => string | null;
}

async function ask({ url }: Forwarded, body: object = {}, headers?: Record<string, string>): Promise<Told> {
  const response = await fetch(url + CHAT, chat(body, headers));
  const header = (name: string): string | null => response.headers.get(name);
  return {
    status: response.status,
    text: await response.text(),
    key: header('x-keymux-key'),
    provider: header('x-keymux-provider'),
    header,
  };
}

function errorIn({ text }: Told): { message: string; type: string; code: string } {
  return (JSON.parse(text) as { error: { message: string; type: string; code: string } }).error;
}

/** Which attempts the providers saw. */
function attempts(gateway: Forwarded): { openai: (string | undefined)[]; groq: (string | undefined)[] } {
  return { openai: gateway.seen('openai'), groq: gateway.seen('groq') };
}

const ALWAYS_BAD: readonly (readonly [string, Behaviour])[] = [
  ['a 429 with Retry-After', refuse(429, { retryAfterSeconds: 30 })],
  ['a 429 without Retry-After', refuse(429)],
  ['a spent quota', refuse('quota-exhausted')],
  ['a revoked key', refuse(401)],
  ['a 503', refuse(503)],
  ['a 500', refuse(500)],
  ['a reset before the head', reset('before-headers')],
  ['silence', silence()],
  ['a first token that is too slow', ok({ delayMs: 5_000 })],
  ['an error as the first event', streamError('overloaded')],
  ['a limit that hides in a 200', streamError('rate-limited')],
];

describe('whatever is wrong before the first event', () => {
  it.each(ALWAYS_BAD)('%s: the next provider answers the same request', async (_, fault) => {
    const gateway = await wall({ always: fault });
    const told = await ask(gateway, { stream: true });
    expect(told.status).toBe(200);
    expect(told.text).toContain('gsk-good');
    expect(told.text.trim().endsWith('data: [DONE]')).toBe(true);
    expect(told.provider).toBe('groq');
    expect(told.key).toMatch(/^groq\//);
    expect(attempts(gateway)).toEqual({ openai: ['sk-faulty'], groq: ['gsk-good'] });
    expect(gateway.ended).toMatchObject([{ end: 'answered', provider: 'groq', attempts: 2 }]);
  });

  it.each(ALWAYS_BAD)('%s of both providers: one clean error, and neither is hammered', async (_, fault) => {
    const gateway = await wall({ always: fault }, { fallback: { always: fault } });
    const told = await ask(gateway, { stream: true });
    expect([200, 401, 429, 500, 502, 503, 504]).toContain(told.status);
    if (told.status === 200) expect(told.text).toContain('"error"');
    else expect(errorIn(told).message).not.toBe('');
    expect(told.text).not.toContain('[DONE]');
    expect(told.header('x-request-id')).not.toBeNull();
    const { openai, groq } = attempts(gateway);
    expect(openai.length).toBeGreaterThanOrEqual(1);
    expect(groq.length).toBeGreaterThanOrEqual(1);
    expect(Math.max(openai.length, groq.length)).toBeLessThanOrEqual(3);
    expect(gateway.ended).toHaveLength(1);
    await until(() => gateway.forwarding.size === 0);
  });
});

describe('a provider that fails once', () => {
  it('with a 500 is asked again, with its other key or without', async () => {
    const gateway = await wall({ first: [refuse(500)] });
    const told = await ask(gateway);
    expect(told.status).toBe(200);
    expect(attempts(gateway)).toEqual({ openai: ['sk-faulty'], groq: ['gsk-good'] });
  });

  it('and answers well with another key is not left', async () => {
    const gateway = await wall({ always: refuse(429, { retryAfterSeconds: 30 }) }, { second: true });
    expect((await ask(gateway)).provider).toBe('openai');
    expect((await ask(gateway)).provider).toBe('openai');
    expect(attempts(gateway)).toEqual({ openai: ['sk-faulty', 'sk-good', 'sk-good'], groq: [] });
  });

  it('and flaps is never seen to fail', async () => {
    let count = 0;
    const flapping: Behaviour = () => ((count += 1) % 2 === 1 ? refuse(503) : ok());
    const gateway = await wall({ always: flapping });
    for (let round = 0; round < 6; round += 1) expect((await ask(gateway)).status).toBe(200);
    expect(gateway.seen('openai').length).toBeGreaterThanOrEqual(1);
    expect(gateway.ended.map(({ end }) => end)).toEqual(Array.from({ length: 6 }, () => 'answered'));
  });

  it('for ever with a 503 is left alone after a few requests', async () => {
    const gateway = await wall({ always: refuse(503) });
    for (let round = 0; round < 20; round += 1) expect((await ask(gateway)).status).toBe(200);
    expect(gateway.seen('openai').length).toBeLessThanOrEqual(10);
    expect(gateway.seen('groq')).toHaveLength(20);
  });
});

describe('what the caller did wrong', () => {
  it.each([
    ['a context that is too long', 400, 'context_length_exceeded'],
    ['a content that is refused', 400, 'content_filter'],
  ])('%s is told at once, in the words of the provider', async (_, status, code) => {
    const body = { error: { message: 'no', type: 'invalid_request_error', param: null, code } };
    const gateway = await wall({ always: reply(status, { body }) }, { second: true });
    const told = await ask(gateway);
    expect(told.status).toBe(status);
    expect(errorIn(told).code).toBe(code);
    expect(told.key).toMatch(/^openai\//);
    expect(attempts(gateway)).toEqual({ openai: ['sk-faulty'], groq: [] });
    expect(gateway.manager.inspect().keys.every(({ state }) => state !== 'resting')).toBe(true);
  });

  it('does not hide behind a fallback that answers something else', async () => {
    const gateway = await wall({ always: refuse(503) }, { fallback: { always: refuse('bad-request') } });
    const told = await ask(gateway);
    expect(told.status).toBe(400);
    expect(told.provider).toBe('groq');
  });
});

describe('an order', () => {
  it('that may have been carried out is not sent again without an idempotency key', async () => {
    const gateway = await wall({ always: reset('before-headers') }, { second: true });
    const { url } = gateway;
    const response = await fetch(`${url}/llm/v1/batches`, chat());
    expect(response.status).toBe(502);
    const told = (await response.json()) as { error: { code: string; message: string } };
    expect(told.error.code).toBe('KEYMUX_ANSWER_INCOMPLETE');
    expect(told.error.message).toContain('key openai/');
    expect(told.error.message).not.toContain('sk-faulty');
    expect(response.headers.get('x-should-retry')).toBe('false');
    expect(attempts(gateway)).toEqual({ openai: ['sk-faulty'], groq: [] });
    expect(gateway.ended).toMatchObject([{ end: 'failed' }]);
  });

  it('that may have been carried out is sent again with one', async () => {
    const gateway = await wall({ always: reset('before-headers') }, { second: true });
    const response = await fetch(`${gateway.url}/llm/v1/batches`, chat({}, { 'idempotency-key': 'once' }));
    expect(response.status).toBe(200);
    expect(attempts(gateway).openai).toEqual(['sk-faulty']);
  });
});

describe('a limit of an error that hides in a 200', () => {
  it('is seen in a whole body too', async () => {
    const errors = [{ status: 200, json: '$.error.code', match: 'rate_limit', outcome: 'rate-limited' }];
    const gateway = await forwarded({
      providers: {
        acme: {
          keys: { 'key-one': { always: softError('rate-limited') }, 'key-two': {} },
          provider: { errors },
        },
      },
    });
    expect((await ask(gateway)).text).toContain('key-two');
    expect(gateway.seen('acme')).toEqual(['key-one', 'key-two']);
  });
});

/** How the reading of an answer ends. */
async function readingEnds({ url }: Forwarded, body: object): Promise<{ text: string; isWhole: boolean }> {
  const response = await fetch(url + CHAT, chat(body));
  expect(response.status).toBe(200);
  const decoder = new TextDecoder();
  let text = '';
  try {
    for await (const chunk of response.body as ReadableStream<Uint8Array>) text += decoder.decode(chunk);
    return { text, isWhole: true };
  } catch {
    return { text, isWhole: false };
  }
}

const HALF = ['data: {"choices":[{"delta":{"content":"half"}}]}\n\n', 'data: {"choices":[]}\n\n'];

describe('an answer that breaks off after its first event', () => {
  it.each([
    ['cut', stream({ ends: 'cut', after: 2, everyMs: 1 })],
    ['stalled', stream({ ends: 'stalled', after: 2, everyMs: 1 })],
    ['without its end mark', stream({ events: HALF, everyMs: 1 })],
  ])('(%s) never looks complete, and is not asked for again', async (_, fault) => {
    const gateway = await wall({ always: fault });
    const { text, isWhole } = await readingEnds(gateway, { stream: true });
    expect(text).toContain('data: ');
    expect(isWhole).toBe(false);
    expect(attempts(gateway)).toEqual({ openai: ['sk-faulty'], groq: [] });
    await until(() => gateway.forwarding.size === 0);
  });

  it('counts against its provider', async () => {
    const gateway = await wall({ always: stream({ events: HALF, everyMs: 1 }) });
    for (let round = 0; round < 10; round += 1) await ask(gateway, { stream: true }).catch(() => {});
    expect(gateway.seen('groq').length).toBeGreaterThan(0);
    expect(gateway.seen('openai').length).toBeLessThan(10);
  });

  it.each([
    ['cut', stream({ ends: 'cut', after: 2, everyMs: 1 })],
    ['stalled', stream({ ends: 'stalled', after: 2, everyMs: 1 })],
    ['without its end mark', stream({ events: HALF, everyMs: 1 })],
    ['with a malformed chunk', malformedChunk()],
  ])('(%s) is replaced where the provider is to answer in whole', async (_, fault) => {
    const gateway = await wall({ always: fault }, { policy: { commit: 'complete' } });
    const told = await ask(gateway, { stream: true });
    expect(told.status).toBe(200);
    expect(told.text).toContain('gsk-good');
    expect(told.text).not.toContain('half');
    expect(attempts(gateway)).toEqual({ openai: ['sk-faulty'], groq: ['gsk-good'] });
  });

  it('with a malformed chunk at its beginning is one clean error', async () => {
    const gateway = await wall({ always: malformedChunk() });
    const told = await ask(gateway);
    expect(told.status).toBe(502);
    expect(errorIn(told)).toMatchObject({ type: 'keymux', code: 'KEYMUX_ANSWER_INCOMPLETE' });
    expect(told.key).toMatch(/^openai\//);
    expect(attempts(gateway)).toEqual({ openai: ['sk-faulty'], groq: [] });
  });

  it('is no JSON to its end where only the end of the connection ends it: it does not look complete', async () => {
    const gateway = await unframed('{"a":"' + 'x'.repeat(20_000));
    await expect(ask(gateway)).rejects.toThrow();
  });

  it('is whole JSON where only the end of the connection ends it: it is handed on', async () => {
    const whole = JSON.stringify({ a: 'x'.repeat(20_000) });
    const gateway = await unframed(whole);
    expect((await ask(gateway)).text).toBe(whole);
  });
});

/** A provider that ends its answers with the end of the connection. */
async function unframed(body: string): Promise<Forwarded> {
  const server = createServer((request, response) => {
    request.resume().on('end', () => {
      response.socket?.end(`HTTP/1.0 200 OK\r\ncontent-type: application/json\r\n\r\n${body}`);
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  onTestFinished(() => void server.close());
  const baseUrl = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  return forwarded({ providers: { acme: { keys: { 'key-one': {} }, provider: { baseUrl } } } });
}
