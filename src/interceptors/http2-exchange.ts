/** One request through node:http2, which is sent once: its key is chosen, and what comes of it is told to the engine. */
import type {
  ClientHttp2Session,
  ClientHttp2Stream,
  IncomingHttpHeaders,
  IncomingHttpStatusHeader,
} from 'node:http2';
import type { Exchange } from '../manager/attempt.js';
import type { KeyManager } from '../manager/key-manager.js';
import { Lease } from '../manager/lease.js';
import type { ManagedOrigin } from '../manager/managed-origins.js';
import type { Member } from '../manager/members.js';
import type { Refusal } from '../manager/refusal.js';
import { exhaustedError, isRefusal } from '../manager/refusal.js';
import type { ResponseHead } from '../providers/response-head.js';
import { HeldBody } from '../manager/held-body.js';
import type { FoundKey } from './http2-headers.js';
import { setHidden } from './http-internals.js';
import type { KeyGuard } from './key-guard.js';
import { codeOf, isNetworkFailure } from './network-failure.js';
import { orDeliver, reportOwnError } from './pass-through.js';

export interface Http2Request {
  readonly managed: ManagedOrigin;
  readonly found: FoundKey;
  readonly method: string;
  readonly path: string;
  /** With the path. */
  readonly url: string;
  readonly guard: KeyGuard;
}

export type MakeStream = (
  this: ClientHttp2Session,
  headers?: unknown,
  options?: unknown,
) => ClientHttp2Stream;

type Push = (this: ClientHttp2Stream, chunk: Uint8Array | null, encoding?: BufferEncoding) => boolean;

const NOBODY: ReadonlySet<Member> = new Set();

export class Http2Exchange {
  readonly #request: Http2Request;
  readonly #manager: KeyManager;
  readonly #exchange: Exchange;
  readonly #waiting = new AbortController();
  #lease: Lease | undefined;
  #head: ResponseHead | undefined;
  #isSent = false;
  #isOver = false;

