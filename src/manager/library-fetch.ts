/** `manager.fetch`: the attempt engine around `fetch`. */
import { replaceKey } from '../core/written-key.js';
import { peekText } from '../providers/body-peek.js';
import { isEventStream } from '../providers/rule-match.js';
import { keyHeader, prefixOf } from '../providers/translation.js';
import { AnswerBody } from './answer-body.js';
import { AnswerLimits } from './answer-limits.js';
import type { Exchange, Step } from './attempt.js';
import type { ServiceCrossing } from './crossing.js';
import type { Lease } from './lease.js';
import { delay } from './library-calls.js';
import type { Caller } from './library-calls.js';
import type { Member } from './members.js';
import { outcomeOfError } from './outcome-of-error.js';
import { runOwned } from './ownership.js';
import type { Pool } from './pool.js';
import { sendKeyed } from './redirects.js';
import type { Send } from './redirects.js';
import { isRefusal } from './refusal.js';
import type { Refusal } from './refusal.js';
import { STALL_EVIDENCE } from './stall.js';

export async function callFetch(
  caller: Caller,
  pool: Pool,
  path: string,
  init: RequestInit,
  send: Send,
): Promise<Response> {
  await caller.recovered();
  const request = requestFor(caller.origins.crossingOf(pool.service), path, init);
  const exchange = caller.exchange(pool, {
    method: (init.method ?? 'GET').toUpperCase(),
    path: request.path,
    hasIdempotencyKey: request.headers.has('idempotency-key'),
    canReplay: () => !(init.body instanceof ReadableStream),
    signal: init.signal ?? undefined,
    way: 'library',
    ...(request.unfit === undefined ? {} : { unfit: request.unfit }),
  });
  const first = await exchange.first();
  if (isRefusal(first)) return refusalResponse(first);
  let lease = first;
  for (;;) {
    const current = lease;
    const attempt = new FetchAttempt(caller, exchange, current, request, send);
    const outcome = await attempt.run().catch((error: unknown) => {
      current.end();
      throw error;
    });
    if (outcome.next === undefined) {
      if (outcome.response === undefined) throw outcome.error;
      return outcome.response;
    }
    await delay(outcome.delayMs);
    lease = outcome.next;
  }
}

/** What was asked for, before it is known who answers. */
interface FetchRequest {
  readonly init: RequestInit;
  readonly headers: Headers;
  /** Where it crosses, as its first provider has it. */
  readonly path: string;
  readonly unfit?: ReadonlySet<string>;
  /** Where the request goes with this lease, and what it then consists of. */
  place(lease: Lease): { readonly url: string; readonly init: RequestInit & { readonly headers: Headers } };
}

type FetchOutcome =
  | { readonly next: Lease; readonly delayMs: number }
  | { readonly next?: undefined; readonly response: Response; readonly error?: undefined }
  | { readonly next?: undefined; readonly response?: undefined; readonly error: unknown };

class FetchAttempt {
  readonly #caller: Caller;
  readonly #exchange: Exchange;
  readonly #lease: Lease;
  readonly #request: FetchRequest;
  readonly #send: Send;
  readonly #limits: AnswerLimits;

  constructor(caller: Caller, exchange: Exchange, lease: Lease, request: FetchRequest, send: Send) {
    this.#caller = caller;
    this.#exchange = exchange;
    this.#lease = lease;
    this.#request = request;
    this.#send = send;
    this.#limits = new AnswerLimits(lease, request.init.signal ?? null);
  }

