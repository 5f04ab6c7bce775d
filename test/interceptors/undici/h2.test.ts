/** HTTP/2 through undici, which sends several requests over one connection. */
import { once } from 'node:events';
import http2 from 'node:http2';
import type { AddressInfo } from 'node:net';
import { expect, it, onTestFinished } from 'vitest';
import { createCertificate } from '#keymux/testing/self-signed-certificate.js';
import { bearer, managerFor } from '../managed.js';
import { VERSIONS, load } from './versions.js';

const certificate = createCertificate();

/** The first key is over its limit, any other one works. */
async function startServer(seen: string[]): Promise<string> {
  const server = http2.createSecureServer(certificate, (request, answer) => {
    const { authorization = '' } = request.headers;
    seen.push(`${request.httpVersion} ${authorization}`);
    request.resume();
    request.on('end', () => {
      if (authorization.endsWith('limited')) answer.writeHead(429, { 'retry-after': '60' });
      answer.end('answer');
    });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  onTestFinished(() => void server.close());
  return `https://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

it.each(VERSIONS.filter((version) => version >= 6))('works over HTTP/2 in undici %i', async (version) => {
  const seen: string[] = [];
  const origin = await startServer(seen);
  managerFor(origin, ['key-limited', 'key-good'], { provider: { stream: { commit: 'complete' } } });
  const { Agent } = load(version);
  const agent = new Agent({ allowH2: true, connect: { ca: certificate.cert } });
  onTestFinished(() => agent.destroy());
  for (let round = 0; round < 2; round++) {
    const options = { origin, path: '/', method: 'POST', body: 'text', headers: bearer() } as const;
    const { statusCode, body } = await agent.request(options);
    expect(await body.text()).toBe('answer');
    expect(statusCode).toBe(200);
  }
  expect(seen).toEqual(['2.0 Bearer key-limited', '2.0 Bearer key-good', '2.0 Bearer key-good']);
});
