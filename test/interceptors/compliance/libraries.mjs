/** What libraries built on node:http and fetch promise. `isGood`: every answer is one that keymux has nothing to do about. */
import { createRequire } from 'node:module';
import { Readable } from 'node:stream';

const clients = createRequire(new URL('../../clients/package.json', import.meta.url));
const major = Number(process.versions.node.split('.')[0]);

const load = async (name) => import(clients.resolve(name));
const sorted = (headers) => Object.fromEntries(Object.entries(headers).sort());
const short = (value) => {
  const text = typeof value === 'string' ? value : (JSON.stringify(value) ?? 'undefined');
  return text.length > 500 ? text.length : text;
};

/** How each library asks for a page; what it makes of the answer. */
const libraries = {
  'axios, http': async ({ log }) => {
    const { default: axios } = await load('axios');
    return async (url, { method = 'GET', headers, body, signal, timeout }) => {
      const answer = await axios({
        url,
        method,
        headers,
        data: body,
        signal,
        timeout,
        adapter: 'http',
        decompress: true,
      });
      log(answer.status, answer.statusText, sorted({ ...answer.headers }), short(answer.data));
    };
  },
  'axios, fetch': async ({ log }) => {
    const { default: axios } = await load('axios');
    return async (url, { method = 'GET', headers, body, signal, timeout }) => {
      const answer = await axios({ url, method, headers, data: body, signal, timeout, adapter: 'fetch' });
      log(answer.status, answer.statusText, short(answer.data));
    };
  },
  ...Object.fromEntries(
    ['got14', ...(major >= 22 ? ['got16'] : [])].map((name) => [
      name,
      async ({ log }) => {
        const { default: got } = await load(name);
        return async (url, { method, headers, body, signal, timeout }) => {
          const limits = { timeout: timeout === undefined ? {} : { request: timeout }, retry: { limit: 0 } };
          const answer = await got(url, { method, headers, body, signal, ...limits });
          log(
            answer.statusCode,
            answer.url,
            answer.redirectUrls.length,
            answer.retryCount,
            short(answer.body),
          );
        };
      },
    ]),
  ),
  ...Object.fromEntries(
    ['node-fetch2', 'node-fetch3'].map((name) => [
      name,
      async ({ log }) => {
        const { default: fetch } = await load(name);
        return async (url, { method, headers, body, signal, timeout }) => {
          const limit = timeout === undefined ? signal : AbortSignal.timeout(timeout);
          const answer = await fetch(url, { method, headers, body, signal: limit });
          log(answer.status, answer.statusText, answer.redirected, answer.url, short(await answer.text()));
        };
      },
    ]),
  ),
  superagent: async ({ log }) => {
    const { default: superagent } = await load('superagent');
    return async (url, { method = 'GET', headers, body, timeout }) => {
      const request = superagent(method, url).set(headers).buffer(true);
      if (timeout !== undefined) request.timeout(timeout);
      const answer = await (body === undefined ? request : request.send(body));
      log(answer.status, answer.redirects.length, short(answer.text), short(answer.body));
    };
  },
  needle: async ({ log }) => {
    const { default: needle } = await load('needle');
    return async (url, { method = 'GET', headers, body, timeout }) => {
      const options = { headers, follow_max: 3, response_timeout: timeout, compressed: true };
      const answer = await needle(method.toLowerCase(), url, body, options);
      log(answer.statusCode, answer.statusMessage, short(answer.body.toString?.() ?? answer.body));
    };
  },
};

const good = {
  get: (ask) => ask('/echo?a=1'),
  post: (ask) => ask('/echo', { method: 'POST', body: 'hello' }),
  'post, json': (ask) =>
    ask('/echo', { method: 'POST', body: '{"a":1}', headers: { 'content-type': 'application/json' } }),
  streamed: (ask) => ask('/stream'),
  large: (ask) => ask('/large'),
  gzip: (ask) => ask('/gzip'),
  'a redirect': (ask) => ask('/moved'),
  'no content': (ask) => ask('/empty'),
  'not found': (ask) => ask('/missing'),
  trailers: (ask) => ask('/trailers'),
  'early hints': (ask) => ask('/hints'),
  'one after the other': async (ask) => {
    for (let time = 0; time < 3; time += 1) await ask('/echo');
  },
  https: (ask, { site }) => ask('/echo', {}, site.https),
};

const bad = {
  'a refused connection': (ask, { site }) => ask('/', {}, site.refused),
  'reset before the head': (ask) => ask('/reset-before', { method: 'POST', body: 'x' }),
  'reset within the body': (ask) => ask('/reset-after'),
  'cut within the body': (ask) => ask('/cut'),
  'no protocol': (ask) => ask('/garbage', { method: 'POST', body: 'x' }),
  'a time-out': (ask) => ask('/silent', { timeout: 60 }),
  'a time-out within the body': (ask) => ask('/stalled', { timeout: 60 }),
};

/** Without keymux, too: these libraries do not notice. */
const HANGS = new Set([
  'node-fetch2, cut within the body',
  'needle, cut within the body',
  'needle, a time-out within the body',
]);

