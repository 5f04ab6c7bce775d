/** A provider whose stream goes on only when the test says so, and which refuses one key. */
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { onTestFinished } from 'vitest';

export interface GatedProvider {
  readonly origin: string;
  /** The key of each request, in the order of arrival. */
  readonly keys: readonly string[];
  /** Lets the rest of every stream that has begun go. */
  open(): void;
}

/** `events`: the first of them is sent at once, the others when the gate is open. */
export async function startGatedProvider(deadKey: string, events: readonly string[]): Promise<GatedProvider> {
  const keys: string[] = [];
  const waiting: (() => void)[] = [];
  const server = createServer((request, response) => {
    const { authorization, 'x-api-key': plain } = request.headers;
    const key = typeof plain === 'string' ? plain : (authorization ?? '').replace('Bearer ', '');
    keys.push(key);
    request.resume();
    if (key === deadKey) {
      response.writeHead(429, { 'content-type': 'application/json', 'retry-after': '60' });
      response.end('{"error":{"message":"rate limited"}}');
      return;
    }
    response.writeHead(200, { 'content-type': 'text/event-stream' });
    const [first = '', ...rest] = events;
    response.write(first);
    waiting.push(() => response.end(rest.join('')));
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  onTestFinished(() => {
    server.closeAllConnections();
    server.close();
  });
  const { port } = server.address() as AddressInfo;
  return {
    origin: `http://127.0.0.1:${port}`,
    keys,
    open: () => waiting.splice(0).forEach((goOn) => goOn()),
  };
}
