/** What the gateway itself says to requests that it lets nowhere. */
import type { IncomingMessage, ServerResponse } from 'node:http';
import { STATUS_CODES } from 'node:http';
import type { Duplex } from 'node:stream';
import { KeymuxError } from '../core/errors.js';
import type { FailureAnswer } from './forward-failure.js';
import { failureAnswer } from './forward-failure.js';
import type { RequestFault } from './request-faults.js';

/** How long what a refused client still sends is read, so that it sees the answer. Milliseconds. */
const LINGER_MS = 2_000;

export function answerOfFault({ status, message, fix }: RequestFault): FailureAnswer {
  const allow = status === 405 ? { allow: 'GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS' } : {};
  const code = status === 403 ? 'KEYMUX_ACCESS_DENIED' : 'KEYMUX_USAGE';
  return failureAnswer(status, new KeymuxError(code, message, { fix }), allow);
}

/** The same whether there was no token, a wrong one or one that is gone. */
export const UNKNOWN_CALLER = failureAnswer(
  401,
  new KeymuxError('KEYMUX_ACCESS_DENIED', 'This needs a token of the gateway.', {
    fix: 'Send it where your client sends the API key, such as `Authorization: Bearer TOKEN`; `keymux serve` says where its tokens are.',
  }),
  { 'www-authenticate': 'Bearer realm="keymux"' },
);

export const FORBIDDEN = failureAnswer(
  403,
  new KeymuxError('KEYMUX_ACCESS_DENIED', 'This token may not send requests here.', {
    fix: 'Use a token with the role `use`, or the virtual key of this very provider.',
  }),
);

export const NO_UPGRADE = failureAnswer(
  400,
  new KeymuxError('KEYMUX_USAGE', 'There is no WebSocket here.', {
    fix: 'Ask for one of a service or provider.',
  }),
);

export const DRAINING = failureAnswer(
  503,
  new KeymuxError('KEYMUX_CLOSED', 'The gateway is ending.', {
    fix: 'Send the request again, to one that runs.',
  }),
  { 'retry-after': '1' },
);

export const SLOW_BODY = failureAnswer(
  408,
  new KeymuxError('KEYMUX_TIMEOUT', 'The body of the request stopped coming.', {
    fix: 'Send it again, without a pause.',
  }),
);

export function unknownTarget(known: Iterable<string>): FailureAnswer {
  const names = [...known].join(', ');
  return failureAnswer(
    404,
    new KeymuxError('KEYMUX_UNKNOWN_SERVICE', 'There is no service or provider of that name.', {
      fix: names === '' ? 'Set the key of a provider, or run `keymux init`.' : `Known: ${names}.`,
    }),
  );
}

/** Answers and lets no further request follow. */
export function refuse(request: IncomingMessage, response: ServerResponse, answer: FailureAnswer): void {
  const { status, headers, body } = answer;
  if (response.headersSent) return void response.destroy();
  response.writeHead(status, {
    'content-type': 'application/json',
    'content-length': Buffer.byteLength(body),
    'cache-control': 'no-store',
    connection: 'close',
    ...headers,
  });
  if (request.method !== 'HEAD') response.write(body);
  if (request.complete) return void response.end();
  const timer = setTimeout(() => response.end(), LINGER_MS);
  response.once('close', () => clearTimeout(timer));
  request.once('end', () => response.end()).resume();
}

/** The same where there is no `ServerResponse`: bytes that are no request, or one for an upgrade. */
export function refuseSocket(socket: Duplex, { status, headers, body }: FailureAnswer): void {
  const lines = [
    `HTTP/1.1 ${status} ${STATUS_CODES[status]}`,
    'content-type: application/json',
    `content-length: ${Buffer.byteLength(body)}`,
    'cache-control: no-store',
    'connection: close',
    ...Object.entries(headers).map(([name, value]) => `${name}: ${value}`),
  ];
  socket.on('error', () => {});
  socket.end(`${lines.join('\r\n')}\r\n\r\n${body}`);
  const timer = setTimeout(() => socket.destroy(), LINGER_MS);
  socket.once('close', () => clearTimeout(timer));
  socket.resume();
}

/** What the parser refused: only what kind of fault it is, since the bytes may hold a key. */
export function answerOfParserError(code: string | undefined): FailureAnswer {
  const [status, message, fix] =
    code === 'HPE_HEADER_OVERFLOW'
      ? ([431, 'The head of the request is too long.', 'Send fewer or shorter headers.'] as const)
      : code === 'ERR_HTTP_REQUEST_TIMEOUT'
        ? ([408, 'The request did not come in time.', 'Send it again, without a pause.'] as const)
        : ([400, 'This is no HTTP/1.1 request, or an ambiguous one.', 'Send it by an HTTP client.'] as const);
  return failureAnswer(status, new KeymuxError('KEYMUX_USAGE', message, { fix }));
}