  async run(): Promise<FetchOutcome> {
    const { provider } = this.#lease.member;
    let response: Response;
    try {
      const { url, init } = this.#request.place(this.#lease);
      const limited = { ...init, signal: this.#limits.signal };
      response = await this.#limits.untilFirstByte(() =>
        runOwned(() => sendKeyed(this.#send, url, limited, provider)),
      );
    } catch (error) {
      return this.#failed(error);
    }
    const body =
      response.body === null
        ? undefined
        : new AnswerBody(response.body, provider.stream.idleMs, this.#limits.exceed);
    let step: Step;
    try {
      step = await this.#judge(response, body);
    } catch (error) {
      await body?.cancel(error);
      return this.#failed(error);
    }
    return this.#conclude(step, response, body);
  }

  async #judge(response: Response, body: AnswerBody | undefined): Promise<Step> {
    const { headers, status } = response;
    // fetch has already undone the content encoding.
    const header = (name: string): string | undefined =>
      name === 'content-encoding' ? undefined : (headers.get(name) ?? undefined);
    const head = { status, header };
    const step = await this.#exchange.afterHead(this.#lease, head);
    if (step.do === 'peek') {
      const beginning = await body?.beginning(isEventStream(head));
      return this.#exchange.afterBody(this.#lease, head, peekText(beginning ?? new Uint8Array(), undefined));
    }
    if (step.do !== 'collect') return step;
    const whole = await body?.whole(this.#lease.member.provider.stream.maxBytes);
    return this.#exchange.afterWhole(this.#lease, head, whole ?? new Uint8Array());
  }

  async #failed(error: unknown): Promise<FetchOutcome> {
    const lease = this.#lease;
    if (this.#request.init.signal?.aborted === true) {
      this.#exchange.aborted(lease);
      return { error };
    }
    const { exceeded } = this.#limits;
    const step = await (exceeded === undefined
      ? this.#exchange.afterOutcome(lease, outcomeOfError(error, lease.member.provider, this.#caller.now()))
      : this.#exchange.afterError(lease, STALL_EVIDENCE[exceeded], 'sent'));
    this.#lease.end();
    if (step.do === 'retry') return { next: step.lease, delayMs: step.delayMs };
    return step.do === 'refuse' ? { response: refusalResponse(step.refusal) } : { error };
  }

  async #conclude(step: Step, response: Response, body: AnswerBody | undefined): Promise<FetchOutcome> {
    if (step.do === 'retry' || step.do === 'refuse') {
      await body?.cancel();
      this.#lease.end();
      return step.do === 'retry'
        ? { next: step.lease, delayMs: step.delayMs }
        : { response: refusalResponse(step.refusal) };
    }
    const extra = step.do === 'deliver' ? step.headers : undefined;
    return { response: this.#deliverable(response, body, extra) };
  }

  /** The answer with its headers amended; the lease ends when its body does. */
  #deliverable(
    { status, statusText, url, headers: original }: Response,
    body: AnswerBody | undefined,
    extra: Readonly<Record<string, string>> | undefined,
  ): Response {
    if (body === undefined) this.#lease.end();
    const headers = new Headers(original);
    for (const [name, value] of Object.entries(extra ?? {})) headers.set(name, value);
    const content = body?.stream((error) => this.#answered(error)) ?? null;
    const delivered = new Response(content, { status, statusText, headers });
    Object.defineProperty(delivered, 'url', { value: withoutKey(url, this.#lease.member) });
    return delivered;
  }

  #answered(error: unknown): void {
    if (error !== undefined && this.#request.init.signal?.aborted !== true) {
      const { exceeded } = this.#limits;
      const { evidence } = outcomeOfError(error, this.#lease.member.provider, this.#caller.now());
      const broken = evidence ?? 'an answer that broke off';
      this.#exchange.broken(this.#lease, exceeded === undefined ? broken : STALL_EVIDENCE[exceeded]);
    }
    this.#lease.end();
  }
}

function requestFor(crossing: ServiceCrossing | undefined, path: string, init: RequestInit): FetchRequest {
  const headers = new Headers(init.headers);
  const relative = `/${path.replace(/^\//, '')}`;
  if (crossing === undefined) {
    const place = (lease: Lease): ReturnType<FetchRequest['place']> =>
      placeKey(lease, lease.baseUrl.replace(/\/$/, ''), relative, { ...init, headers });
    return { init, headers, path, place };
  }
  const { home } = crossing;
  const homePath = `${prefixOf(home.protocol)}${relative}`;
  const body = bytesOf(init.body);
  return {
    init,
    headers,
    path: homePath,
    unfit: body === 'opaque' ? crossing.unfitForOpaque() : crossing.unfit(homePath, body),
    place: (lease) => {
      const bytes = body === 'opaque' ? undefined : body;
      const translated = crossing.translate(homePath.replace('/{key}', ''), bytes, lease);
      if (translated === undefined)
        return placeKey(lease, new URL(home.baseUrl).origin, homePath, { ...init, headers });
      const changed = new Headers(headers);
      for (const name of [...translated.dropHeaders, 'content-length', 'host']) changed.delete(name);
      for (const [name, value] of headers) if (translated.holdsKey(value)) changed.delete(name);
      for (const [name, value] of Object.entries(translated.setHeaders)) changed.set(name, value);
      const content =
        translated.body === undefined ? {} : { body: translated.body as NonNullable<RequestInit['body']> };
      return { url: translated.origin + translated.path, init: { ...init, headers: changed, ...content } };
    },
  };
}

function bytesOf(body: RequestInit['body']): Uint8Array | 'opaque' | undefined {
  if (body === undefined || body === null) return undefined;
  if (typeof body === 'string') return Buffer.from(body);
  if (body instanceof ArrayBuffer) return new Uint8Array(body);
  if (ArrayBuffer.isView(body)) return new Uint8Array(body.buffer, body.byteOffset, body.byteLength);
  return 'opaque';
}

/** `{key}` in a path stands for the key, where the provider wants it there. */
export function placeKey(
  { apiKey, member }: Pick<Lease, 'apiKey' | 'member'>,
  base: string,
  path: string,
  init: RequestInit & { readonly headers: Headers },
): ReturnType<FetchRequest['place']> {
  const { auth } = member.provider;
  const filled = auth.in === 'path' ? path.replace('{key}', encodeURIComponent(apiKey)) : path;
  const url = new URL(base + filled);
  if (auth.in === 'query') url.searchParams.set(auth.name, apiKey);
  const headers = new Headers(init.headers);
  for (const [name, value] of Object.entries(keyHeader(auth, apiKey))) headers.set(name, value);
  return { url: url.href, init: { ...init, headers } };
}

/** What the application sees, and logs, of a URL in which the key stands. */
function withoutKey(url: string, member: Member): string {
  return replaceKey(url, member.credential.secret.reveal(), '{key}');
}

function refusalResponse(refusal: Refusal): Response {
  const { status, statusText, headers, body } = refusal;
  return new Response(body, {
    status,
    statusText,
    headers: { 'content-type': 'application/json', ...headers },
  });
}
