/** Carries out an action on the wire, the faulty ones included. */
import { validateHeaderName, validateHeaderValue } from 'node:http';
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { TLSSocket } from 'node:tls';
import { gzipSync } from 'node:zlib';
import { formatEvent } from './event-stream.js';
import type { Action, AnswerOptions } from './script.js';
import type { Flavour, FlavourRequest, LimitState } from './simulator-flavour.js';

export interface AnswerContext {
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  readonly socket: Socket;
  readonly flavour: Flavour;
  readonly facts: FlavourRequest;
  readonly body: string;
  /** Sent with every answer. */
  readonly headers: Readonly<Record<string, string>>;
  /** The limit that the request exceeded. */
  readonly limit: LimitState | undefined;
  /** Ends every wait when the client goes away or the simulator closes. */
  readonly signal: AbortSignal;
  /** Called with the status when the head is sent. */
  readonly onStatus: (status: number) => void;
  /** Called before the simulator itself breaks the connection. */
  readonly onCut: () => void;
}

export const DEFAULT_EVENT_PAUSE_MS = 10;
const GENERIC_EVENTS = 5;

/** Rejects when the signal fires during a wait, and where the action cannot be carried out. */
export async function perform(action: Action, context: AnswerContext): Promise<void> {
  sendInformational(action, context);
  if (action.delayMs !== undefined) await sleep(action.delayMs, undefined, { signal: context.signal });
  switch (action.do) {
    case 'ok':
      return answerWell(action, context);
    case 'refuse':
      return refuseRequest(action, context);
    case 'reply':
      return sendBody(context, action.status, action.body ?? '', action);
    case 'echo':
      return sendBody(context, 200, echoOf(context), action);
    case 'redirect':
      return sendBody(context, action.status, '', action, { location: action.location });
    case 'reset':
      return resetConnection(action, context);
    case 'silence':
      return untilAborted(context.signal);
    case 'stream':
      return sendEvents(action, context, action.events ?? streamEvents(context), action);
    case 'stream-error':
      return sendEvents({}, context, [context.flavour.errorEvent(action.kind, context.facts)], action);
    case 'malformed-chunk':
      return sendMalformedChunk(context);
  }
}

export async function untilAborted(signal: AbortSignal): Promise<void> {
  if (signal.aborted) return;
  await new Promise<void>((resolve) => signal.addEventListener('abort', () => resolve(), { once: true }));
}

function sendInformational({ informational }: AnswerOptions, { response }: AnswerContext): void {
  if (informational === 100) response.writeContinue();
  if (informational === 102) response.writeProcessing();
  if (informational === 103) response.writeEarlyHints({ link: '</style.css>; rel=preload' });
}

async function answerWell(action: Action & { do: 'ok' }, context: AnswerContext): Promise<void> {
  const events =
    context.facts.json['stream'] === true && action.body === undefined
      ? context.flavour.events?.(context.facts)
      : undefined;
  if (events !== undefined) return sendEvents(action, context, events, action);
  return sendBody(context, 200, action.body ?? context.flavour.success(context.facts), action);
}

function refuseRequest(action: Action & { do: 'refuse' }, context: AnswerContext): void {
  const refusal = context.flavour.refusal(action.kind, context.facts, action.status, context.limit);
  const retry: Record<string, string> =
    action.retryAfterSeconds === undefined ? {} : { 'retry-after': String(action.retryAfterSeconds) };
  sendBody(context, refusal.status, action.body ?? refusal.body, action, { ...refusal.headers, ...retry });
}

function echoOf({ request, facts, body }: AnswerContext): object {
  const { method, url, headers } = request;
  return { ok: true, key: facts.keyName, method, path: url, headers, body };
}

function streamEvents({ flavour, facts }: AnswerContext): readonly string[] {
  return (
    flavour.events?.(facts) ??
    Array.from({ length: GENERIC_EVENTS }, (_, index) => formatEvent({ n: index + 1, key: facts.keyName }))
  );
}

function sendHead(context: AnswerContext, status: number, headers: Readonly<Record<string, string>>): void {
  const all = { ...context.headers, ...headers };
  // A head that fails halfway could not be replaced by another.
  for (const [name, value] of Object.entries(all)) {
    validateHeaderName(name);
    validateHeaderValue(name, value);
  }
  context.response.writeHead(status, all);
  context.onStatus(status);
}

function sendBody(
  context: AnswerContext,
  status: number,
  body: unknown,
  options: AnswerOptions,
  headers: Readonly<Record<string, string>> = {},
): void {
  const { response } = context;
  const text = typeof body === 'string' ? body : JSON.stringify(body);
  const bytes = options.gzip === true ? gzipSync(text) : Buffer.from(text);
  sendHead(context, status, {
    ...(typeof body === 'string' ? {} : { 'content-type': 'application/json' }),
    ...(options.gzip === true ? { 'content-encoding': 'gzip' } : {}),
    ...(options.chunked === true ? {} : { 'content-length': String(bytes.length) }),
    ...headers,
    ...options.headers,
  });
  if (options.chunked === true) {
    const middle = Math.ceil(bytes.length / 2);
    response.write(bytes.subarray(0, middle));
    response.end(bytes.subarray(middle));
  } else {
    response.end(bytes);
  }
}

interface EventPace {
  readonly everyMs?: number;
  readonly ends?: 'complete' | 'cut' | 'stalled';
  readonly after?: number;
}

async function sendEvents(
  { everyMs = DEFAULT_EVENT_PAUSE_MS, ends = 'complete', after }: EventPace,
  context: AnswerContext,
  events: readonly string[],
  options: AnswerOptions,
): Promise<void> {
  sendHead(context, 200, {
    'content-type': 'text/event-stream; charset=utf-8',
    'cache-control': 'no-cache',
    ...options.headers,
  });
  context.response.flushHeaders();
  const sent = ends === 'complete' ? events : events.slice(0, after ?? Math.ceil(events.length / 2));
  for (const event of sent) {
    context.response.write(event);
    await sleep(everyMs, undefined, { signal: context.signal });
  }
  if (ends === 'complete') context.response.end();
  else if (ends === 'cut') breakAfterFlush(context);
  else await untilAborted(context.signal);
}

/** What was written arrives, then the connection ends: a reset could throw away what the client has not read. */
function breakAfterFlush({ socket, onCut }: AnswerContext): void {
  onCut();
  socket.destroySoon();
}

function resetConnection(action: Action & { do: 'reset' }, context: AnswerContext): void {
  const { response, socket } = context;
  if (action.when === 'before-headers') {
    context.onCut();
    if (socket instanceof TLSSocket) socket.destroy();
    else socket.resetAndDestroy();
    return;
  }
  const bytes = Buffer.from(JSON.stringify(context.flavour.success(context.facts)));
  sendHead(context, 200, {
    'content-type': 'application/json',
    'content-length': String(bytes.length),
    ...action.headers,
  });
  response.flushHeaders();
  if (action.when === 'mid-body') response.write(bytes.subarray(0, Math.ceil(bytes.length / 2)));
  breakAfterFlush(context);
}

function sendMalformedChunk(context: AnswerContext): void {
  context.onStatus(200);
  context.socket.write(
    'HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\nnot-a-size\r\n{"ok":\r\n',
  );
  breakAfterFlush(context);
}
