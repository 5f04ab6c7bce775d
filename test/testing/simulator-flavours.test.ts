import Anthropic from '@anthropic-ai/sdk';
import OpenAI from 'openai';
import { describe, expect, it } from 'vitest';
import { parseEvents } from '#keymux/testing/event-stream.js';
import type { RefusalKind } from '#keymux/testing/script.js';
import { ok, refuse, stream, streamError } from '#keymux/testing/script.js';
import type { FlavourName } from '#keymux/testing/simulator-flavours.js';
import { FLAVOURS } from '#keymux/testing/simulator-flavours.js';
import type { Simulator, SimulatorOptions } from '#keymux/testing/simulator-api.js';
import { startSimulator } from '#keymux/testing/simulator.js';
import type { RawAnswer } from './http-client.js';
import { bearer, send } from './http-client.js';

const KEY = 'sk-test-abcdef';

function start(
  flavour: FlavourName,
  script: NonNullable<SimulatorOptions['keys']>[string] = {},
): Promise<Simulator> {
  return startSimulator({ flavour, keys: { [KEY]: { name: 'one', ...script } } });
}

const AS_ONE: Readonly<Record<FlavourName, { path: string; headers: Record<string, string> }>> = {
  generic: { path: '/x', headers: bearer(KEY) },
  openai: { path: '/v1/other', headers: bearer(KEY) },
  anthropic: { path: '/v1/other', headers: { 'x-api-key': KEY } },
  alpha_vantage: { path: `/query?apikey=${KEY}&function=TIME_SERIES`, headers: {} },
  finnhub: { path: '/api/v1/other', headers: { 'x-finnhub-token': KEY } },
};

async function ask(
  simulator: Simulator,
  flavour: FlavourName,
  path = AS_ONE[flavour].path,
): Promise<RawAnswer> {
  return send(`${simulator.origin}${path}`, { headers: AS_ONE[flavour].headers });
}

describe('every flavour', () => {
  const names = Object.keys(FLAVOURS) as FlavourName[];

  it.each(names)('%s answers any path where it knows the key, and refuses a stranger', async (flavour) => {
    await using simulator = await start(flavour);
    expect(JSON.parse((await ask(simulator, flavour)).body)).toMatchObject({ ok: true, key: 'one' });
    const stranger = await send(simulator.origin);
    expect(stranger.status).toBe(flavour === 'alpha_vantage' ? 200 : 401);
    expect(stranger.body).toMatch(/refused: rejected|Incorrect API key|invalid/i);
  });

  it.each(names)('%s has words for an error within a stream', async (flavour) => {
    await using simulator = await start(flavour, { always: streamError('overloaded') });
    const [event] = parseEvents((await ask(simulator, flavour)).body);
    expect(event?.data).toMatch(/overloaded|unavailable/i);
  });
});