const own = {
  'axios, a signal': async ({ site, headers }) => {
    const { default: axios } = await load('axios');
    await axios.get(`${site.http}/silent`, { headers: headers(), signal: AbortSignal.timeout(40) });
  },
  'axios, a stream': async ({ site, headers, log }) => {
    const { default: axios } = await load('axios');
    const { data } = await axios.get(`${site.http}/stream`, { headers: headers(), responseType: 'stream' });
    let text = '';
    for await (const chunk of data) text += chunk;
    log(text);
  },
  'axios, progress': async ({ site, headers, log }) => {
    const { default: axios } = await load('axios');
    let loaded = 0;
    const onUploadProgress = (event) => (loaded = event.loaded);
    await axios.post(`${site.http}/echo`, Buffer.alloc(100_000), { headers: headers(), onUploadProgress });
    log(loaded);
  },
  'axios, FormData': async ({ site, headers, log }) => {
    const { default: axios } = await load('axios');
    const { data } = await axios.postForm(`${site.http}/echo`, { a: '1' }, { headers: headers() });
    log(data.bytes > 50);
  },
  'got, a stream': async ({ site, headers, log }) => {
    const { default: got } = await load('got14');
    const events = [];
    const stream = got.stream(`${site.http}/stream`, { headers: headers() });
    for (const event of ['request', 'response', 'end', 'error']) stream.on(event, () => events.push(event));
    let text = '';
    for await (const chunk of stream) text += chunk;
    log(text, events);
  },
  'got, timings': async ({ site, headers, log }) => {
    const { default: got } = await load('got14');
    const { timings } = await got(`${site.http}/echo`, { headers: headers() });
    log(Object.entries(timings.phases).map(([name, value]) => [name, typeof value]));
  },
  'got, cancel': async ({ site, headers }) => {
    const { default: got } = await load('got14');
    const promise = got(`${site.http}/silent`, { headers: headers() });
    setTimeout(() => promise.cancel(), 20);
    await promise;
  },
  'got, upload': async ({ site, headers, log }) => {
    const { default: got } = await load('got14');
    log(await got.post(`${site.http}/echo`, { headers: headers(), body: Readable.from(['a', 'b']) }).json());
  },
  'needle, a stream': async ({ site, headers, log }) => {
    const { default: needle } = await load('needle');
    let text = '';
    for await (const chunk of needle.get(`${site.http}/stream`, { headers: headers() })) text += chunk;
    log(text);
  },
  'superagent, a pipe': async ({ site, headers, log }) => {
    const { default: superagent } = await load('superagent');
    const { PassThrough } = await import('node:stream');
    let text = '';
    for await (const chunk of superagent.get(`${site.http}/stream`).set(headers()).pipe(new PassThrough()))
      text += chunk;
    log(text);
  },
  ws: async ({ site, headers, log }) => {
    const { WebSocket } = await load('ws');
    const socket = new WebSocket(`${site.http.replace('http', 'ws')}/feed`, { headers: headers() });
    await new Promise((resolve) => {
      for (const event of ['upgrade', 'open', 'close', 'error', 'unexpected-response'])
        socket.on(event, (...args) =>
          log(event, typeof args[0] === 'number' ? args[0] : '-', socket.readyState),
        );
      socket.on('open', () => socket.send('ping'));
      socket.on('message', (text) => {
        log('message', text.toString());
        socket.close(1000);
      });
      socket.on('close', resolve);
    });
  },
  'ws, refused': async ({ site, headers, log }) => {
    const { WebSocket } = await load('ws');
    const socket = new WebSocket(`${site.http.replace('http', 'ws')}/no-upgrade`, {
      headers: { ...headers(), upgrade: 'echo' },
    });
    await new Promise((resolve) => {
      socket.on('error', (error) => log('error', error.message));
      socket.on('close', (code) => resolve(log('close', code)));
    });
  },
};
const OWN_BAD = new Set(['axios, a signal', 'got, cancel', 'ws, refused']);

function scenario(library, run) {
  return async (context) => {
    const send = await libraries[library](context);
    const ask = (page, { headers, ...rest } = {}, origin = context.site.http) =>
      send(`${origin}${page}`, { ...rest, headers: context.headers(headers) });
    try {
      await run(ask, context);
    } catch (error) {
      context.log(
        'throws',
        context.describe(error),
        error.response?.status ?? error.response?.statusCode ?? '-',
      );
    }
  };
}

const entries = [
  ...Object.keys(libraries).flatMap((library) => [
    ...Object.entries(good).map(([name, run]) => [
      `${library}, ${name}`,
      { run: scenario(library, run), isGood: true },
    ]),
    ...Object.entries(bad).map(([name, run]) => [
      `${library}, ${name}`,
      { run: scenario(library, run), isGood: false },
    ]),
  ]),
  ...Object.entries(own).map(([name, run]) => [name, { run, isGood: !OWN_BAD.has(name) }]),
];

export const scenarios = Object.fromEntries(entries.filter(([name]) => !HANGS.has(name)));
