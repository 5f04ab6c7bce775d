import { once } from 'node:events';
import http from 'node:http';
import http2 from 'node:http2';
import type { AddressInfo, Server, Socket } from 'node:net';
import { createCertificate } from '#keymux/testing/self-signed-certificate.js';
import { Upstreams } from '#keymux/gateway/upstreams.js';
import type { Dispatcher } from 'undici';
import { describe, expect, it, onTestFinished, vi } from 'vitest';
import { until } from './forwarded.js';

interface Provider {
  readonly origin: string;
  /** Connections that stand. */
  readonly sockets: ReadonlySet<Socket>;
  readonly accepted: () => number;
}

type Answer = (response: { write(text: string): unknown; end(text?: string): unknown }) => void;

async function watched(server: Server, scheme: 'http' | 'https'): Promise<Provider> {
  const sockets = new Set<Socket>();
  let accepted = 0;
  server.on('connection', (socket: Socket) => {
    accepted += 1;
    sockets.add(socket);
    socket.on('close', () => sockets.delete(socket)).on('error', () => {});
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  onTestFinished(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  const { port } = server.address() as AddressInfo;
  return { origin: `${scheme}://127.0.0.1:${port}`, sockets, accepted: () => accepted };
}

/** Offers to keep a connection for two minutes. */
function overHttp1(answer: Answer): Promise<Provider> {
  const server = http.createServer({ keepAliveTimeout: 120_000 }, (_, response) => answer(response));
  return watched(server, 'http');
}

function overHttp2(answer: Answer): Promise<Provider> {
  vi.stubEnv('NODE_TLS_REJECT_UNAUTHORIZED', '0');
  onTestFinished(() => void vi.unstubAllEnvs());
  const server = http2.createSecureServer(createCertificate());
  server.on('stream', (stream: http2.ServerHttp2Stream) => {
    stream.on('error', () => {});
    stream.respond({ ':status': 200 });
    answer(stream);
  });
  return watched(server, 'https');
}

function upstreamsFor(lifeMs: number): Upstreams {
  const upstreams = new Upstreams({ connectMs: 10_000, lifeMs });
  onTestFinished(() => upstreams.close());
  return upstreams;
}

function ask(upstreams: Upstreams, { origin }: Provider): Promise<Dispatcher.ResponseData> {
  return upstreams.to(origin).request({ path: '/', method: 'GET' });
}

async function textOf(upstreams: Upstreams, provider: Provider): Promise<string> {
  return (await ask(upstreams, provider)).body.text();
}

describe.each([
  ['HTTP/1.1', overHttp1],
  ['HTTP/2', overHttp2],
] as const)('connections to a provider over %s', (_, provided) => {
  it('do not outstay a burst', async () => {
    const provider = await provided((response) => response.end('ok'));
    const upstreams = upstreamsFor(300);
    const answers = await Promise.all(Array.from({ length: 20 }, () => textOf(upstreams, provider)));
    expect(new Set(answers)).toEqual(new Set(['ok']));
    await until(() => provider.accepted() > 0 && provider.sockets.size === 0);
    // Whoever comes later gets a new one.
    expect(await textOf(upstreams, provider)).toBe('ok');
  });

  it('end after the answers that they carry', async () => {
    let finish = (): void => {};
    const provider = await provided((response) => {
      response.write('first ');
      finish = () => response.end('last');
    });
    const upstreams = upstreamsFor(50);
    const { body } = await ask(upstreams, provider);
    const old = upstreams.to(provider.origin);
    await until(() => upstreams.to(provider.origin) !== old);
    finish();
    expect(await body.text()).toBe('first last');
    await until(() => provider.sockets.size === 0);
  });

  it('are broken off on closing, also those whose time was over', async () => {
    const provider = await provided((response) => response.write('first '));
    const upstreams = upstreamsFor(50);
    const { body } = await ask(upstreams, provider);
    const old = upstreams.to(provider.origin);
    await until(() => upstreams.to(provider.origin) !== old);
    const cut = expect(body.text()).rejects.toThrow();
    await upstreams.close();
    await cut;
    await until(() => provider.sockets.size === 0);
  });
});
