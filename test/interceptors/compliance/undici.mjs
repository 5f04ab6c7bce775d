/** What the built-in fetch and every undici promise. `isGood`: every answer is one that keymux has nothing to do about. */
import { createRequire } from 'node:module';
import { once } from 'node:events';
import { PassThrough, Readable, Writable } from 'node:stream';
import { pipeline } from 'node:stream/promises';

const clients = createRequire(new URL('../../clients/package.json', import.meta.url));
const major = Number(process.versions.node.split('.')[0]);
// undici 8 needs Node 22.
const versions = ['undici5', 'undici6', 'undici7', 'undici8'].slice(0, major >= 22 ? 4 : 3);

function headersOf(headers) {
  const { 'keep-alive': _, ...rest } =
    typeof headers.entries === 'function' ? Object.fromEntries(headers) : headers;
  return rest;
}

async function logResponse({ log }, response) {
  const { status, statusText, type, redirected, ok, url, headers, bodyUsed } = response;
  log('response', status, statusText, type, redirected, ok, url, bodyUsed, headersOf(headers));
  const text = await response.text();
  log('body', text.length > 500 ? text.length : text, response.bodyUsed);
}

/** The same for the built-in fetch and for those of undici. */
function fetchScenarios(fetchOf) {
  const get = async (context, page, init = {}) => {
    const { fetch } = await fetchOf();
    return fetch(`${context.site.http}${page}`, { ...init, headers: context.headers(init.headers) });
  };
  const good = {
    get: async (context) => logResponse(context, await get(context, '/echo?a=1')),
    'a Request': async (context) => {
      const { fetch, Request } = await fetchOf();
      const request = new Request(`${context.site.http}/echo`, {
        method: 'POST',
        body: 'text',
        headers: context.headers(),
      });
      await logResponse(context, await fetch(request));
      context.log(request.bodyUsed);
    },
    Headers: async (context) => {
      const { Headers } = await fetchOf();
      await logResponse(
        context,
        await get(context, '/echo', { headers: Object.fromEntries(new Headers({ 'X-Note': 'n' })) }),
      );
    },
    'post, text': async (context) =>
      logResponse(context, await get(context, '/echo', { method: 'POST', body: 'hello' })),
    'post, bytes': async (context) =>
      logResponse(context, await get(context, '/echo', { method: 'PUT', body: new Uint8Array(70_000) })),
    'post, form': async (context) =>
      logResponse(
        context,
        await get(context, '/echo', { method: 'POST', body: new URLSearchParams({ a: '1' }) }),
      ),
    'post, a stream': async (context) =>
      logResponse(
        context,
        await get(context, '/echo', {
          method: 'POST',
          duplex: 'half',
          body: new ReadableStream({
            async pull(controller) {
              controller.enqueue(Buffer.from('part'));
              controller.close();
            },
          }),
        }),
      ),
    streamed: async (context) => {
      const response = await get(context, '/stream');
      let text = '';
      for await (const chunk of response.body) {
        text += Buffer.from(chunk).toString();
      }
      context.log(text);
    },
    'a clone': async (context) => {
      const response = await get(context, '/stream');
      const [one, two] = await Promise.all([response.clone().text(), response.text()]);
      context.log(one === two, one);
    },
    large: async (context) => logResponse(context, await get(context, '/large')),
    gzip: async (context) => logResponse(context, await get(context, '/gzip')),
    cookies: async (context) => {
      const { headers } = await get(context, '/cookies');
      context.log(headers.getSetCookie?.());
    },
    head: async (context) => logResponse(context, await get(context, '/large', { method: 'HEAD' })),
    'no content': async (context) => logResponse(context, await get(context, '/empty')),
    'not modified': async (context) => logResponse(context, await get(context, '/unchanged')),
    'not found': async (context) => logResponse(context, await get(context, '/missing')),
    'early hints': async (context) => logResponse(context, await get(context, '/hints')),
    trailers: async (context) => logResponse(context, await get(context, '/trailers')),
    'a redirect': async (context) =>
      logResponse(context, await get(context, '/moved', { method: 'POST', body: 'x' })),
    'a redirect with its body': async (context) =>
      logResponse(context, await get(context, '/moved-for-good', { method: 'POST', body: 'x' })),
    'a redirect by hand': async (context) =>
      logResponse(context, await get(context, '/moved', { redirect: 'manual' })),
    'a body that is cancelled': async (context) => {
      const response = await get(context, '/stream');
      await response.body.cancel();
      context.log(response.bodyUsed);
      await logResponse(context, await get(context, '/echo'));
    },
    'one after the other': async (context) => {
      for (let time = 0; time < 3; time += 1) await logResponse(context, await get(context, '/echo'));
    },
    'many at once': async (context) => {
      const all = await Promise.all(
        Array.from({ length: 8 }, (_, index) => get(context, `/echo?n=${index}`)),
      );
      context.log(await Promise.all(all.map(async (response) => (await response.json()).url)));
    },
  };
  const bad = {
    'a refused connection': async (context) =>
      (await fetchOf()).fetch(context.site.refused, { headers: context.headers() }),
    'reset before the head': (context) => get(context, '/reset-before', { method: 'POST', body: 'x' }),
    'reset within the body': async (context) => logResponse(context, await get(context, '/reset-after')),
    'cut within the body': async (context) => logResponse(context, await get(context, '/cut')),
    'no protocol': (context) => get(context, '/garbage', { method: 'POST', body: 'x' }),
    'a bad chunk': async (context) => logResponse(context, await get(context, '/bad-chunk')),
    'a head too big': (context) => get(context, '/big-head', { method: 'POST', body: 'x' }),
    'redirects not allowed': (context) => get(context, '/moved', { redirect: 'error' }),
    'no TLS there': async (context) =>
      (await fetchOf()).fetch(context.site.http.replace('http', 'https'), { headers: context.headers() }),
    'no such scheme': async () => (await fetchOf()).fetch('ftp://nowhere.invalid/'),
    'no URL': async () => (await fetchOf()).fetch('nonsense'),
    'a bad header': (context) => get(context, '/echo', { headers: { 'bad name': '1' } }),
    'a body with GET': (context) => get(context, '/echo', { body: 'x' }),
    'a body that fails': (context) =>
      get(context, '/echo', {
        method: 'POST',
        duplex: 'half',
        body: new ReadableStream({ pull: (controller) => controller.error(new Error('no more')) }),
      }),
    'aborted before': (context) => get(context, '/echo', { signal: AbortSignal.abort() }),
    'aborted with a reason': (context) =>
      get(context, '/echo', { signal: AbortSignal.abort(new RangeError('mine')) }),
    'aborted while it waits': (context) => {
      const controller = new AbortController();
      setTimeout(() => controller.abort(), 30);
      return get(context, '/silent', { signal: controller.signal });
    },
    'aborted within the body': async (context) => {
      const controller = new AbortController();
      const response = await get(context, '/stalled', { signal: controller.signal });
      setTimeout(() => controller.abort(), 10);
      await response.text();
    },
    'aborted after the end': async (context) => {
      const controller = new AbortController();
      await logResponse(context, await get(context, '/echo', { signal: controller.signal }));
      controller.abort();
    },
    'a signal with a time-out': (context) => get(context, '/silent', { signal: AbortSignal.timeout(40) }),
    'a signal with a time-out within the body': async (context) =>
      (await get(context, '/stalled', { signal: AbortSignal.timeout(60) })).text(),
    'the body a second time': async (context) => {
      const response = await get(context, '/echo');
      await response.text();
      await response.text();
    },
  };
  return { good, bad };
}