describe('refusals', () => {
  it.each<[FlavourName, RefusalKind | number, number, RegExp]>([
    ['generic', 'rate-limited', 429, /rate-limited/],
    ['generic', 'quota-exhausted', 402, /quota-exhausted/],
    ['generic', 'restricted', 403, /restricted/],
    ['generic', 'overloaded', 503, /overloaded/],
    ['generic', 'bad-request', 400, /bad-request/],
    ['openai', 'rate-limited', 429, /"code":"rate_limit_exceeded"/],
    ['openai', 'quota-exhausted', 429, /"code":"insufficient_quota"/],
    ['openai', 'rejected', 401, /\*cdef.*"code":"invalid_api_key"/],
    ['openai', 'restricted', 403, /does not have access/],
    ['openai', 'overloaded', 503, /"type":"server_error"/],
    ['openai', 500, 500, /"type":"server_error"/],
    ['openai', 'bad-request', 400, /"type":"invalid_request_error"/],
    ['openai', 404, 404, /"code":"model_not_found"/],
    ['anthropic', 'rate-limited', 429, /rate_limit_error/],
    ['anthropic', 'quota-exhausted', 400, /credit balance is too low/],
    ['anthropic', 402, 402, /billing_error/],
    ['anthropic', 'rejected', 401, /authentication_error/],
    ['anthropic', 'restricted', 403, /permission_error/],
    ['anthropic', 'overloaded', 529, /overloaded_error/],
    ['anthropic', 500, 500, /api_error/],
    ['anthropic', 404, 404, /not_found_error/],
    ['alpha_vantage', 'rate-limited', 200, /"Information":"[^"]*1 request per second/],
    ['alpha_vantage', 'quota-exhausted', 200, /detected your API key as sk-test-abcdef.*25 requests per day/],
    ['alpha_vantage', 'rejected', 200, /"Error Message":"the parameter apikey is invalid or missing/],
    ['alpha_vantage', 'restricted', 200, /premium endpoint/],
    ['alpha_vantage', 'overloaded', 503, /Unavailable/],
    ['alpha_vantage', 'bad-request', 200, /Invalid API call.*TIME_SERIES/],
    ['alpha_vantage', 429, 429, /1 request per second/],
    ['finnhub', 'rate-limited', 429, /API limit reached/],
    ['finnhub', 'quota-exhausted', 429, /API limit reached/],
    ['finnhub', 'restricted', 403, /don't have access/],
    ['finnhub', 'overloaded', 503, /Unavailable/],
    ['finnhub', 'bad-request', 422, /Wrong parameters/],
  ])('of %s for %s have status %i and the words of the provider', async (flavour, why, status, words) => {
    await using simulator = await start(flavour, { always: refuse(why) });
    const answer = await ask(simulator, flavour);
    expect(answer.status).toBe(status);
    expect(answer.body).toMatch(words);
    expect(() => JSON.parse(answer.body) as unknown).not.toThrow();
  });

  it('of Alpha Vantage name the function that was called badly, if there is one', async () => {
    await using simulator = await start('alpha_vantage', { always: refuse('bad-request') });
    expect((await ask(simulator, 'alpha_vantage', `/query?apikey=${KEY}`)).body).toContain(
      'for this function',
    );
  });
});

describe('limits', () => {
  const limited = { limits: [{ requests: 1, perMs: 90_500 }] };

  it('show in OpenAI headers and texts as Go durations', async () => {
    await using simulator = await start('openai', limited);
    const first = await ask(simulator, 'openai');
    expect(first.headers).toMatchObject({
      'x-ratelimit-limit-requests': '1',
      'x-ratelimit-remaining-requests': '0',
      'x-ratelimit-reset-requests': expect.stringMatching(/^1m\d+(\.\d+)?s$/) as string,
    });
    const second = await ask(simulator, 'openai');
    expect(second.body).toMatch(/Limit 1, Used 1, Requested 1\. Please try again in 1m[\d.]+s\./);
    expect(Number(second.headers['retry-after-ms'])).toBeGreaterThan(60_000);
  });

  it.each([
    [500, /^\d+ms$/],
    [5_000, /^\d(\.\d+)?s$/],
  ])('of %i ms are told in the fitting unit', async (perMs, format) => {
    await using simulator = await start('openai', { limits: [{ requests: 1, perMs }] });
    expect((await ask(simulator, 'openai')).headers['x-ratelimit-reset-requests']).toMatch(format);
  });

  it('show in Anthropic headers as a moment', async () => {
    await using simulator = await start('anthropic', limited);
    const { headers } = await ask(simulator, 'anthropic');
    expect(headers['anthropic-ratelimit-requests-remaining']).toBe('0');
    const resetAt = Date.parse(String(headers['anthropic-ratelimit-requests-reset']));
    expect(Math.abs(resetAt - Date.now() - 90_500)).toBeLessThan(10_000);
    expect(Number((await ask(simulator, 'anthropic')).headers['retry-after'])).toBeGreaterThan(60);
  });

  it('show in Finnhub headers as epoch seconds, without Retry-After', async () => {
    await using simulator = await start('finnhub', limited);
    const { headers } = await ask(simulator, 'finnhub');
    expect(Math.abs(Number(headers['x-ratelimit-reset']) * 1_000 - Date.now() - 90_500)).toBeLessThan(10_000);
    expect((await ask(simulator, 'finnhub')).headers).not.toHaveProperty('retry-after');
  });

  it('show at Alpha Vantage only in the text of a 200', async () => {
    await using simulator = await start('alpha_vantage', limited);
    await ask(simulator, 'alpha_vantage');
    const refused = await ask(simulator, 'alpha_vantage');
    expect(refused.status).toBe(200);
    expect(refused.body).toMatch(/"Note":"[^"]*call frequency is 1 calls per minute/);
    expect(simulator.overshoots).toHaveLength(1);
  });
});

describe('quotes', () => {
  it('look as those of Alpha Vantage and Finnhub', async () => {
    await using alpha = await start('alpha_vantage');
    const quote = (symbol: string): Promise<RawAnswer> =>
      ask(alpha, 'alpha_vantage', `/query?function=GLOBAL_QUOTE${symbol}&apikey=${KEY}`);
    expect((await quote('&symbol=MSFT')).body).toContain('"01. symbol":"MSFT"');
    expect((await quote('')).body).toContain('"01. symbol":"IBM"');
    await using finnhub = await start('finnhub');
    expect(JSON.parse((await ask(finnhub, 'finnhub', '/api/v1/quote?symbol=A')).body)).toHaveProperty('pc');
  });
});

