/**
 * Requests that end because the application says so: by a signal, by a call, or by a time limit of the client. Nobody
 * ever answers them.
 */
import http from 'node:http';
import https from 'node:https';
import { answerTo, load, loadAll, require } from './rows/clients.mjs';

/** Long enough for a request to reach the server that does not answer. Milliseconds. */
const LIMIT_MS = 400;

const moduleOf = (origin) => (origin.startsWith('https:') ? https : http);
const silent = (origin) => `${origin}/silent`;

export const stops = [
  {
    name: 'fetch, signal',
    aborts: true,
    call: ({ origin, headers, signal }) => fetch(silent(origin), { headers, signal }),
  },
  {
    name: 'fetch, POST, signal with a reason',
    aborts: true,
    call: ({ origin, headers, signal }) => {
      const reasoned = new AbortController();
      const abort = () => reasoned.abort(new RangeError('enough'));
      if (signal.aborted) abort();
      signal.addEventListener('abort', abort);
      return fetch(silent(origin), { method: 'POST', body: 'x', headers, signal: reasoned.signal });
    },
  },
  {
    name: 'fetch, time limit',
    call: ({ origin, headers }) => fetch(silent(origin), { headers, signal: AbortSignal.timeout(LIMIT_MS) }),
  },
  ...[5, 6, 7, 8].map((version) => ({
    name: `undici ${version}, signal`,
    aborts: true,
    call: async ({ origin, headers, signal }) =>
      (await loadAll(`undici${version}`)).request(silent(origin), { headers, signal }),
  })),
  {
    name: 'undici 7, time limit for the head',
    call: async ({ origin, headers }) =>
      (await loadAll('undici7')).request(silent(origin), { headers, headersTimeout: LIMIT_MS }),
  },
  {
    name: 'http.request, signal',
    aborts: true,
    call: ({ origin, headers, signal }) =>
      answerTo(moduleOf(origin).request(silent(origin), { headers, signal }).end()),
  },
  {
    name: 'http.request, destroy',
    aborts: true,
    call: ({ origin, headers, signal }) => {
      const request = moduleOf(origin).request(silent(origin), { headers });
      const answer = answerTo(request.end());
      if (signal.aborted) request.destroy();
      signal.addEventListener('abort', () => request.destroy());
      return answer;
    },
  },
  {
    name: 'http.request, idle time limit',
    call: ({ origin, headers }) => {
      const request = moduleOf(origin).request(silent(origin), { headers, timeout: LIMIT_MS });
      request.on('timeout', () => request.destroy(new Error('idle for too long')));
      return answerTo(request.end());
    },
  },
  ...['http', 'fetch'].flatMap((adapter) => [
    {
      name: `axios, ${adapter} adapter, signal`,
      aborts: true,
      call: async ({ origin, headers, signal }) =>
        (await load('axios')).get(silent(origin), { adapter, headers, signal }),
    },
    {
      name: `axios, ${adapter} adapter, time limit`,
      call: async ({ origin, headers }) =>
        (await load('axios')).get(silent(origin), { adapter, headers, timeout: LIMIT_MS }),
    },
  ]),
  ...[14, 16].flatMap((version) => [
    {
      name: `got ${version}, signal`,
      aborts: true,
      call: async ({ origin, headers, signal }) =>
        (await load(`got${version}`))(silent(origin), { headers, signal, retry: { limit: 0 } }),
    },
    {
      name: `got ${version}, time limit`,
      call: async ({ origin, headers }) =>
        (await load(`got${version}`))(silent(origin), {
          headers,
          timeout: { request: LIMIT_MS },
          retry: { limit: 0 },
        }),
    },
  ]),
  ...[1, 2].flatMap((version) => [
    {
      name: `ky ${version}, signal`,
      aborts: true,
      call: async ({ origin, headers, signal }) =>
        (await load(`ky${version}`)).get(silent(origin), { headers, signal, retry: 0 }),
    },
    {
      name: `ky ${version}, time limit`,
      call: async ({ origin, headers }) =>
        (await load(`ky${version}`)).get(silent(origin), { headers, timeout: LIMIT_MS, retry: 0 }),
    },
  ]),
  {
    name: 'node-fetch 2, signal',
    aborts: true,
    call: ({ origin, headers, signal }) => require('node-fetch2')(silent(origin), { headers, signal }),
  },
  {
    name: 'node-fetch 2, time limit',
    call: ({ origin, headers }) => require('node-fetch2')(silent(origin), { headers, timeout: LIMIT_MS }),
  },
  {
    name: 'node-fetch 3, signal',
    aborts: true,
    call: async ({ origin, headers, signal }) =>
      (await load('node-fetch3'))(silent(origin), { headers, signal }),
  },
  {
    name: 'superagent, abort',
    aborts: true,
    call: ({ origin, headers, signal }) =>
      new Promise((resolve, reject) => {
        const request = require('superagent').get(silent(origin)).set(headers);
        request.then(resolve, reject);
        request.on('error', reject);
        if (signal.aborted) request.abort();
        signal.addEventListener('abort', () => void request.abort());
      }),
  },
  {
    name: 'superagent, time limit',
    call: ({ origin, headers }) => require('superagent').get(silent(origin)).set(headers).timeout(LIMIT_MS),
  },
  {
    name: 'needle, time limit',
    call: ({ origin, headers }) =>
      require('needle')('get', silent(origin), { headers, response_timeout: LIMIT_MS }),
  },
  {
    name: 'ws, time limit for the handshake',
    call: async ({ origin, headers }) => {
      const WebSocketOfWs = await load('ws');
      const address = silent(origin.replace(/^http/, 'ws'));
      return new Promise((resolve, reject) => {
        const socket = new WebSocketOfWs(address, { headers, handshakeTimeout: LIMIT_MS });
        socket.on('open', resolve).on('error', reject);
      });
    },
  },
  ...[6, 7].flatMap((version) => {
    const client = async ({ origin, key }, options) =>
      new (await load(`openai${version}`))({
        apiKey: key,
        baseURL: `${origin}/silent`,
        maxRetries: 0,
        ...options,
      });
    const request = { model: 'm', messages: [{ role: 'user', content: 'hello' }] };
    return [
      {
        name: `openai ${version}, signal`,
        aborts: true,
        call: async (target) =>
          (await client(target)).chat.completions.create(request, { signal: target.signal }),
      },
      {
        name: `openai ${version}, time limit`,
        call: async (target) =>
          (await client(target, { timeout: LIMIT_MS })).chat.completions.create(request),
      },
    ];
  }),
  {
    name: '@anthropic-ai/sdk, signal',
    aborts: true,
    call: async ({ origin, key, signal }) => {
      const client = new (await load('@anthropic-ai/sdk'))({
        apiKey: key,
        baseURL: `${origin}/silent`,
        maxRetries: 0,
      });
      const messages = [{ role: 'user', content: 'hello' }];
      return client.messages.create({ model: 'm', max_tokens: 5, messages }, { signal });
    },
  },
];

/** What an application can tell an error by, down its causes; ports and keys are left out. */
export function describeError(error, depth = 3) {
  if (!(error instanceof Error) && typeof error !== 'object') return String(error);
  const { name, code, type, message, cause, event } = error;
  return {
    class: error.constructor.name,
    name,
    code,
    type,
    event,
    message: String(message).replaceAll(/:\d{4,5}\b/g, ':0'),
    ...(cause === undefined || depth === 0 ? {} : { cause: describeError(cause, depth - 1) }),
  };
}