/** The API of its own that each undici has. */
function undiciScenarios(load) {
  const request = (context, page, options = {}) =>
    load().request(`${context.site.http}${page}`, { ...options, headers: context.headers(options.headers) });
  const logAnswer = async ({ log }, { statusCode, headers, trailers, body, opaque }) => {
    log('answer', statusCode, headersOf(headers), opaque ?? '-');
    log('body', (await body.text()).slice(0, 200), { ...trailers });
  };
  const withClient = async (context, options, use) => {
    const client = new (load().Client)(context.site.http, options);
    for (const event of ['connect', 'disconnect', 'connectionError', 'drain']) {
      client.on(event, (...args) => context.log('client', event, args.at(-1)?.code ?? '-'));
    }
    await use(client);
    await client.close();
  };
  /** By the old interface of handlers, which undici 8 has no more. */
  const handler = ({ log }, resolve) => ({
    onConnect: () => log('onConnect'),
    onHeaders: (status, _headers, _resume, text) => {
      log('onHeaders', status, text);
      return true;
    },
    onBodySent: (chunk) => log('onBodySent', chunk.length),
    onRequestSent: () => log('onRequestSent'),
    onResponseStarted: () => log('onResponseStarted'),
    onData: (chunk) => {
      log('onData', chunk.length);
      return true;
    },
    onComplete: (trailers) => {
      log('onComplete', trailers);
      resolve();
    },
    onError: (error) => {
      log('onError', error.code, error.message);
      resolve();
    },
  });
  /** By the new one, which undici 5 and 6 do not have. */
  const controlledHandler = ({ log }, resolve) => ({
    onRequestStart: (controller, details) =>
      log('onRequestStart', controller.paused, controller.aborted, details),
    onResponseStart: (_controller, status, _headers, text) => log('onResponseStart', status, text),
    onResponseData: (_controller, chunk) => log('onResponseData', chunk.length),
    onResponseEnd: (_controller, trailers) => {
      log('onResponseEnd', trailers);
      resolve();
    },
    onResponseError: (_controller, error) => {
      log('onResponseError', error.code, error.message);
      resolve();
    },
  });
  const dispatched = (context, client, options) =>
    new Promise((resolve) => {
      const make =
        load().Agent.prototype.constructor.name && isControlled(load()) ? controlledHandler : handler;
      context.log(client.dispatch({ ...options, headers: context.headers() }, make(context, resolve)));
    });
  const good = {
    request: async (context) => logAnswer(context, await request(context, '/echo', { query: { a: '1' } })),
    'request, callback': (context) =>
      new Promise((resolve, reject) => {
        const { Client } = load();
        const client = new Client(context.site.http);
        client.request({ path: '/echo', method: 'GET', headers: context.headers() }, (error, answer) => {
          if (error !== null) reject(error);
          else logAnswer(context, answer).then(() => client.close(resolve), reject);
        });
      }),
    'request, text': async (context) =>
      logAnswer(context, await request(context, '/echo', { method: 'POST', body: 'hi' })),
    'request, stream': async (context) =>
      logAnswer(
        context,
        await request(context, '/echo', { method: 'POST', body: Readable.from(['a', 'b']) }),
      ),
    'request, generator': async (context) =>
      logAnswer(
        context,
        await request(context, '/echo', {
          method: 'POST',
          body: (async function* () {
            yield 'a';
            yield 'b';
          })(),
        }),
      ),
    'request, trailers': async (context) => logAnswer(context, await request(context, '/trailers')),
    'request, informational': async (context) =>
      logAnswer(
        context,
        await request(context, '/hints', {
          onInfo: ({ statusCode, headers }) => context.log('info', statusCode, headers),
        }),
      ),
    'request, opaque': async (context) =>
      logAnswer(context, await request(context, '/echo', { opaque: { a: 1 } })),
    'request, raw headers': async (context) => {
      const { headers, body } = await request(context, '/echo', { responseHeaders: 'raw' });
      context.log(Array.isArray(headers), headers.filter((_, index) => index % 2 === 0).map(String));
      await body.text();
    },
    'request, a dump': async (context) => {
      const { body } = await request(context, '/echo');
      await body.dump();
      context.log(body.destroyed, body.bodyUsed);
    },
    stream: async (context) => {
      const chunks = [];
      await load().stream(
        `${context.site.http}/echo`,
        { method: 'GET', headers: context.headers(), opaque: chunks },
        ({ statusCode, opaque }) => {
          context.log('factory', statusCode);
          return new Writable({ write: (chunk, _, done) => (opaque.push(chunk), done()) });
        },
      );
      context.log(Buffer.concat(chunks).toString());
    },
    pipeline: async (context) => {
      let text = '';
      await pipeline(
        Readable.from(['in']),
        load().pipeline(
          `${context.site.http}/echo`,
          { method: 'POST', headers: context.headers() },
          ({ statusCode, body }) => {
            context.log('handler', statusCode);
            return body.pipe(new PassThrough());
          },
        ),
        new Writable({ write: (chunk, _, done) => ((text += chunk), done()) }),
      );
      context.log(text);
    },
    'the events of a client': (context) =>
      withClient(context, {}, async (client) => {
        for (let time = 0; time < 2; time += 1)
          await logAnswer(
            context,
            await client.request({ path: '/echo', method: 'GET', headers: context.headers() }),
          );
      }),
    'dispatch, get': (context) =>
      withClient(context, {}, (client) => dispatched(context, client, { path: '/echo', method: 'GET' })),
    'dispatch, post': (context) =>
      withClient(context, {}, (client) =>
        dispatched(context, client, { path: '/echo', method: 'POST', body: 'hello' }),
      ),
    'dispatch, head': (context) =>
      withClient(context, {}, (client) => dispatched(context, client, { path: '/large', method: 'HEAD' })),
    'a pool of one': async (context) => {
      const pool = new (load().Pool)(context.site.http, { connections: 1 });
      const urls = await Promise.all(
        Array.from({ length: 4 }, async (_, index) => {
          const answer = await pool.request({
            path: `/echo?n=${index}`,
            method: 'GET',
            headers: context.headers(),
          });
          return [answer.headers['x-connection'], (await answer.body.json()).url];
        }),
      );
      context.log(urls);
      await pool.close();
    },
    pipelined: (context) =>
      withClient(context, { pipelining: 3 }, async (client) => {
        const texts = await Promise.all(
          Array.from({ length: 4 }, async (_, index) => {
            const { body } = await client.request({
              path: `/echo?n=${index}`,
              method: 'GET',
              headers: context.headers(),
            });
            return (await body.json()).url;
          }),
        );
        context.log(texts);
      }),
    'an agent': async (context) => {
      const agent = new (load().Agent)();
      await logAnswer(context, await request(context, '/echo', { dispatcher: agent }));
      await agent.close();
      await request(context, '/echo', { dispatcher: agent }).catch((error) =>
        context.log(context.describe(error)),
      );
    },
    upgrade: (context) =>
      withClient(context, {}, async (client) => {
        const { headers, socket } = await client.upgrade({
          path: '/upgrade',
          protocol: 'echo',
          headers: context.headers(),
        });
        context.log(headers.upgrade);
        socket.write('ping');
        let text = '';
        for await (const chunk of socket) text += chunk;
        context.log(text);
      }),
    connect: (context) =>
      withClient(context, {}, async (client) => {
        const { statusCode, socket } = await client.connect({ path: 'echo:1', headers: context.headers() });
        socket.write('ping');
        const [chunk] = await once(socket, 'data');
        context.log(statusCode, chunk.toString());
        socket.destroy();
      }),
  };
  const bad = {
    'a refused connection': (context) => load().request(context.site.refused, { headers: context.headers() }),
    'reset before the head': (context) => request(context, '/reset-before', { method: 'POST' }),
    'reset within the body': async (context) => logAnswer(context, await request(context, '/reset-after')),
    'a bad chunk': async (context) => logAnswer(context, await request(context, '/bad-chunk')),
    'a head too big': (context) => request(context, '/big-head', { method: 'POST' }),
    'no head in time': (context) => request(context, '/silent', { method: 'POST', headersTimeout: 50 }),
    'no body in time': async (context) =>
      logAnswer(context, await request(context, '/stalled', { bodyTimeout: 50 })),
    'a signal while it waits': (context) => request(context, '/silent', { signal: AbortSignal.timeout(40) }),
    'an emitter as a signal': async (context) => {
      const { EventEmitter } = await import('node:events');
      const signal = new EventEmitter();
      setTimeout(() => signal.emit('abort'), 20);
      await request(context, '/silent', { signal });
    },
    'a body that is destroyed': async (context) => {
      const { body } = await request(context, '/stalled');
      body.on('error', (error) => context.log(context.describe(error)));
      body.destroy(new Error('enough'));
      await once(body, 'close');
    },
    'a client that is destroyed': (context) =>
      withClient(context, {}, async (client) => {
        const waiting = client.request({ path: '/silent', method: 'GET', headers: context.headers() });
        setTimeout(() => void client.destroy(new Error('away')), 20);
        await waiting.catch((error) => context.log(context.describe(error)));
      }).catch((error) => context.log(context.describe(error))),
    'a refused upgrade': (context) =>
      withClient(context, {}, (client) =>
        client.upgrade({ path: '/no-upgrade', protocol: 'echo', headers: context.headers() }),
      ),
    'dispatch, refused': (context) =>
      withClient(context, {}, (client) =>
        dispatched(context, client, { path: '/reset-before', method: 'POST' }),
      ),
    'options that make no sense': async (context) => {
      const { request: ask, Client } = load();
      for (const make of [
        () => ask('nonsense'),
        () => ask(context.site.http, { method: 'NO SUCH' }),
        () => ask(context.site.http, { headers: { 'bad name': '1' } }),
        () => ask(context.site.http, { headers: 'bad' }),
        () => ask(context.site.http, { path: 'no-slash' }),
        () => new Client(context.site.http).dispatch({}, {}),
        () => new Client(context.site.http).dispatch(null, null),
        () => new Client(context.site.http).dispatch({ path: '/', method: 'GET' }, {}),
      ]) {
        try {
          await make();
          context.log('made');
        } catch (error) {
          context.log(context.describe(error));
        }
      }
    },
  };
  return { good, bad };
}

