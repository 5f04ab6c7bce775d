import { createRequire } from 'node:module';
import http from 'node:http';
import { get, request } from 'node:http';
import Anthropic from '@anthropic-ai/sdk';
import axios from 'axios';
import got from 'got';
import nodeFetch from 'node-fetch';
import OpenAI from 'openai';
import { describe, expect, it } from 'vitest';
import { BAD_BAD_GOOD, CAPTURED, bearer, managed } from './managed.js';

const require = createRequire(import.meta.url);
const undici = require('undici') as typeof import('undici');
/** It comes without types. */
const superagent = require('superagent') as Record<'get' | 'post', (url: string) => SuperagentRequest>;

interface SuperagentRequest extends Promise<{ readonly body: unknown }> {
  set(headers: object): this;
  send(body: object): this;
}

const TIMES = 20;

interface KeyAnswer {
  readonly key: string;
}

function read(incoming: http.IncomingMessage): Promise<string> {
  return new Promise((resolve, reject) => {
    let text = '';
    incoming.setEncoding('utf8');
    incoming.on('data', (chunk: string) => (text += chunk));
    incoming.on('end', () => resolve(text));
    incoming.on('error', reject);
  });
}

function viaNode(make: typeof request, url: string, body?: string): Promise<KeyAnswer> {
  return new Promise((resolve, reject) => {
    const sent = make(url, { headers: bearer(), method: body === undefined ? 'GET' : 'POST' }, (incoming) => {
      read(incoming).then((text) => resolve(JSON.parse(text) as KeyAnswer), reject);
    });
    sent.on('error', reject);
    sent.end(body);
  });
}

const order = { name: 'x'.repeat(500) };

/** Each client as its documentation uses it; none knows of keymux. */
const clients: Record<string, (origin: string) => Promise<KeyAnswer>> = {
  fetch: async (origin) => (await fetch(`${origin}/a`, { headers: bearer() })).json() as Promise<KeyAnswer>,
  'fetch, POST': async (origin) =>
    (
      await fetch(`${origin}/a`, { method: 'POST', headers: bearer(), body: JSON.stringify(order) })
    ).json() as Promise<KeyAnswer>,
  'fetch, FormData': async (origin) => {
    const body = new FormData();
    body.set('file', new Blob(['hello']), 'hello.txt');
    return (
      await fetch(`${origin}/a`, { method: 'POST', headers: bearer(), body })
    ).json() as Promise<KeyAnswer>;
  },
  'fetch, Request': async (origin) =>
    (await fetch(new Request(`${origin}/a`, { headers: bearer() }))).json() as Promise<KeyAnswer>,
  'http.request': (origin) => viaNode(http.request, `${origin}/a`),
  'http.request by name, POST': (origin) => viaNode(request, `${origin}/a`, JSON.stringify(order)),
  'http.get': (origin) => viaNode(http.get, `${origin}/a`),
  'http.get by name': (origin) => viaNode(get, `${origin}/a`),
  'http.request, headers as a list': (origin) =>
    new Promise((resolve, reject) => {
      const { hostname, port } = new URL(origin);
      http
        .request({
          hostname,
          port,
          headers: ['Host', `${hostname}:${port}`, 'Authorization', `Bearer ${CAPTURED}`],
        })
        .on(
          'response',
          (incoming) => void read(incoming).then((text) => resolve(JSON.parse(text) as KeyAnswer)),
        )
        .on('error', reject)
        .end();
    }),
  'http.request, late header, chunks': (origin) =>
    new Promise((resolve, reject) => {
      const sent = http.request(`${origin}/a`, { method: 'POST' });
      sent.setHeader('Authorization', `Bearer ${CAPTURED}`);
      sent.on(
        'response',
        (incoming) => void read(incoming).then((text) => resolve(JSON.parse(text) as KeyAnswer)),
      );
      sent.on('error', reject);
      sent.write('first ');
      sent.write(Buffer.from('second'));
      sent.end(' third');
    }),
  'axios, http': async (origin) =>
    (await axios.post<KeyAnswer>(`${origin}/a`, order, { headers: bearer(), adapter: 'http' })).data,
  'axios, fetch': async (origin) =>
    (await axios.post<KeyAnswer>(`${origin}/a`, order, { headers: bearer(), adapter: 'fetch' })).data,
  got: (origin) => got(`${origin}/a`, { headers: bearer(), retry: { limit: 0 } }).json<KeyAnswer>(),
  'got, POST': (origin) =>
    got.post(`${origin}/a`, { headers: bearer(), retry: { limit: 0 }, json: order }).json<KeyAnswer>(),
  'node-fetch': async (origin) =>
    (await nodeFetch(`${origin}/a`, { headers: bearer() })).json() as Promise<KeyAnswer>,
  'node-fetch, POST': async (origin) =>
    (
      await nodeFetch(`${origin}/a`, { method: 'POST', headers: bearer(), body: JSON.stringify(order) })
    ).json() as Promise<KeyAnswer>,
  superagent: async (origin) => (await superagent.get(`${origin}/a`).set(bearer())).body as KeyAnswer,
  'superagent, POST': async (origin) =>
    (await superagent.post(`${origin}/a`).set(bearer()).send(order)).body as KeyAnswer,
  'undici, request': async (origin) =>
    (await undici.request(`${origin}/a`, { headers: bearer() })).body.json() as Promise<KeyAnswer>,
  'undici, request, POST': async (origin) =>
    (
      await undici.request(`${origin}/a`, { method: 'POST', headers: bearer(), body: JSON.stringify(order) })
    ).body.json() as Promise<KeyAnswer>,
  'undici, fetch': async (origin) =>
    (await undici.fetch(`${origin}/a`, { headers: bearer() })).json() as Promise<KeyAnswer>,
  'undici, Pool': async (origin) => {
    await using pool = Object.assign(new undici.Pool(origin), {
      [Symbol.asyncDispose](this: InstanceType<typeof undici.Pool>) {
        return this.close();
      },
    });
    const { body } = await pool.request({ path: '/a', method: 'GET', headers: bearer() });
    return body.json() as Promise<KeyAnswer>;
  },
};

