/** How the gateway writes its own answers. */
import { createHash } from 'node:crypto';
import type { IncomingMessage, ServerResponse } from 'node:http';

type Headers = Readonly<Record<string, string>>;

/** For everything that is no page: whoever opens it in a browser gets text, and nothing runs. */
const DATA_HEADERS: Headers = {
  'x-content-type-options': 'nosniff',
  'referrer-policy': 'no-referrer',
  'cross-origin-resource-policy': 'same-origin',
  'content-security-policy': "default-src 'none'; frame-ancestors 'none'",
};

export interface OwnAnswer {
  readonly status: number;
  readonly contentType: string;
  readonly body: string | Uint8Array;
  readonly headers?: Headers;
}

/** Never stored anywhere: it tells of this moment. */
export function sendFresh(request: IncomingMessage, response: ServerResponse, answer: OwnAnswer): void {
  send(request, response, { ...answer, headers: { 'cache-control': 'no-store', ...answer.headers } });
}

/** The same until the next release; a browser asks each time whether it still is. */
export function sendLasting(request: IncomingMessage, response: ServerResponse, answer: OwnAnswer): void {
  const etag = `"${createHash('sha256').update(answer.body).digest('base64url').slice(0, 22)}"`;
  const headers = { 'cache-control': 'no-cache', etag, ...answer.headers };
  const known = (request.headers['if-none-match'] ?? '')
    .split(',')
    .map((tag) => tag.trim().replace(/^W\//, ''));
  if (known.includes(etag) || known.includes('*')) {
    response.writeHead(304, { ...DATA_HEADERS, ...headers }).end();
  } else send(request, response, { ...answer, headers });
}

export function sendJson(
  request: IncomingMessage,
  response: ServerResponse,
  status: number,
  value: unknown,
  headers: Headers = {},
): void {
  const body = `${JSON.stringify(value)}\n`;
  sendFresh(request, response, { status, contentType: 'application/json; charset=utf-8', body, headers });
}

function send(request: IncomingMessage, response: ServerResponse, answer: OwnAnswer): void {
  const { status, contentType, body, headers } = answer;
  if (response.headersSent || response.destroyed) return;
  response.writeHead(status, {
    ...DATA_HEADERS,
    'content-type': contentType,
    'content-length': Buffer.byteLength(body),
    ...headers,
  });
  response.end(request.method === 'HEAD' ? undefined : body);
}

/** Headers of an answer without an end. */
export function streamHeaders(contentType: string): Headers {
  return {
    ...DATA_HEADERS,
    'content-type': contentType,
    'cache-control': 'no-store',
    'x-accel-buffering': 'no',
  };
}
