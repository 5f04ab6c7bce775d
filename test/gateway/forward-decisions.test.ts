/** What happens to an answer while its verdict takes its time, and to requests that cannot be sent. */
import { once } from 'node:events';
import http from 'node:http';
import https from 'node:https';
import net from 'node:net';
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { describe, expect, it, onTestFinished, vi } from 'vitest';
import WebSocket from 'ws';
import { KeymuxError } from '#keymux/core/errors.js';
import { networkCodeOf, ownFault } from '#keymux/gateway/forward-failure.js';
import { ok, refuse, stream } from '#keymux/testing/script.js';
import { createCertificate } from '#keymux/testing/self-signed-certificate.js';
import { CHAT, chat, forwarded, until } from './forwarded.js';
import type { Forwarded } from './forwarded.js';

const WAITS = { retry: { maxWaitMs: 10_000, deadlineMs: 20_000 } };

async function behind(
  answer: (request: IncomingMessage, response: ServerResponse, number: number) => void,
  provider: object = {},
): Promise<Forwarded & { readonly asked: () => number }> {
  let count = 0;
  const server = http.createServer((request, response) => {
    count += 1;
    answer(request, response, count);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  onTestFinished(() => {
    server.closeAllConnections();
    server.close();
  });
  const baseUrl = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const gateway = await forwarded({
    providers: { acme: { keys: { 'key-one': {} }, provider: { baseUrl, ...provider } } },
  });
  return { ...gateway, asked: () => count };
}

/** A refusal that goes on for longer than anybody reads it. */
function refuseAtLength(response: ServerResponse): void {
  response.writeHead(429, { 'retry-after': '1', 'content-type': 'text/plain' });
  const more = (): void => {
    if (!response.destroyed && response.write('x'.repeat(10_000))) setImmediate(more);
    else response.once('drain', more);
  };
  more();
}

describe('while the next key is waited for', () => {
  it('the rest of the refusal is neither awaited nor kept', async () => {
    const { url, asked, manager } = await behind((request, response, number) => {
      request.resume();
      if (number === 1) refuseAtLength(response);
      else response.end('ok');
    }, WAITS);
    const response = await fetch(`${url}/acme/x`, chat());
    expect(response.status).toBe(200);
    expect(await response.text()).toBe('ok');
    expect(asked()).toBe(2);
    expect(manager.inspect().keys[0]?.inFlight).toBe(0);
  });

  it('a caller that goes ends it', async () => {
    const { url, asked, forwarding, manager } = await behind((request, response) => {
      request.resume();
      refuseAtLength(response);
    }, WAITS);
    const caller = new AbortController();
    const answer = fetch(`${url}/acme/x`, { ...chat(), signal: caller.signal });
    await until(() => asked() === 1 && manager.inspect().keys[0]?.state === 'resting');
    caller.abort();
    await expect(answer).rejects.toThrow();
    await until(() => forwarding.size === 0 && manager.inspect().keys[0]?.inFlight === 0);
    expect(asked()).toBe(1);
  });

  it('a caller that goes before a WebSocket was tried begins nothing', async () => {
    // Shorter than what is waited for at most, so that the WebSocket does wait.
    const limits = [{ requests: 1, perMs: 30_000 }];
    const { url, forwarding, manager, seen } = await forwarded({
      providers: {
        acme: {
          keys: { 'key-one': {} },
          provider: { limits, retry: { maxWaitMs: 60_000, deadlineMs: 90_000 } },
        },
      },
    });
    expect((await fetch(url + CHAT, chat())).status).toBe(200);
    const socket = new WebSocket(`${url.replace('http', 'ws')}/acme/feed`);
    socket.on('error', () => {});
    await until(() => forwarding.size === 1);
    socket.terminate();
    await until(() => forwarding.size === 0);
    expect(seen('acme')).toHaveLength(1);
    expect(manager.inspect().keys[0]?.inFlight).toBe(0);
  });
});

describe('a request whose next key has to be waited for', () => {
  const slowly = { limits: [{ requests: 1, perMs: 200 }], ...WAITS };

  it('goes on with it, though the refused answer ended long before', async () => {
    const { url, asked, ended } = await behind((request, response, number) => {
      request.resume();
      response.writeHead(number === 1 ? 500 : 200).end(`answer ${number}`);
    }, slowly);
    const response = await fetch(`${url}/acme/x`);
    expect(await response.text()).toBe('answer 2');
    expect(asked()).toBe(2);
    expect(ended).toMatchObject([{ end: 'answered', attempts: 2 }]);
  });

  it('goes on with it, though the refused answer broke off meanwhile', async () => {
    const { url, manager } = await behind((request, response, number) => {
      request.resume();
      response.writeHead(number === 1 ? 500 : 200, { 'content-length': '8' });
      if (number === 1) response.write('half', () => response.destroy());
      else response.end('answer 2');
    }, slowly);
    expect(await (await fetch(`${url}/acme/x`)).text()).toBe('answer 2');
    expect(manager.inspect().keys[0]?.inFlight).toBe(0);
  });
});

describe('an answer that is announced', () => {
  it('is the one that follows', async () => {
    const { url } = await behind((request, response) => {
      request.resume();
      response.writeProcessing();
      response.writeEarlyHints({ link: '</x>; rel=preload' });
      response.end('the answer');
    });
    const response = await fetch(`${url}/acme/x`, chat());
    expect([response.status, await response.text()]).toEqual([200, 'the answer']);
  });
});

describe('an answer that is to be whole', () => {
  const complete = (more: object = {}): object => ({
    stream: { commit: 'complete', endMark: 'DONE', ...more },
  });

  it('and is not, nor may be asked for again, is told as one error', async () => {
    const { url, asked } = await behind((request, response) => {
      request.resume();
      response.writeHead(200, { 'content-type': 'text/event-stream' }).end('data: 1\n\n');
    }, complete());
    const response = await fetch(`${url}/acme/x`, chat());
    expect(response.status).toBe(502);
    expect(await response.text()).toContain('KEYMUX_ANSWER_INCOMPLETE');
    expect(asked()).toBe(1);
  });

  it('and is too long for that is told as one error', async () => {
    const { url } = await behind(
      (request, response) => {
        request.resume();
        response.writeHead(200, { 'content-type': 'text/event-stream' }).end('data: 1\n\n'.repeat(1_000));
      },
      complete({ maxBytes: 1_024 }),
    );
    const response = await fetch(`${url}/acme/x`, chat());
    expect(response.status).toBe(502);
    expect(await response.text()).toContain('longer than the 1024 bytes');
  });
});

describe('the end of a stream', () => {
  it.each([
    ['that tells of an error itself is handed on', 'data: {"error":{"message":"overloaded"}}\n\n', true],
    ['without its mark is none, whatever encoding is named', '', false],
  ])('%s', async (_, last, isWhole) => {
    const { url } = await behind(
      (request, response) => {
        request.resume();
        response.writeHead(200, {
          'content-type': 'text/event-stream',
          ...(last === '' ? { 'content-encoding': 'identity' } : {}),
        });
        response.write('data: {"choices":[]}\n\n');
        setTimeout(() => response.end(last), 20);
      },
      { stream: { endMark: 'data: DONE' } },
    );
    const text = fetch(`${url}/acme/x`, chat()).then((response) => response.text());
    if (isWhole) expect(await text).toContain('overloaded');
    else await expect(text).rejects.toThrow();
  });

  it('is found behind many events, and not looked for in one that is too long', async () => {
    const many = Array.from({ length: 50 }, (_, index) => `data: {"n":${index}}\n\n`);
    for (const [maxBytes, end] of [
      [1_000_000, 'data: DONE\n\n'],
      [10, 'data: no end\n\n'],
    ] as const) {
      const { url } = await behind(
        (request, response) => {
          request.resume();
          response.writeHead(200, { 'content-type': 'text/event-stream' });
          const events = [...many, end];
          const next = (): void => {
            const event = events.shift();
            if (event === undefined) response.end();
            else response.write(event, () => setImmediate(next));
          };
          next();
        },
        { stream: { endMark: 'data: DONE', maxBytes } },
      );
      expect(await (await fetch(`${url}/acme/x`, chat())).text()).toBe(many.join('') + end);
    }
  });
});

describe('a request that cannot be sent', () => {
  it('is told so, and no key suffers', async () => {
    const { manager, forwarding } = await forwarded({ providers: { acme: { keys: { 'key-one': {} } } } });
    const server = http.createServer((request, response) =>
      forwarding.forward(request, response, {
        kind: 'forward',
        name: 'acme',
        pool: manager.poolOf('acme'),
        path: '/a b?%zz=1',
      }),
    );
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    onTestFinished(() => void server.close());
    const response = await fetch(`http://127.0.0.1:${(server.address() as AddressInfo).port}/`);
    expect(response.status).toBe(400);
    expect(await response.text()).toContain('KEYMUX_USAGE');
    expect(manager.inspect().keys[0]).toMatchObject({ inFlight: 0, failures: 0 });
  });

  it('since its caller went before a connection stood never comes to the provider', async () => {
    vi.stubEnv('NODE_TLS_REJECT_UNAUTHORIZED', '0');
    onTestFinished(() => void vi.unstubAllEnvs());
    const paths: (string | undefined)[] = [];
    const provider = https.createServer(createCertificate(), (request, response) => {
      paths.push(request.url);
      response.end('ok');
    });
    await listening(provider);
    // Lets no byte of a handshake through until it is told to.
    const waiting: (() => void)[] = [];
    let isOpen = false;
    const gate = net.createServer((socket) => {
      const pass = (): void => {
        const { port } = provider.address() as AddressInfo;
        const upstream = net.connect(port, '127.0.0.1').on('error', () => socket.destroy());
        socket
          .on('error', () => upstream.destroy())
          .pipe(upstream)
          .pipe(socket);
      };
      if (isOpen) pass();
      else waiting.push(pass);
    });
    await listening(gate);
    const baseUrl = `https://127.0.0.1:${(gate.address() as AddressInfo).port}`;
    const { url, forwarding, manager, ended } = await forwarded({
      providers: { acme: { keys: { 'key-one': {} }, provider: { baseUrl } } },
    });
    const caller = new AbortController();
    const gone = fetch(`${url}/acme/gone`, { signal: caller.signal });
    await until(() => waiting.length === 1);
    caller.abort();
    await expect(gone).rejects.toThrow();
    await until(() => forwarding.size === 0);
    expect(ended).toMatchObject([{ end: 'aborted' }]);
    expect(manager.inspect().keys[0]?.inFlight).toBe(0);

    isOpen = true;
    waiting.forEach((pass) => pass());
    expect(await (await fetch(`${url}/acme/there`)).text()).toBe('ok');
    expect(paths).toEqual(['/there']);
  });

  it('for our own reasons is no trouble of the provider', () => {
    const own = new KeymuxError('KEYMUX_CLOSED', 'It is over.', { fix: 'Begin anew.' });
    expect(networkCodeOf(own)).toBeUndefined();
    expect(ownFault('acme', own)).toMatchObject({ status: 503 });
    expect(ownFault('acme', new TypeError('secret'))).toMatchObject({ status: 503 });
    expect(ownFault('acme', new TypeError('secret')).body).not.toContain('secret');
    expect(ownFault('acme', 'secret').body).not.toContain('secret');
    expect(networkCodeOf('no error')).toBeUndefined();
    expect(networkCodeOf(Object.assign(new Error('x'), { code: 'ECONNRESET' }))).toBe('ECONNRESET');
  });
});

describe('a query in which a token may stand', () => {
  it('keeps what is no text at all', async () => {
    const { url, simulator } = await forwarded({
      providers: {
        acme: {
          keys: { 'key-one': { always: ok() } },
          simulator: { auth: { in: 'query', name: 'key' } },
          provider: { auth: { in: 'query', name: 'key' } },
        },
      },
    });
    await fetch(`${url}/acme/x?%zz=1&k+ey=2`);
    await fetch(`${url}/acme/x?key=token`);
    const paths = simulator('acme').requests.map(({ path }) => path.replace(/key=[^2&]+$/, 'key='));
    expect(paths).toEqual(['/x?%zz=1&k+ey=2&key=', '/x?key=']);
  });
});

describe('a refused WebSocket', () => {
  it('whose refusal has no end is told as one error', async () => {
    const { url } = await behind((_, response) => {
      response.writeHead(400, { 'content-type': 'text/plain' });
      const more = (): void => {
        if (!response.destroyed && response.write(Buffer.alloc(65_536))) setImmediate(more);
        else response.once('drain', more);
      };
      more();
    });
    const socket = new WebSocket(`${url.replace('http', 'ws')}/acme/feed`);
    socket.on('error', () => {});
    const [, message] = (await once(socket, 'unexpected-response')) as [unknown, IncomingMessage];
    expect(message.statusCode).toBe(502);
    message.resume();
  });

  it('by a service that is out is told in the words of a provider', async () => {
    const { url } = await forwarded({
      providers: { acme: { keys: { 'key-one': { always: refuse(401) } } } },
    });
    expect((await fetch(url + CHAT, chat())).status).toBe(401);
    const socket = new WebSocket(`${url.replace('http', 'ws')}/llm/feed`);
    socket.on('error', () => {});
    const [, message] = (await once(socket, 'unexpected-response')) as [unknown, IncomingMessage];
    expect(message.statusCode).toBe(401);
    message.resume();
  });
});

describe('an answer under way', () => {
  it('is cut where the body of its request turns out too long', async () => {
    const { url, forwarding } = await forwarded({
      providers: { acme: { keys: { 'key-one': { always: stream({ early: true, ends: 'stalled' }) } } } },
      limits: { maxBodyBytes: 100_000 },
    });
    const request = http.request(`${url}/acme/x`, { method: 'POST', agent: false });
    request.on('error', () => {});
    request.write('x');
    const [answer] = (await once(request, 'response')) as [IncomingMessage];
    answer.on('error', () => {});
    request.write(Buffer.alloc(200_000));
    await new Promise((resolve) => answer.resume().on('close', resolve));
    expect(answer.complete).toBe(false);
    await until(() => forwarding.size === 0);
  });
});

async function listening(server: net.Server): Promise<void> {
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  onTestFinished(() => {
    if (server instanceof https.Server) server.closeAllConnections();
    server.close();
  });
}
