/**
 * A provider of event streams that sends its first event and then waits for a sign that it has arrived: only a client
 * that gets it at once gets any further.
 */
import http from 'node:http';
import type { IncomingMessage, ServerResponse } from 'node:http';
import https from 'node:https';
import type { AddressInfo } from 'node:net';
import { text } from 'node:stream/consumers';
import { formatEvent } from '#keymux/testing/event-stream.js';
import type { Certificate } from '#keymux/testing/self-signed-certificate.js';
import type { Flavour, FlavourRequest } from '#keymux/testing/simulator-flavour.js';
import { presentedKey } from '#keymux/testing/simulator-identity.js';
import type { KeyName } from './keys.js';

export interface Gate {
  readonly origin: string;
  /** The names of the keys that came, in this order. */
  readonly seen: (KeyName | undefined)[];
  /** The first events of the streams under way have arrived. */
  open(): void;
  close(): Promise<void>;
}

interface GateOptions {
  readonly flavour: Flavour;
  /** Names of keys by their texts. */
  readonly keys: ReadonlyMap<string, KeyName>;
  readonly tls: Certificate | undefined;
}

export async function startGate({ flavour, keys, tls }: GateOptions): Promise<Gate> {
  const seen: (KeyName | undefined)[] = [];
  const waiting = new Set<() => void>();

  async function answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const url = new URL(request.url ?? '/', 'http://gate.invalid');
    const keyText = presentedKey(request.headers, url, flavour.auth, keys) ?? '';
    const key = keys.get(keyText);
    seen.push(key);
    await text(request);
    const facts = factsOf(request, url, keyText, key);
    if (key !== 'good') {
      const refusal = flavour.refusal(key === 'limited' ? 'rate-limited' : 'rejected', facts);
      response.writeHead(refusal.status, { 'content-type': 'application/json' });
      response.end(JSON.stringify(refusal.body));
      return;
    }
    const events = flavour.events?.(facts) ?? numbered(key);
    response.writeHead(200, { 'content-type': 'text/event-stream' });
    response.write(events[0]);
    await new Promise<void>((resolve) => waiting.add(resolve));
    response.end(events.slice(1).join(''));
  }

  const serve = (request: IncomingMessage, response: ServerResponse): void => void answer(request, response);
  const server = tls === undefined ? http.createServer(serve) : https.createServer({ ...tls }, serve);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  return {
    origin: `${tls === undefined ? 'http' : 'https'}://127.0.0.1:${port}`,
    seen,
    open: () => {
      for (const resolve of waiting) resolve();
      waiting.clear();
    },
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

function numbered(key: string): string[] {
  return [1, 2, 3].map((n) => formatEvent({ n, key }));
}

function factsOf(
  request: IncomingMessage,
  url: URL,
  keyText: string,
  key: KeyName | undefined,
): FlavourRequest {
  const streamed = url.pathname.includes('/v1/') ? { stream: true } : {};
  return {
    method: request.method ?? 'GET',
    path: url.pathname,
    query: url.searchParams,
    json: streamed,
    bodyBytes: 0,
    n: 1,
    keyName: key ?? 'unknown',
    keyText,
  };
}
