/** What tests of node:http ask and see. */
import { once } from 'node:events';
import http from 'node:http';
import https from 'node:https';
import type { AddressInfo } from 'node:net';
import { onTestFinished } from 'vitest';
import type { Certificate } from '#keymux/testing/self-signed-certificate.js';

export type Incoming = http.IncomingMessage;

export async function textOf(answer: Incoming): Promise<string> {
  let text = '';
  for await (const chunk of answer.setEncoding('utf8')) text += chunk as string;
  return text;
}

export async function answerTo(request: http.ClientRequest): Promise<Incoming> {
  const [answer] = (await once(request, 'response')) as [Incoming];
  return answer;
}

export type NodeError = Error & { readonly code?: string };

/** The error that a request or an answer tells of. */
export async function errorOf(emitter: NodeJS.EventEmitter): Promise<NodeError> {
  return new Promise((resolve) => emitter.once('error', resolve));
}

/** Every event that a request emits, by its name. */
export function record(request: http.ClientRequest): string[] {
  const events: string[] = [];
  const { emit } = request;
  request.emit = function (this: http.ClientRequest, event: string | symbol, ...args: unknown[]) {
    events.push(String(event));
    return emit.call(this, event, ...args);
  } as typeof emit;
  return events;
}

/** A server that answers as it likes; its origin. */
export async function serve(answer: http.RequestListener, tls?: Certificate): Promise<string> {
  const server = tls === undefined ? http.createServer(answer) : https.createServer(tls, answer);
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  onTestFinished(() => {
    server.closeAllConnections();
    server.close();
  });
  const scheme = tls === undefined ? 'http' : 'https';
  return `${scheme}://127.0.0.1:${(server.address() as AddressInfo).port}`;
}