  constructor(manager: KeyManager, request: Http2Request) {
    this.#manager = manager;
    this.#request = request;
    this.#exchange = manager.exchange(request.managed.pool, {
      method: request.method,
      path: request.path,
      hasIdempotencyKey: false,
      canReplay: () => false,
      signal: this.#waiting.signal,
    });
  }

  /** The key to be sent. Throws `KEYMUX_NO_USABLE_KEY` where every key is out. */
  begin(): string {
    void this.#manager.recovered();
    const first = this.#exchange.first();
    if (!(first instanceof Lease)) return this.#beginWithoutLease(first);
    this.#lease = first;
    return first.apiKey;
  }

  /**
   * A stream is made within the call that asks for it. So it does not wait while the store is asked for the permit, or
   * until requests under way have answered (slow start); its lease is charged when it comes.
   */
  #beginWithoutLease(first: Promise<Lease | Refusal> | Refusal): string {
    const { pool } = this.#request.managed;
    const member = pool.best();
    if (first instanceof Promise)
      first.then((result) => this.#adopt(result, member), reportOwnError).catch(reportOwnError);
    if (member !== undefined) return member.credential.secret.reveal();
    this.#waiting.abort();
    if (isRefusal(first)) throw first.error;
    const now = this.#manager.now();
    throw exhaustedError(pool, pool.shut(NOBODY, false, now), now);
  }

  #adopt(result: Lease | Refusal, member: Member | undefined): void {
    if (isRefusal(result)) return;
    if (result.member !== member || (this.#isOver && !this.#isSent)) return result.cancel();
    this.#lease = result;
    if (this.#isSent) result.sent();
    if (this.#isOver) result.end();
  }

  watch(stream: ClientHttp2Stream): void {
    hideKey(stream, this.#request.found.originals);
    const onSent = (): void => {
      this.#isSent = true;
      this.#lease?.sent();
    };
    if (stream.pending) stream.once('ready', onSent);
    else onSent();
    stream.prependOnceListener('response', (headers) => this.#onHead(stream, headers));
    // An 'error' listener would be one more that the application does not know of.
    stream.once('close', () => this.#onClose(stream));
  }

  /** Nothing came of it. */
  cancel(): void {
    this.#isOver = true;
    this.#lease?.cancel();
  }

  #onHead(stream: ClientHttp2Stream, headers: IncomingHttpHeaders & IncomingHttpStatusHeader): void {
    const { method, path, url, guard } = this.#request;
    const head: ResponseHead = {
      status: Number(headers[':status']),
      header: (name) => textOf(headers[name]),
      method,
      path,
    };
    this.#head = head;
    const lease = this.#lease;
    if (lease === undefined) return;
    const step = orDeliver(() => this.#exchange.afterHead(lease, head));
    if (!(step instanceof Promise) && step.do === 'deliver') Object.assign(headers, step.headers);
    if (!lease.reported) this.#watchBeginning(stream, head, lease);
    const { location } = headers;
    if (head.status >= 300 && head.status < 400 && location !== undefined)
      headers.location = guard.redirect(lease, url, location);
  }

  /** Looks at what passes; nothing is held back. */
  #watchBeginning(stream: ClientHttp2Stream, head: ResponseHead, lease: Lease): void {
    const held = new HeldBody(head);
    const { push } = stream as { push: Push };
    setHidden(stream, 'push', (chunk: Uint8Array | null, encoding?: BufferEncoding) => {
      if (chunk === null || held.add(chunk)) {
        Reflect.deleteProperty(stream, 'push');
        void orDeliver(() => this.#exchange.afterBody(lease, head, held.text));
      }
      return push.call(stream, chunk, encoding);
    });
  }

  #onClose(stream: ClientHttp2Stream): void {
    this.#isOver = true;
    const lease = this.#lease;
    if (lease === undefined) return;
    const failure = failureOf(stream);
    const evidence = codeOf(failure) ?? 'network';
    if (!isNetworkFailure(failure)) this.#exchange.aborted(lease);
    else if (this.#head !== undefined) this.#exchange.broken(lease, evidence);
    else void orDeliver(() => this.#exchange.afterError(lease, evidence, this.#isSent ? 'sent' : 'unsent'));
    lease.end();
  }
}

/** A stream that ends with this error and over which nothing is sent. */
export function failedStream(
  original: MakeStream,
  session: ClientHttp2Session,
  options: unknown,
  error: unknown,
): ClientHttp2Stream {
  const aborted = { ...(options as object | undefined), signal: AbortSignal.abort(error) };
  const stream = original.call(session, undefined, aborted);
  const { emit } = stream as { emit: NodeJS.EventEmitter['emit'] };
  setHidden(stream, 'emit', (event: string | symbol, ...args: unknown[]) =>
    emit.call(stream, event, ...(event === 'error' ? [error] : args)),
  );
  return stream;
}

/** Whoever looks at the stream finds what the application gave. */
function hideKey(stream: ClientHttp2Stream, originals: ReadonlyMap<string, unknown>): void {
  const { sentHeaders } = stream;
  const visible = Object.create(null) as Record<string, unknown>;
  Object.assign(visible, sentHeaders);
  for (const name of Object.keys(visible)) {
    const original = originals.get(name.toLowerCase());
    if (original !== undefined) visible[name] = original;
  }
  setHidden(stream, 'sentHeaders', visible);
  // What Node's own property shows, `util.inspect` finds under a symbol.
  const holder = Object.getOwnPropertySymbols(stream).find(
    (symbol) => Reflect.get(stream, symbol) === sentHeaders,
  );
  if (holder !== undefined) Reflect.set(stream, holder, visible);
}

/** A stream that was never sent is cancelled because of what happened to its session. */
function failureOf(stream: ClientHttp2Stream): unknown {
  const error = stream.errored;
  return codeOf(error) === 'ERR_HTTP2_STREAM_CANCEL' ? error?.cause : error;
}

function textOf(value: string | string[] | number | undefined): string | undefined {
  if (value === undefined) return undefined;
  return Array.isArray(value) ? value.join(', ') : String(value);
}
