/** A WebSocket of a caller: a key is found for its handshake, then bytes pass both ways. */
import http, { ServerResponse } from 'node:http';
import type { ClientRequest, IncomingHttpHeaders, IncomingMessage } from 'node:http';
import https from 'node:https';
import type { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import type { Exchange, RequestFacts, Step } from '../manager/attempt.js';
import type { Lease } from '../manager/lease.js';
import type { Refusal } from '../manager/refusal.js';
import { isRefusal } from '../manager/refusal.js';
import { peekText } from '../providers/body-peek.js';
import { ownHeaders } from './forward-answer.js';
import type { FailureAnswer } from './forward-failure.js';
import { answerOfRefusal, failureOf, networkCodeOf, notUpgradable, ownFault } from './forward-failure.js';
import { answerHeaders, withoutTokenProtocol } from './forward-headers.js';
import type { Imprint, RawHeaders } from './forward-headers.js';
import { Placement } from './forward-placement.js';
import type { Breakable, ForwardContext } from './forward-request.js';
import type { ForwardTarget } from './target.js';
import { sendOwned } from './upstreams.js';

/** For a handshake to be answered, where the provider's `stream.firstByteMs` says nothing else. Milliseconds. */
const HANDSHAKE_MS = 30_000;
/** Of an answer that refuses the handshake. Bytes. */
const LONGEST_REFUSAL_BYTES = 1_048_576;

const MOST_EARLY_CHUNKS = 16;

/** A refused handshake. */
interface Refused {
  readonly head: { readonly status: number; header(name: string): string | undefined };
  readonly headers: IncomingHttpHeaders;
  readonly body: Buffer;
}

export class ForwardedUpgrade implements RequestFacts, Breakable {
  readonly method = 'GET';
  declare unfit?: ReadonlySet<string>;
  readonly #context: ForwardContext;
  readonly #request: IncomingMessage;
  readonly #socket: Duplex;
  /** What the caller sent behind its handshake. */
  readonly #early: Buffer[];
  readonly #target: ForwardTarget;
  readonly #placement: Placement;
  readonly #abort = new AbortController();
  #exchange: Exchange | undefined;
  #lease: Lease | undefined;
  #client: ClientRequest | undefined;
  #upstream: Duplex | undefined;

  constructor(
    context: ForwardContext,
    request: IncomingMessage,
    socket: Duplex,
    head: Buffer,
    target: ForwardTarget,
  ) {
    this.#context = context;
    this.#request = request;
    this.#socket = socket;
    this.#early = [head];
    this.#target = target;
    this.#placement = new Placement(context.manager, target, request.rawHeaders);
    context.active.add(this);
    socket.on('error', nothing);
    socket.on('close', () => this.#onClose());
    // Unless it is read, nobody notices that it ends.
    socket.on('data', this.#onEarly).on('end', this.#onEarlyEnd);
  }

  readonly #onEarly = (chunk: Buffer): void => {
    this.#early.push(chunk);
    if (this.#early.length > MOST_EARLY_CHUNKS) this.#socket.pause();
  };

  readonly #onEarlyEnd = (): void => void this.#socket.destroy();

  // --- facts ------------------------------------------------------------------------------------------------------

  get path(): string {
    return this.#placement.path;
  }

  get by(): string | undefined {
    return this.#target.by === undefined ? undefined : `gateway token ${this.#target.by}`;
  }

  get hasIdempotencyKey(): boolean {
    return false;
  }

  canReplay(): boolean {
    return true;
  }

  get signal(): AbortSignal {
    return this.#abort.signal;
  }

  get exchange(): Exchange {
    return (this.#exchange ??= this.#context.manager.exchange(this.#target.pool, this));
  }

  // --- the handshake ----------------------------------------------------------------------------------------------

  begin(): void {
    // Any other protocol would be one in which requests pass that nobody looked at.
    if (this.#request.headers.upgrade?.toLowerCase() !== 'websocket') return this.#answer(notUpgradable());
    const { crossing } = this.#placement;
    if (crossing !== undefined) this.unfit = crossing.unfit(this.path, undefined);
    this.#acquire().catch((error: unknown) => this.#fail(error));
  }

  async #acquire(): Promise<void> {
    await this.#context.manager.recovered();
    const first = await this.exchange.first();
    if (isRefusal(first)) this.#refuse(first);
    else this.#send(first);
  }

  #fail(error: unknown): void {
    this.#answer(ownFault(this.#target.name, error));
  }

  #refuse(refusal: Refusal): void {
    this.#answer(answerOfRefusal(refusal));
  }

  #send(lease: Lease): void {
    if (this.#hasGone()) return this.#forgo(lease);
    this.#lease = lease;
    try {
      const { origin, path, headers } = this.#placement.place(lease, undefined);
      const { protocol, host } = new URL(origin);
      const raw = [
        'host',
        host,
        ...withoutTokenProtocol(headers),
        'connection',
        'Upgrade',
        'upgrade',
        'websocket',
      ];
      const send = protocol === 'https:' ? https.request : http.request;
      const client = sendOwned(() => send(origin, { path, method: 'GET', headers: raw, agent: false }));
      this.#client = client;
      this.#listen(client, lease);
    } catch (error) {
      lease.cancel();
      this.#fail(error);
    }
  }

  #listen(client: ClientRequest, lease: Lease): void {
    const { firstByteMs } = lease.member.provider.stream;
    let progress: 'unsent' | 'sent' = 'unsent';
    client.once('socket', (socket) => {
      const connected = 'encrypted' in socket ? 'secureConnect' : 'connect';
      socket.once(connected, () => {
        progress = 'sent';
        lease.sent();
      });
    });
    client.setTimeout(firstByteMs === 0 ? HANDSHAKE_MS : firstByteMs, () => client.destroy(TIMED_OUT));
    client.on('error', (error) => {
      if (this.#upstream === undefined) this.#onError(lease, networkCodeOf(error) ?? error.name, progress);
    });
    client.on('upgrade', (message, upstream, head) => {
      // The limit was for the handshake.
      client.setTimeout(0);
      this.#open(lease, message, upstream, head);
    });
    client.on('response', (message) => this.#onResponse(lease, message));
    client.end();
  }

  #onError(lease: Lease, code: string, progress: 'unsent' | 'sent'): void {
    this.#follow(
      lease,
      () => this.exchange.afterError(lease, code, progress),
      (headers) => this.#answer(failureOf(lease, code, progress, headers), lease),
    );
  }

  #onResponse(lease: Lease, message: IncomingMessage): void {
    const chunks: Buffer[] = [];
    let bytes = 0;
    message.on('data', (chunk: Buffer) => {
      chunks.push(chunk);
      bytes += chunk.length;
      if (bytes > LONGEST_REFUSAL_BYTES) message.destroy(TOO_LONG);
    });
    message.on('error', (error) => this.#onError(lease, networkCodeOf(error) ?? error.name, 'sent'));
    message.on('end', () => {
      const header = (name: string): string | undefined => {
        const value = message.headers[name];
        return typeof value === 'string' ? value : value?.join(', ');
      };
      // Every answer has a status; only a request, which Node has in the same class, has none.
      const head = { status: message.statusCode as number, header };
      this.#onRefused(lease, { head, headers: message.headers, body: Buffer.concat(chunks) });
    });
  }

  #onRefused(lease: Lease, refused: Refused): void {
    this.#follow(
      lease,
      () => this.#judge(lease, refused),
      (headers) => this.#deliver(lease, refused, headers),
    );
  }

  async #judge(lease: Lease, { head, body }: Refused): Promise<Step> {
    const step = await this.exchange.afterHead(lease, head);
    if (step.do === 'collect') return this.exchange.afterWhole(lease, head, body);
    if (step.do !== 'peek') return step;
    return this.exchange.afterBody(lease, head, peekText(body, head.header('content-encoding')));
  }

  #follow(
    lease: Lease,
    judge: () => Step | Promise<Step>,
    deliver: (headers: Readonly<Record<string, string>>) => void,
  ): void {
    // An attempt ends once, whatever else its sockets tell.
    if (this.#lease !== lease || this.#hasGone()) return;
    this.#lease = undefined;
    this.#decide(lease, judge, deliver).catch((error: unknown) => this.#fail(error));
  }

  async #decide(
    lease: Lease,
    judge: () => Step | Promise<Step>,
    deliver: (headers: Readonly<Record<string, string>>) => void,
  ): Promise<void> {
    const step = await judge();
    lease.end();
    if (step.do === 'retry') {
      if (step.delayMs > 0) await new Promise((resolve) => setTimeout(resolve, step.delayMs));
      return this.#send(step.lease);
    }
    if (this.#hasGone()) return;
    if (step.do === 'refuse') this.#refuse(step.refusal);
    else deliver(step.do === 'deliver' ? (step.headers ?? {}) : {});
  }

  // --- to the caller ----------------------------------------------------------------------------------------------

  #imprint(lease: Lease | undefined): Imprint {
    const { requestId } = this.exchange;
    return lease === undefined ? { requestId } : { requestId, keyId: lease.keyId, provider: lease.provider };
  }

  #answer({ status, headers, body }: FailureAnswer, lease?: Lease): void {
    this.#respond(status, ownHeaders(headers, body, this.#imprint(lease)), Buffer.from(body));
  }

  #deliver(lease: Lease, refused: Refused, extra: Readonly<Record<string, string>>): void {
    const { head, body } = refused;
    const headers = { ...refused.headers, 'content-length': String(body.length) };
    const key = lease.member.credential.secret.reveal();
    this.#respond(head.status, answerHeaders(headers, extra, key, this.#imprint(lease)), body);
  }

  #respond(status: number, raw: RawHeaders, body: Buffer): void {
    if (this.#hasGone()) return;
    const response = new ServerResponse(this.#request);
    response.shouldKeepAlive = false;
    response.assignSocket(this.#socket as Socket);
    response.on('finish', () => this.#socket.end());
    response.writeHead(status, raw).end(body);
  }

  #open(lease: Lease, message: IncomingMessage, upstream: Duplex, head: Buffer): void {
    this.#upstream = upstream;
    upstream.on('error', nothing);
    this.exchange.upgraded(lease);
    const socket = this.#socket;
    const key = lease.member.credential.secret.reveal();
    const raw = answerHeaders(message.headers, {}, key, this.#imprint(lease));
    raw.push('connection', 'Upgrade', 'upgrade', String(message.headers.upgrade));
    let text = 'HTTP/1.1 101 Switching Protocols\r\n';
    for (let at = 0; at < raw.length; at += 2) text += `${raw[at]}: ${raw[at + 1]}\r\n`;
    socket.write(`${text}\r\n`, 'latin1');
    if (head.length > 0) socket.write(head);
    socket.off('data', this.#onEarly).off('end', this.#onEarlyEnd);
    for (const chunk of this.#early) upstream.write(chunk);
    upstream.on('close', () => socket.destroy());
    upstream.pipe(socket);
    socket.pipe(upstream);
  }

  // --- endings ----------------------------------------------------------------------------------------------------

  #hasGone(): boolean {
    return this.#abort.signal.aborted;
  }

  #forgo(lease: Lease): void {
    lease.cancel();
    this.exchange.aborted(lease);
  }

  #onClose(): void {
    this.#context.left(this);
    this.#abort.abort();
    const lease = this.#lease;
    this.#lease = undefined;
    if (this.#upstream === undefined && lease?.reported === false) this.exchange.aborted(lease);
    lease?.end();
    this.#client?.destroy();
    this.#upstream?.destroy();
  }

  breakOff(): void {
    this.#socket.destroy();
  }
}

const TIMED_OUT = Object.assign(new Error('the handshake took too long'), { code: 'ETIMEDOUT' });
const TOO_LONG = Object.assign(new Error('the refusal is too long'), { code: 'EMSGSIZE' });

function nothing(): void {}