describe('the OpenAI SDK', () => {
  const message = { model: 'gpt-x', messages: [{ role: 'user' as const, content: 'hi' }] };
  const client = (simulator: Simulator): OpenAI =>
    new OpenAI({ apiKey: KEY, baseURL: `${simulator.origin}/v1`, maxRetries: 0 });

  it('gets a completion, a stream and the models', async () => {
    await using simulator = await start('openai', { always: ok({ everyMs: 1 }) });
    const completion = await client(simulator).chat.completions.create(message);
    expect(completion.choices[0]?.message.content).toBe('served by one');
    expect(completion.model).toBe('gpt-x');
    const chunks: string[] = [];
    for await (const chunk of await client(simulator).chat.completions.create({ ...message, stream: true })) {
      chunks.push(chunk.choices[0]?.delta.content ?? '');
    }
    expect(chunks.join('')).toBe('served by one');
    expect((await client(simulator).models.list()).data).toHaveLength(1);
    expect(simulator.requests.map(({ orderId }) => orderId === undefined)).toEqual([false, false, true]);
  });

  it('gets an answer of the generic kind where the flavour knows no stream', async () => {
    await using simulator = await start('openai');
    const answer = await send(`${simulator.origin}/v1/other`, {
      method: 'POST',
      headers: bearer(KEY),
      body: '{"stream":true}',
    });
    expect(JSON.parse(answer.body)).toMatchObject({ ok: true });
  });

  it('understands the refusals', async () => {
    await using simulator = await start('openai', { first: [refuse('rejected'), refuse('quota-exhausted')] });
    const ask = (): Promise<unknown> => client(simulator).chat.completions.create(message);
    await expect(ask()).rejects.toMatchObject({ status: 401, code: 'invalid_api_key' });
    await expect(ask()).rejects.toMatchObject({ status: 429, code: 'insufficient_quota' });
  });

  it('meets an error at the start of a stream', async () => {
    await using simulator = await start('openai', { always: streamError('rate-limited') });
    const read = async (): Promise<void> => {
      const events = await client(simulator).chat.completions.create({ ...message, stream: true });
      for await (const event of events) expect(event).toBeUndefined();
    };
    await expect(read()).rejects.toMatchObject({ code: 'rate_limit_exceeded' });
  });
});

describe('the Anthropic SDK', () => {
  const message = { model: 'claude-x', max_tokens: 10, messages: [{ role: 'user' as const, content: 'hi' }] };
  const client = (simulator: Simulator): Anthropic =>
    new Anthropic({ apiKey: KEY, baseURL: simulator.origin, maxRetries: 0 });

  it('gets a message, a stream and the models', async () => {
    await using simulator = await start('anthropic', { always: ok({ everyMs: 1 }) });
    const answer = await client(simulator).messages.create(message);
    expect(answer.content).toEqual([{ type: 'text', text: 'served by one' }]);
    const streamed = await client(simulator).messages.stream(message).finalMessage();
    expect(streamed.content[0]).toMatchObject({ text: 'served by one' });
    expect(streamed.stop_reason).toBe('end_turn');
    expect((await client(simulator).models.list()).data).toHaveLength(1);
  });

  it('meets a stream that is cut', async () => {
    await using simulator = await start('anthropic', {
      always: stream({ ends: 'cut', after: 3, everyMs: 1 }),
    });
    await expect(client(simulator).messages.stream(message).finalMessage()).rejects.toThrow();
    expect(simulator.requests[0]?.did).toBe('stream cut');
  });

  it('understands the refusals', async () => {
    await using simulator = await start('anthropic', { first: [refuse('overloaded'), refuse('rejected')] });
    await expect(client(simulator).messages.create(message)).rejects.toMatchObject({ status: 529 });
    await expect(client(simulator).messages.create(message)).rejects.toMatchObject({ status: 401 });
  });
});

describe('a flavour of one’s own', () => {
  it('speaks and finds the key as it says', async () => {
    await using simulator = await startSimulator({
      flavour: {
        ...FLAVOURS.generic,
        auth: [{ in: 'query', name: 'token' }],
        success: ({ n }) => ({ number: n }),
      },
      keys: { [KEY]: {} },
    });
    expect(JSON.parse((await send(`${simulator.origin}/?token=${KEY}`)).body)).toEqual({ number: 1 });
  });
});
