/** What node:http and node:https promise. `isGood`: every answer is one that keymux has nothing to do about. */
import { once } from 'node:events';
import http from 'node:http';
import https from 'node:https';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';

/** Notes each event of the request, also those that nobody listens to. */
function record(request, log) {
  const { emit } = request;
  request.emit = function (event, ...args) {
    const details = {
      socket: () => [request.reusedSocket],
      response: ([answer]) => [
        answer.statusCode,
        answer.statusMessage,
        request.reusedSocket,
        request.writableEnded,
      ],
      error: ([error]) => [error.code, error.message, request.destroyed],
      information: ([{ statusCode }]) => [statusCode],
      close: () => [request.destroyed, request.closed, request.errored?.code],
      upgrade: ([answer]) => [answer.statusCode],
      connect: ([answer]) => [answer.statusCode],
      finish: () => [request.writableFinished, request.headersSent],
    }[event];
    log('request', String(event), ...(details?.(args) ?? []));
    return emit.call(this, event, ...args);
  };
  return request;
}

function recordAnswer(answer, log) {
  for (const event of ['end', 'close', 'aborted', 'error']) {
    answer.on(event, (error) =>
      log('answer', event, answer.complete, answer.destroyed, answer.readableEnded, error?.code ?? '-'),
    );
  }
}

function head({ statusCode, statusMessage, headers, rawHeaders, httpVersion }) {
  return [
    statusCode,
    statusMessage,
    httpVersion,
    { ...headers },
    rawHeaders.filter((_, index) => index % 2 === 0),
  ];
}

/** Sends, notes all that happens, and resolves when the request is over. */
function run(request, { log }, { body, read = true, after } = {}) {
  record(request, log);
  return new Promise((resolve) => {
    request.on('response', (answer) => {
      log('head', ...head(answer));
      recordAnswer(answer, log);
      if (read) {
        let text = '';
        answer.setEncoding('utf8');
        answer.on('data', (chunk) => (text += chunk));
        answer.on('end', () => log('body', text.length > 500 ? text.length : text, { ...answer.trailers }));
        answer.on('error', () => {});
      }
      after?.(answer);
    });
    request.on('error', () => {});
    request.on('close', resolve);
    if (typeof body === 'function') body(request);
    else request.end(body);
  });
}

function busy(agent) {
  const count = (lists) => Object.values(lists).reduce((sum, list) => sum + list.length, 0);
  return [count(agent.sockets), count(agent.freeSockets), count(agent.requests)];
}

/** A request with the key to a page of the site. */
function send(context, page, options = {}) {
  return http.request(`${context.site.http}${page}`, {
    ...options,
    headers: context.headers(options.headers),
  });
}

