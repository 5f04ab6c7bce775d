import { once } from 'node:events';
import { createServer } from 'node:http';
import type { IncomingHttpHeaders, IncomingMessage, ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { text } from 'node:stream/consumers';
import { onTestFinished } from 'vitest';

export interface Seen {
  readonly method: string;
  readonly url: string;
  readonly headers: IncomingHttpHeaders;
  readonly body: string;
}

/** A provider on a real socket whose answers are given by hand, for as long as the test runs. */
export async function serveProvider(
  answer: (seen: Seen, response: ServerResponse, number: number) => void,
): Promise<{ readonly origin: string; readonly seen: Seen[]; keys(): unknown[] }> {
  const seen: Seen[] = [];
  const server = createServer((request: IncomingMessage, response) => {
    void text(request).then((body) => {
      const { method = '', url = '', headers } = request;
      const one = { method, url, headers, body };
      seen.push(one);
      answer(one, response, seen.length);
    });
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  onTestFinished(() => {
    server.closeAllConnections();
    server.close();
  });
  const { port } = server.address() as AddressInfo;
  return {
    origin: `http://127.0.0.1:${port}`,
    seen,
    keys: () => seen.map(({ headers }) => headers['x-api-key']),
  };
}

/** Answers by the key that a request carries: a status, or what else happens. */
export function byKey(statuses: Readonly<Record<string, number>>) {
  return ({ headers }: Seen, response: ServerResponse): void => {
    const status = statuses[String(headers['x-api-key'])] ?? 200;
    response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify({ status }));
  };
}
