import { createHash } from 'node:crypto';
import type { IncomingMessage } from 'node:http';
import type { Action, Behaviour, RequestFacts } from './script.js';
import type { FlavourRequest, LimitState } from './simulator-flavour.js';
import type { KeyState } from './simulator-key.js';
import type { MeterRefusal } from './simulator-meter.js';
import type { Mutable, RequestRecord } from './simulator-records.js';

/** What was decided about a request when its head arrived. */
export interface Decision {
  readonly behaviour: Behaviour;
  /** The limit that it exceeded, as its flavour tells it and as the books do. */
  readonly limit?: LimitState;
  readonly exceeded?: Extract<MeterRefusal, { kind: 'rate-limited' }>;
}

/** A request under way. */
export interface Exchange {
  readonly record: Mutable<RequestRecord>;
  readonly url: URL;
  readonly key: KeyState | undefined;
  readonly keyText: string;
  readonly decision: Decision;
  /** Fires when the client goes away or the simulator closes. */
  readonly abort: AbortController;
  /** Whether the simulator itself broke the connection. */
  cut: boolean;
}

export interface RequestBody {
  readonly text: string;
  readonly json: Readonly<Record<string, unknown>>;
  readonly bytes: number;
  readonly hash: string;
}

/** Longer bodies are counted and hashed, but not looked into. */
const KEPT_BODY_BYTES = 4 * 1_048_576;

export const NO_BODY: RequestBody = { text: '', json: {}, bytes: 0, hash: '' };

/** Reads the body to its end; `undefined` if the client went away before. */
export async function readBody(request: IncomingMessage): Promise<RequestBody | undefined> {
  const hash = createHash('sha256');
  const chunks: Buffer[] = [];
  let bytes = 0;
  try {
    for await (const chunk of request as AsyncIterable<Buffer>) {
      hash.update(chunk);
      bytes += chunk.length;
      if (bytes <= KEPT_BODY_BYTES) chunks.push(chunk);
    }
  } catch {
    return undefined;
  }
  const text = bytes <= KEPT_BODY_BYTES ? Buffer.concat(chunks).toString('utf8') : '';
  return { text, json: parsedObject(text), bytes, hash: hash.digest('hex') };
}

function parsedObject(text: string): Record<string, unknown> {
  if (!text.trimStart().startsWith('{')) return {};
  try {
    return JSON.parse(text) as Record<string, unknown>;
  } catch {
    return {};
  }
}

/** Lets a behaviour that is a function choose. One that throws becomes a 500 that says so. */
export function chooseAction(behaviour: Behaviour, record: RequestRecord, body: string): Action {
  if (typeof behaviour !== 'function') return behaviour;
  const facts: RequestFacts = { method: record.method, path: record.path, headers: record.headers, body };
  try {
    return behaviour(facts);
  } catch (error) {
    const message = `The behaviour of the simulated key threw: ${String(error)}`;
    return { do: 'reply', status: 500, body: { error: { message } }, executes: false };
  }
}

/** The verb with what tells it apart: `ok`, `refuse rate-limited`, `reset mid-body`. */
export function describeAction(action: Action): string {
  switch (action.do) {
    case 'refuse':
    case 'stream-error':
      return `${action.do} ${action.kind}`;
    case 'reply':
      return `reply ${action.status}`;
    case 'reset':
      return `reset ${action.when}`;
    case 'stream':
      return action.ends === undefined || action.ends === 'complete' ? 'stream' : `stream ${action.ends}`;
    default:
      return action.do;
  }
}

export function flavourRequest(exchange: Exchange, body: RequestBody): FlavourRequest {
  return {
    method: exchange.record.method,
    path: exchange.url.pathname,
    query: exchange.url.searchParams,
    json: body.json,
    bodyBytes: body.bytes,
    n: exchange.record.n,
    keyName: exchange.key?.name ?? 'unknown',
    keyText: exchange.keyText,
  };
}