describe('an unmodified client', () => {
  for (const [name, call] of Object.entries(clients)) {
    it(`gets one good answer each of ${TIMES} times: ${name}`, async () => {
      const { origin, seen, simulator, forget } = await managed({ keys: BAD_BAD_GOOD });
      for (let time = 1; time <= TIMES; time += 1) {
        expect((await call(origin)).key).toBe('key-good');
        expect(seen().slice(-3)).toEqual(['key-limited', 'key-revoked', 'key-good']);
        forget();
      }
      expect(simulator.requests).toHaveLength(3 * TIMES);
      const bodies = simulator.requests.map(({ bodyBytes }) => bodyBytes);
      expect(new Set(bodies.map((bytes, index) => bytes - (bodies[index - (index % 3)] ?? 0)))).toEqual(
        new Set([0]),
      );
    });
  }

  it(`gets one good answer each of ${TIMES} times: openai`, async () => {
    const { origin, seen, forget } = await managed({ keys: BAD_BAD_GOOD, simulator: { flavour: 'openai' } });
    const client = new OpenAI({ apiKey: CAPTURED, baseURL: `${origin}/v1`, maxRetries: 0 });
    for (let time = 1; time <= TIMES; time += 1) {
      const answer = await client.chat.completions.create({
        model: 'm',
        messages: [{ role: 'user', content: 'hi' }],
      });
      expect(answer.choices[0]?.message.content).toContain('key-good');
      expect(seen().slice(-3)).toEqual(['key-limited', 'key-revoked', 'key-good']);
      forget();
    }
  });

  it(`gets one good answer each of ${TIMES} times: @anthropic-ai/sdk`, async () => {
    const { origin, seen, forget } = await managed({
      keys: BAD_BAD_GOOD,
      simulator: { flavour: 'anthropic' },
    });
    const client = new Anthropic({ apiKey: CAPTURED, baseURL: origin, maxRetries: 0 });
    for (let time = 1; time <= TIMES; time += 1) {
      const answer = await client.messages.create({
        model: 'm',
        max_tokens: 5,
        messages: [{ role: 'user', content: 'hi' }],
      });
      expect(JSON.stringify(answer.content)).toContain('key-good');
      expect(seen().slice(-3)).toEqual(['key-limited', 'key-revoked', 'key-good']);
      forget();
    }
  });
});
