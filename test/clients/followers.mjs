/** Clients that follow redirects by themselves, each told the same: an address, headers, a method, maybe a body. */
import { load, loadAll, require } from './rows/clients.mjs';

const statusOf = async (response) => {
  await response.text();
  return response.status;
};

const undici = (version) =>
  Object.fromEntries([
    [
      `undici ${version}, fetch`,
      async ({ url, ...init }) => statusOf(await (await loadAll(`undici${version}`)).fetch(url, init)),
    ],
    [
      `undici ${version}, request`,
      async ({ url, ...options }) => {
        const { Agent, interceptors, request } = await loadAll(`undici${version}`);
        const dispatcher =
          version < 7
            ? new Agent({ maxRedirections: 5 })
            : new Agent().compose(interceptors.redirect({ maxRedirections: 5 }));
        const { statusCode, body } = await request(url, { ...options, dispatcher });
        await body.text();
        await dispatcher.close();
        return statusCode;
      },
    ],
  ]);

const got = (version) => ({
  [`got ${version}`]: async ({ url, ...options }) =>
    (
      await (
        await load(`got${version}`)
      )(url, {
        ...options,
        methodRewriting: false,
        throwHttpErrors: false,
        retry: { limit: 0 },
      })
    ).statusCode,
});

const axios = (adapter) => ({
  [`axios, ${adapter} adapter`]: async ({ url, body, ...options }) =>
    (await (await load('axios'))({ url, data: body, adapter, validateStatus: null, ...options })).status,
});

const ky = (version) => ({
  [`ky ${version}`]: async ({ url, ...init }) =>
    statusOf(await (await load(`ky${version}`))(url, { ...init, retry: 0, throwHttpErrors: false })),
});

/** SDKs put the key where they want it, and take a path. */
async function viaSdk(Client, { url, method, headers, body }) {
  const { origin } = new URL(url);
  const apiKey = headers.authorization.replace(/^Bearer /, '');
  const client = new Client({ apiKey, baseURL: origin, maxRetries: 0 });
  const sent =
    method === 'GET' ? client.get(url.slice(origin.length)) : client.post(url.slice(origin.length), { body });
  return statusOf(await sent.asResponse());
}

/** Each resolves with the last status. */
export const followers = {
  fetch: async ({ url, ...init }) => statusOf(await fetch(url, init)),
  ...Object.assign({}, ...[5, 6, 7, 8].map(undici)),
  'node-fetch 2': async ({ url, ...init }) => statusOf(await require('node-fetch2')(url, init)),
  'node-fetch 3': async ({ url, ...init }) => statusOf(await (await load('node-fetch3'))(url, init)),
  ...axios('http'),
  ...axios('fetch'),
  ...got(14),
  ...got(16),
  ...ky(1),
  ...ky(2),
  superagent: async ({ url, method, headers, body }) =>
    (
      await require('superagent')(method, url)
        .set(headers)
        .ok(() => true)
        .send(body)
    ).status,
  needle: async ({ url, method, headers, body }) =>
    (
      await require('needle')(method.toLowerCase(), url, body ?? null, {
        headers,
        follow_max: 5,
        follow_keep_method: true,
        follow_set_referer: true,
        parse: false,
      })
    ).statusCode,
  'openai 6': async (request) => viaSdk(await load('openai6'), request),
  '@anthropic-ai/sdk': async (request) => viaSdk(await load('@anthropic-ai/sdk'), request),
  ws: async ({ url, headers }) => {
    const WebSocketOfWs = await load('ws');
    return new Promise((resolve, reject) => {
      const socket = new WebSocketOfWs(url.replace(/^http/, 'ws'), { headers, followRedirects: true });
      socket.on('unexpected-response', (_request, { statusCode }) => resolve(statusCode));
      socket.on('open', () => resolve(101)).on('error', reject);
    });
  },
  /** As programs do that know no better: the same headers again, wherever it goes. */
  'a loop around http.get': async ({ url, headers }) => {
    let at = url;
    for (;;) {
      const { promise, resolve, reject } = withResolvers();
      (await import(new URL(at).protocol === 'https:' ? 'node:https' : 'node:http')).default
        .get(at, { headers }, resolve)
        .on('error', reject);
      const { statusCode, headers: answered } = (await promise).resume();
      if (answered.location === undefined) return statusCode;
      at = new URL(answered.location, at).href;
    }
  },
};

function withResolvers() {
  const parts = {};
  parts.promise = new Promise((resolve, reject) => Object.assign(parts, { resolve, reject }));
  return parts;
}