const good = {
  get: (context) => run(send(context, '/echo?a=1'), context),
  'get with a callback': (context) =>
    new Promise((resolve) => {
      http.get(`${context.site.http}/echo`, { headers: context.headers() }, (answer) => {
        context.log(answer.statusCode);
        answer.resume().on('end', resolve);
      });
    }),
  'post, text': (context) => run(send(context, '/echo', { method: 'POST' }), context, { body: 'hello' }),
  'post, stated length': (context) =>
    run(send(context, '/echo', { method: 'PUT', headers: { 'content-length': 5 } }), context, {
      body: 'hello',
    }),
  'post, pieces': (context) =>
    run(send(context, '/echo', { method: 'POST' }), context, {
      body: async (request) => {
        for (const piece of ['one', 'two', 'three']) {
          request.write(piece, () => context.log('written'));
          await new Promise((resolve) => setTimeout(resolve, 5));
        }
        request.end(() => context.log('ended'));
      },
    }),
  'post, a stream': (context) =>
    run(send(context, '/echo', { method: 'POST' }), context, {
      body: (request) => void pipeline(Readable.from(['a', 'b', 'c']), request),
    }),
  'post, trailers': (context) =>
    run(send(context, '/echo', { method: 'POST', headers: { trailer: 'x-sum' } }), context, {
      body: (request) => {
        request.write('body');
        request.addTrailers({ 'x-sum': '4' });
        request.end();
      },
    }),
  'post, drain': (context) =>
    run(send(context, '/echo', { method: 'POST' }), context, {
      body: (request) => {
        const isFull = !request.write(Buffer.alloc(300_000));
        context.log('full', isFull, request.writableNeedDrain);
        request.once('drain', () => request.end());
      },
    }),
  'flushed headers': (context) =>
    run(send(context, '/echo', { method: 'POST' }), context, {
      body: (request) => {
        request.flushHeaders();
        setTimeout(() => request.end('late'), 10);
      },
    }),
  'headers set later': (context) =>
    run(send(context, '/echo'), context, {
      body: (request) => {
        request.setHeader('x-note', 'late');
        context.log(request.getHeader('x-note'), request.hasHeader('x-gone'), request.getHeaderNames());
        request.end();
        context.log(request.headersSent, request.path, request.method, request.host, request.protocol);
      },
    }),
  'headers as a list': ({ site, key, ...context }) =>
    run(
      http.request(`${site.http}/echo`, {
        headers: ['Host', new URL(site.http).host, 'X-Api-Key', key, 'X-Note', 'list'],
      }),
      context,
    ),
  'options alone': (context) => {
    const { hostname, port } = new URL(context.site.http);
    return run(http.request({ hostname, port, path: '/echo', headers: context.headers() }), context);
  },
  'a URL object': (context) =>
    run(http.request(new URL('/echo', context.site.http), { headers: context.headers() }), context),
  streamed: (context) => run(send(context, '/stream'), context),
  'large, read slowly': (context) =>
    run(send(context, '/large'), context, {
      read: false,
      after: async (answer) => {
        let bytes = 0;
        for await (const chunk of answer) {
          bytes += chunk.length;
          await new Promise(setImmediate);
        }
        context.log('bytes', bytes);
      },
    }),
  trailers: (context) => run(send(context, '/trailers'), context),
  'early hints': (context) => run(send(context, '/hints'), context),
  gzip: (context) => run(send(context, '/cookies'), context),
  head: (context) => run(send(context, '/large', { method: 'HEAD' }), context),
  'no content': (context) => run(send(context, '/empty'), context),
  'not modified': (context) => run(send(context, '/unchanged'), context),
  'not found': (context) => run(send(context, '/missing'), context),
  'a redirect': (context) => run(send(context, '/moved'), context),
  'an answer that nobody reads': async (context) => {
    const request = record(
      http.get(`${context.site.http}/echo`, { headers: context.headers() }),
      context.log,
    );
    await once(request, 'close');
  },
  'answered before the body ends': (context) =>
    run(send(context, '/early', { method: 'POST' }), context, {
      body: (request) => {
        request.write('beginning');
        request.once('response', () => request.end('end'));
      },
    }),
  'expect continue': (context) =>
    run(send(context, '/echo', { method: 'POST', headers: { expect: '100-continue' } }), context, {
      body: (request) => {
        request.flushHeaders();
        request.once('continue', () => request.end('allowed'));
      },
    }),
  upgrade: (context) => {
    const request = send(context, '/upgrade', { headers: { connection: 'upgrade', upgrade: 'echo' } });
    record(request, context.log);
    return new Promise((resolve) => {
      request.on('upgrade', (answer, socket, first) => {
        let text = first.toString();
        context.log('upgraded', answer.headers.upgrade, request.reusedSocket);
        socket.on('data', (chunk) => (text += chunk));
        socket.on('end', () => context.log('text', text));
        socket.on('close', resolve);
        socket.write('ping');
      });
      request.end();
    });
  },
  connect: (context) => {
    const request = record(send(context, '', { method: 'CONNECT', path: 'echo:1' }), context.log);
    return new Promise((resolve) => {
      request.on('connect', (answer, socket) => {
        context.log('tunnel', answer.statusCode);
        socket.on('data', (chunk) => context.log('data', chunk.toString()));
        socket.on('close', resolve);
        socket.write('ping');
      });
      request.end();
    });
  },
  'keep-alive': async (context) => {
    const agent = new http.Agent({ keepAlive: true });
    for (let time = 0; time < 3; time += 1) {
      await run(send(context, '/echo', { agent }), context);
      await new Promise(setImmediate);
      context.log(busy(agent));
    }
    agent.destroy();
  },
  'one connection for all': async (context) => {
    const agent = new http.Agent({ keepAlive: true, maxSockets: 1 });
    const all = Array.from({ length: 4 }, (_, index) =>
      run(send(context, `/echo?n=${index}`, { agent }), { log: () => {} }),
    );
    context.log(busy(agent));
    await Promise.all(all);
    await new Promise(setImmediate);
    context.log(busy(agent));
    agent.destroy();
  },
  'no agent': (context) => run(send(context, '/echo', { agent: false }), context),
  'an agent that closes': async (context) => {
    const agent = new http.Agent({ keepAlive: false });
    await run(send(context, '/echo', { agent }), context);
    context.log(busy(agent));
  },
  'a connection of its own': async (context) => {
    const { connect } = await import('node:net');
    const { hostname, port } = new URL(context.site.http);
    await run(send(context, '/echo', { createConnection: () => connect(Number(port), hostname) }), context);
  },
  https: (context) =>
    run(https.request(`${context.site.https}/echo`, { headers: context.headers() }), context),
  'https, keep-alive': async (context) => {
    const agent = new https.Agent({ keepAlive: true });
    for (let time = 0; time < 2; time += 1)
      await run(https.request(`${context.site.https}/echo`, { agent, headers: context.headers() }), context);
    agent.destroy();
  },
  'a signal that stays quiet': (context) =>
    run(send(context, '/echo', { signal: new AbortController().signal }), context),
  'a time-out that does not come': (context) => run(send(context, '/echo', { timeout: 5_000 }), context),
  'setTimeout while idle': (context) =>
    run(send(context, '/stream'), context, {
      body: (request) => {
        request.setTimeout(5_000, () => context.log('idle'));
        request.end();
      },
    }),
};