/** Whether this undici knows the new interface of handlers. */
function isControlled(undici) {
  return typeof undici.interceptors?.decompress === 'function' || typeof undici.cacheStores === 'object';
}

const builtIn = {
  good: {
    ...fetchScenarios(async () => globalThis).good,
    'post, FormData': async (context) => {
      const body = new FormData();
      body.set('file', new Blob(['hello']), 'hello.txt');
      body.set('field', 'text');
      const response = await fetch(`${context.site.http}/echo`, {
        method: 'POST',
        body,
        headers: context.headers(),
      });
      const { headers, bytes } = await response.json();
      context.log(
        headers['content-type'].split(';')[0],
        bytes > 200,
        headers['content-length'] === String(bytes),
      );
    },
    https: async (context) =>
      logResponse(context, await fetch(`${context.site.https}/echo`, { headers: context.headers() })),
    // Node 20 has none, and a WebSocket has no header for a key.
  },
  bad: {
    ...fetchScenarios(async () => globalThis).bad,
    'the shape of the globals': async ({ log }) => {
      log(fetch.name, fetch.length, typeof Headers, typeof Response, typeof Request, typeof FormData);
      log(
        typeof globalThis.WebSocket,
        typeof globalThis.EventSource,
        Object.keys(globalThis).includes('fetch'),
      );
      log(globalThis.WebSocket?.name, globalThis.WebSocket?.CONNECTING);
    },
    ...(major < 22
      ? {}
      : {
          'a WebSocket': (context) =>
            new Promise((resolve) => {
              const socket = new WebSocket(`${context.site.http.replace('http', 'ws')}/feed`);
              for (const event of ['open', 'message', 'error', 'close'])
                socket.addEventListener(event, ({ data, code }) =>
                  context.log(event, data ?? '-', code ?? '-', socket.readyState),
                );
              socket.onopen = () => socket.send('ping');
              socket.onmessage = () => socket.close();
              socket.onclose = resolve;
            }),
        }),
  },
};

function entriesOf(prefix, { good, bad }) {
  return [
    ...Object.entries(good).map(([name, run]) => [`${prefix}, ${name}`, { run, isGood: true }]),
    ...Object.entries(bad).map(([name, run]) => [`${prefix}, ${name}`, { run, isGood: false }]),
  ];
}

export const scenarios = Object.fromEntries([
  ...entriesOf('fetch', builtIn),
  ...versions.flatMap((name) => [
    ...entriesOf(
      name,
      undiciScenarios(() => clients(name)),
    ),
    ...entriesOf(
      `${name} fetch`,
      fetchScenarios(async () => clients(name)),
    ),
  ]),
]);
