import { once } from 'node:events';
import { createServer } from 'node:net';
import type { AddressInfo } from 'node:net';
import type { Outcome } from '#keymux/core/outcome.js';
import { outcomeOfError } from '#keymux/manager/outcome-of-error.js';
import { refuse, silence } from '#keymux/testing/script.js';
import type { Action } from '#keymux/testing/script.js';
import { startSimulator } from '#keymux/testing/simulator.js';
import axios from 'axios';
import got from 'got';
import OpenAI from 'openai';
import { request } from 'undici';
import { describe, expect, it, onTestFinished } from 'vitest';
import { acmeManager } from './acme.js';

const NOW = 1_800_000_000_000;

function judge(error: unknown, provider: object = {}): Outcome {
  const { configuration } = acmeManager({ provider });
  return outcomeOfError(error, configuration.providers.get('acme')!, NOW);
}

async function caught(work: Promise<unknown>): Promise<unknown> {
  return work.then(
    () => expect.unreachable('it did not fail'),
    (error: unknown) => error,
  );
}

async function provider(always: Action): Promise<string> {
  const simulator = await startSimulator({ keys: {}, unknownKey: always });
  onTestFinished(() => simulator.close());
  return simulator.origin;
}

/** A port on which nobody listens. */
async function deadPort(): Promise<string> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return `http://127.0.0.1:${port}`;
}

/** How each client reports a failed request; none repeats it by itself. */
const CLIENTS: Record<string, (url: string, signal?: AbortSignal) => Promise<unknown>> = {
  axios: (url, signal) => axios.get(url, signal === undefined ? {} : { signal }),
  got: (url, signal) => {
    return got(url, { retry: { limit: 0 }, ...(signal === undefined ? {} : { signal }) });
  },
  openai: (url, signal) => {
    const client = new OpenAI({ apiKey: 'x', baseURL: url, maxRetries: 0 });
    return client.models.list(signal === undefined ? {} : { signal });
  },
  undici: async (url, signal) => {
    const { statusCode, headers, body } = await request(url, { signal: signal ?? null });
    throw Object.assign(new Error('failed'), { statusCode, headers, body: await body.text() });
  },
};

describe.each(Object.entries(CLIENTS))('the errors of %s', (_, call) => {
  it('tell a rate limit and when it ends', async () => {
    const origin = await provider(refuse(429, { retryAfterSeconds: 30 }));
    expect(judge(await caught(call(origin)))).toMatchObject({
      kind: 'rate-limited',
      scope: 'key',
      status: 429,
      retryAt: NOW + 30_000,
      executed: 'no',
    });
  });

  it('tell what stands in the body', async () => {
    const origin = await provider(refuse(429, { body: { error: { code: 'insufficient_quota' } } }));
    expect(judge(await caught(call(origin)))).toMatchObject({ kind: 'quota-exhausted', status: 429 });
  });

  it('tell that nothing was sent where no connection stood', async () => {
    const outcome = judge(await caught(call(await deadPort())));
    expect(outcome).toEqual({ kind: 'network', scope: 'provider', evidence: 'ECONNREFUSED', executed: 'no' });
  });

  it('tell that the caller went away', async () => {
    const origin = await provider(silence());
    const error = await caught(call(origin, AbortSignal.timeout(30)));
    expect(judge(error).kind).toBe('aborted');
  });
});

describe('what an error means', () => {
  const withCode = (code: unknown): Error => Object.assign(new Error('failed'), { code });

  it.each(['ENOTFOUND', 'EAI_AGAIN', 'EHOSTUNREACH', 'ENETUNREACH', 'UND_ERR_CONNECT_TIMEOUT'])(
    'is proof that nothing was sent after %s',
    (code) => {
      expect(judge(withCode(code))).toMatchObject({ kind: 'network', executed: 'no', evidence: code });
    },
  );

  it.each([
    'ECONNRESET',
    'ECONNABORTED',
    'EPIPE',
    'ETIMEDOUT',
    'ESOCKETTIMEDOUT',
    'EPROTO',
    'UND_ERR_SOCKET',
    'UND_ERR_HEADERS_TIMEOUT',
    'HPE_INVALID_CONSTANT',
    'ERR_TLS_CERT_ALTNAME_INVALID',
    'CERT_HAS_EXPIRED',
    'DEPTH_ZERO_SELF_SIGNED_CERT',
    'UNABLE_TO_VERIFY_LEAF_SIGNATURE',
  ])('is not known to be harmless after %s', (code) => {
    expect(judge(withCode(code))).toMatchObject({ kind: 'network', executed: 'maybe' });
  });

  it.each(['ENOENT', 'EACCES', 'EEXIST', 'ERR_INVALID_ARG_TYPE', 'KEYMUX_USAGE', 'UND_ERR_INVALID_ARG', 23])(
    'is the own affair of the caller with the code %s',
    (code) => {
      expect(judge(withCode(code)).kind).toBe('aborted');
    },
  );

  it.each([undefined, null, 'a text', 42, {}, new TypeError('a mistake'), { status: 'gone' }, { status: 7 }])(
    'is the own affair of the caller where it is %o',
    (error) => {
      expect(judge(error).kind).toBe('aborted');
    },
  );

  it('is found along the causes, as fetch wraps them', () => {
    const wrapped = new TypeError('fetch failed', {
      cause: new Error('deeper', { cause: withCode('EPIPE') }),
    });
    expect(judge(wrapped)).toMatchObject({ kind: 'network', evidence: 'EPIPE' });
  });

  it('does not go round where causes do, nor all the way down a long chain', () => {
    const round: { cause?: unknown } = {};
    round.cause = round;
    expect(judge(round).kind).toBe('aborted');
    const chain = (length: number): object =>
      length === 0 ? withCode('EPIPE') : { cause: chain(length - 1) };
    expect(judge(chain(7)).kind).toBe('network');
    expect(judge(chain(8)).kind).toBe('aborted');
  });

  it('is read from headers of any kind', () => {
    const limited = (headers: unknown): Outcome => judge({ status: 429, headers });
    const expected = { kind: 'rate-limited', retryAt: NOW + 9_000 };
    expect(limited(new Headers({ 'Retry-After': '9' }))).toMatchObject(expected);
    expect(limited(new Map([['retry-after', '9']]))).toMatchObject(expected);
    expect(limited({ 'retry-after': '9' })).toMatchObject(expected);
    expect(judge({ response: { statusCode: 429, headers: { 'retry-after': '9' } } })).toMatchObject(expected);
    for (const headers of [undefined, null, 'retry-after: 9', { 'retry-after': ['9', '8'] }]) {
      expect(limited(headers)).toMatchObject({ kind: 'rate-limited' });
      expect(limited(headers)).not.toHaveProperty('retryAt');
    }
  });

  it('is read from bodies of any kind', () => {
    const rules = {
      errors: [{ status: 400, json: '$.error.code', match: '^bad_key$', outcome: 'rejected' }],
    };
    const inside = { code: 'bad_key' };
    for (const error of [
      { status: 400, error: inside },
      { status: 400, body: JSON.stringify({ error: inside }) },
      { status: 400, response: { data: { error: inside } } },
      { response: { status: 400, body: { error: inside } } },
      { status: 400, message: JSON.stringify({ error: inside }) },
    ]) {
      expect(judge(error, rules).kind).toBe('rejected');
    }
    const round: Record<string, unknown> = {};
    round['self'] = round;
    for (const error of [{ status: 400 }, { status: 400, body: 7 }, { status: 400, body: round }]) {
      expect(judge(error, rules).kind).toBe('bad-request');
    }
  });
});