const bad = {
  'a refused connection': (context) =>
    run(http.request(context.site.refused, { headers: context.headers() }), context),
  'an unknown host': (context) =>
    run(http.request('http://nowhere.invalid/', { headers: context.headers() }), context),
  'reset before the head': (context) => run(send(context, '/reset-before'), context),
  'reset within the body': (context) => run(send(context, '/reset-after'), context),
  'cut within the body': (context) => run(send(context, '/cut'), context),
  'no protocol': (context) => run(send(context, '/garbage'), context),
  'a bad chunk': (context) => run(send(context, '/bad-chunk'), context),
  'a head too big': (context) => run(send(context, '/big-head'), context),
  'an untrusted certificate': (context) =>
    run(
      https.request(`${context.site.https}/echo`, {
        agent: new https.Agent({ ca: [] }),
        headers: context.headers(),
      }),
      context,
    ),
  'no TLS there': (context) =>
    run(https.request(context.site.http.replace('http', 'https'), { headers: context.headers() }), context),
  'refused to continue': (context) =>
    run(send(context, '/no-continue', { method: 'POST', headers: { expect: '100-continue' } }), context, {
      body: (request) => {
        request.flushHeaders();
        request.once('response', () => request.end());
      },
    }),
  'a refused upgrade': (context) =>
    run(send(context, '/no-upgrade', { headers: { connection: 'upgrade', upgrade: 'echo' } }), context),
  'an upgrade that nobody waits for': (context) =>
    run(send(context, '/upgrade', { headers: { connection: 'upgrade', upgrade: 'echo' } }), context),
  'a refused tunnel': (context) =>
    run(send(context, '', { method: 'CONNECT', path: 'nowhere:1' }), context, {
      body: (request) => {
        request.on('connect', (answer, socket) => {
          context.log('no tunnel', answer.statusCode);
          socket.destroy();
        });
        request.end();
      },
    }),
  'destroyed before it is sent': (context) =>
    run(send(context, '/echo'), context, { body: (request) => void request.destroy() }),
  'destroyed at once': (context) =>
    run(send(context, '/silent'), context, {
      body: (request) => {
        request.end();
        request.destroy(new Error('changed my mind'));
      },
    }),
  'destroyed while it waits': (context) =>
    run(send(context, '/silent'), context, {
      body: (request) => {
        request.end();
        request.once('finish', () => setTimeout(() => request.destroy(), 10));
      },
    }),
  'destroyed within the body': (context) =>
    run(send(context, '/stalled'), context, {
      after: (answer) => answer.once('data', () => answer.destroy()),
    }),
  'request destroyed within the body': (context) => {
    const request = send(context, '/stalled');
    return run(request, context, { after: (answer) => answer.once('data', () => request.destroy()) });
  },
  'aborted by the old name': (context) =>
    run(send(context, '/silent'), context, {
      body: (request) => {
        request.end();
        request.once('finish', () => setTimeout(() => request.abort(), 10));
      },
    }),
  'a signal that was raised': (context) =>
    run(send(context, '/echo', { signal: AbortSignal.abort() }), context, {
      body: (request) => request.end(),
    }),
  'a signal while it waits': (context) => {
    const controller = new AbortController();
    return run(send(context, '/silent', { signal: controller.signal }), context, {
      body: (request) => {
        request.end();
        request.once('finish', () => setTimeout(() => controller.abort(), 10));
      },
    });
  },
  'a signal with a time-out': (context) =>
    run(send(context, '/silent', { signal: AbortSignal.timeout(40) }), context),
  'a signal within the body': (context) => {
    const controller = new AbortController();
    return run(send(context, '/stalled', { signal: controller.signal }), context, {
      after: (answer) => answer.once('data', () => controller.abort()),
    });
  },
  'setTimeout while it waits': (context) =>
    run(send(context, '/silent'), context, {
      body: (request) => {
        request.setTimeout(40, () => request.destroy());
        request.end();
      },
    }),
  'the timeout option': (context) => {
    const request = send(context, '/silent', { timeout: 40 });
    request.on('timeout', () => request.destroy(new Error('too late')));
    return run(request, context);
  },
  'a socket error among many': async (context) => {
    const agent = new http.Agent({ keepAlive: true, maxSockets: 1 });
    await Promise.all(
      ['/echo', '/reset-before', '/echo'].map((page) =>
        run(send(context, page, { agent }), { log: () => {} }),
      ),
    );
    await new Promise(setImmediate);
    context.log(busy(agent));
    await run(send(context, '/echo', { agent }), context);
    agent.destroy();
  },
  'writing after the end': (context) =>
    run(send(context, '/echo', { method: 'POST' }), context, {
      body: (request) => {
        request.end('all');
        request.write('more', (error) => context.log('more', error?.code));
      },
    }),
  'too little of a stated length': (context) =>
    run(send(context, '/echo', { method: 'POST', headers: { 'content-length': 10 } }), context, {
      body: (request) => {
        request.end('short');
        setTimeout(() => request.destroy(), 30);
      },
    }),
  'options that make no sense': async ({ log, describe, site }) => {
    for (const make of [
      () => http.request('nonsense'),
      () => http.request(site.https),
      () => http.request(`${site.http}/a b`),
      () => http.request(site.http, { method: 'NO SUCH' }),
      () => http.request(site.http, { headers: { 'bad name': '1' } }),
      () => http.request(site.http, { headers: { bad: '\n' } }),
      () => http.request(site.http, { agent: 'none' }),
    ]) {
      try {
        make()
          .on('error', () => {})
          .destroy();
        log('made');
      } catch (error) {
        log(describe(error));
      }
    }
  },
  'the shape of the module': async ({ log }) => {
    for (const [name, module] of Object.entries({ http, https })) {
      log(name, Object.keys(module));
      for (const made of ['request', 'get'])
        log(module[made].name, module[made].length, Object.getOwnPropertyDescriptor(module, made).enumerable);
    }
    const members = Object.getOwnPropertyNames(http.ClientRequest.prototype);
    log(members.filter((name) => !name.startsWith('_')).sort());
  },
};

export const scenarios = Object.fromEntries([
  ...Object.entries(good).map(([name, scenario]) => [name, { run: scenario, isGood: true }]),
  ...Object.entries(bad).map(([name, scenario]) => [name, { run: scenario, isGood: false }]),
]);
