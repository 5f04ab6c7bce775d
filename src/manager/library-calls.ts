/** `manager.run` and `manager.fetch`: the attempt engine around somebody else's code, and around `fetch`. */
import { peekText } from '../providers/body-peek.js';
import { KeymuxError } from '../core/errors.js';
import { SUCCESS } from '../core/outcome.js';
import type { Exchange, RequestFacts, Step } from './attempt.js';
import type { Lease } from './lease.js';
import { outcomeOfError } from './outcome-of-error.js';
import { runOwned } from './ownership.js';
import type { Member } from './members.js';
import type { Pool } from './pool.js';
import type { Refusal } from './refusal.js';
import { isRefusal } from './refusal.js';
import { sendKeyed } from './redirects.js';
import type { Send } from './redirects.js';

/** What these calls need of a manager. */
export interface Caller {
  now(): number;
  recovered(): void | Promise<void>;
  exchange(pool: Pool, facts: RequestFacts): Exchange;
}

export type Adapters<T> = Readonly<Record<string, (lease: Lease) => Promise<T>>>;

export interface RunOptions {
  readonly signal?: AbortSignal;
  /**
   * The work may be repeated after an ambiguous failure (timeout, reset, 5xx). Default: false, so that it is only
   * repeated after a refusal that proves that nothing was done.
   */
  readonly idempotent?: boolean;
}

export async function callRun<T>(
  caller: Caller,
  pool: Pool,
  work: ((lease: Lease) => Promise<T>) | Adapters<T>,
  options: RunOptions,
): Promise<T> {
  await caller.recovered();
  const exchange = caller.exchange(pool, {
    method: options.idempotent === true ? 'GET' : 'POST',
    path: '/',
    hasIdempotencyKey: false,
    canReplay: () => true,
    signal: options.signal,
  });
  let lease = leaseOrThrow(await exchange.first());
  for (;;) {
    const attempt = lease;
    try {
      const result = await runOwned(() => adapterFor(work, attempt)(attempt));
      attempt.report(SUCCESS);
      return result;
    } catch (error) {
      const step = await exchange.afterOutcome(
        attempt,
        outcomeOfError(error, attempt.member.provider, caller.now()),
      );
      if (step.do === 'refuse') throw step.refusal.error;
      if (step.do !== 'retry') throw error;
      await delay(step.delayMs);
      lease = step.lease;
    } finally {
      attempt.end();
    }
  }
}

function adapterFor<T>(
  work: ((lease: Lease) => Promise<T>) | Adapters<T>,
  lease: Lease,
): (lease: Lease) => Promise<T> {
  if (typeof work === 'function') return work;
  const adapter = work[lease.provider];
  if (adapter !== undefined) return adapter;
  throw new KeymuxError(
    'KEYMUX_USAGE',
    `run("${lease.service}") has no adapter for the provider "${lease.provider}".`,
    {
      fix: `Add \`${lease.provider}: async (lease) => …\`, or take the provider out of the service.`,
    },
  );
}

export async function callFetch(
  caller: Caller,
  pool: Pool,
  path: string,
  init: RequestInit,
  send: Send,
): Promise<Response> {
  await caller.recovered();
  const headers = new Headers(init.headers);
  const exchange = caller.exchange(pool, {
    method: (init.method ?? 'GET').toUpperCase(),
    path,
    hasIdempotencyKey: headers.has('idempotency-key'),
    canReplay: () => !(init.body instanceof ReadableStream),
    signal: init.signal ?? undefined,
  });
  const first = await exchange.first();
  if (isRefusal(first)) return refusalResponse(first);
  let lease = first;
  for (;;) {
    const attempt = lease;
    const outcome = await attemptFetch(caller, exchange, attempt, path, { ...init, headers }, send).catch(
      (error: unknown) => {
        attempt.end();
        throw error;
      },
    );
    if (outcome.next === undefined) {
      if (outcome.response === undefined) throw outcome.error;
      return outcome.response;
    }
    await delay(outcome.delayMs);
    lease = outcome.next;
  }
}

type FetchOutcome =
  | { readonly next: Lease; readonly delayMs: number }
  | { readonly next?: undefined; readonly response: Response; readonly error?: undefined }
  | { readonly next?: undefined; readonly response?: undefined; readonly error: unknown };

async function attemptFetch(
  caller: Caller,
  exchange: Exchange,
  lease: Lease,
  path: string,
  init: RequestInit & { headers: Headers },
  send: Send,
): Promise<FetchOutcome> {
  let response: Response;
  try {
    const { url, headers } = placeKey(lease, path, init.headers);
    const { provider } = lease.member;
    response = await runOwned(() => sendKeyed(send, url, { ...init, headers }, provider));
  } catch (error) {
    return failFetch(caller, exchange, lease, init, error);
  }
  const head = { status: response.status, header: (name: string) => response.headers.get(name) ?? undefined };
  let step = await exchange.afterHead(lease, head);
  if (step.do === 'peek') {
    let peeked: Awaited<ReturnType<typeof peekResponse>>;
    try {
      peeked = await peekResponse(response);
    } catch (error) {
      return failFetch(caller, exchange, lease, init, error);
    }
    response = peeked.response;
    step = await exchange.afterBody(lease, head, peeked.text);
  }
  return concludeFetch(step, lease, response);
}

async function failFetch(
  caller: Caller,
  exchange: Exchange,
  lease: Lease,
  { signal }: RequestInit,
  error: unknown,
): Promise<FetchOutcome> {
  if (signal?.aborted === true) {
    exchange.aborted(lease);
    return { error };
  }
  const step = await exchange.afterOutcome(lease, outcomeOfError(error, lease.member.provider, caller.now()));
  lease.end();
  if (step.do === 'retry') return { next: step.lease, delayMs: step.delayMs };
  return step.do === 'refuse' ? { response: refusalResponse(step.refusal) } : { error };
}

async function concludeFetch(step: Step, lease: Lease, response: Response): Promise<FetchOutcome> {
  if (step.do === 'retry' || step.do === 'refuse') {
    await response.body?.cancel().catch(() => {});
    lease.end();
    return step.do === 'retry'
      ? { next: step.lease, delayMs: step.delayMs }
      : { response: refusalResponse(step.refusal) };
  }
  const extra = step.do === 'deliver' ? step.headers : undefined;
  return { response: deliverable(response, lease, extra) };
}

/** The answer with its headers amended; the lease ends when its body does. */
function deliverable(
  response: Response,
  lease: Lease,
  extra: Readonly<Record<string, string>> | undefined,
): Response {
  const end = (): void => lease.end();
  if (response.body === null) end();
  const headers = new Headers(response.headers);
  for (const [name, value] of Object.entries(extra ?? {})) headers.set(name, value);
  const { status, statusText, url } = response;
  const body =
    response.body?.pipeThrough(
      new TransformStream<Uint8Array, Uint8Array>({ flush: end, ...({ cancel: end } as object) }),
    ) ?? null;
  const delivered = new Response(body, { status, statusText, headers });
  Object.defineProperty(delivered, 'url', { value: withoutKey(url, lease.member) });
  return delivered;
}

/** What the application sees, and logs, of a URL in which the key stands. */
function withoutKey(url: string, member: Member): string {
  const key = member.credential.secret.reveal();
  return url.replaceAll(encodeURIComponent(key), '{key}').replaceAll(key, '{key}');
}

function refusalResponse(refusal: Refusal): Response {
  const { status, statusText, headers, body } = refusal;
  return new Response(body, {
    status,
    statusText,
    headers: { 'content-type': 'application/json', ...headers },
  });
}

const PEEK_BYTES = 4_096;

/** Reads at most the first 4 KiB; the response that comes back still has all of its body. */
async function peekResponse(response: Response): Promise<{ response: Response; text: string }> {
  if (response.body === null) return { response, text: '' };
  const body: ReadableStream<Uint8Array> = response.body;
  const [forPeek, forCaller] = body.tee();
  const reader = forPeek.getReader();
  const chunks: Uint8Array[] = [];
  let size = 0;
  while (size < PEEK_BYTES) {
    const { done, value } = await reader.read();
    if (done) break;
    chunks.push(value);
    size += value.length;
    if (response.headers.get('content-type')?.includes('event-stream') === true) break;
  }
  void reader.cancel().catch(() => {});
  const { status, statusText, headers, url } = response;
  const copy = new Response(forCaller, { status, statusText, headers });
  Object.defineProperty(copy, 'url', { value: url });
  // fetch has already undone the content encoding.
  return { response: copy, text: peekText(Buffer.concat(chunks), undefined) };
}

/** `{key}` in a path stands for the key, where the provider wants it there. */
function placeKey(lease: Lease, path: string, original: Headers): { url: string; headers: Headers } {
  const { auth } = lease.member.provider;
  const { apiKey } = lease;
  const filled = auth.in === 'path' ? path.replace('{key}', encodeURIComponent(apiKey)) : path;
  const url = new URL(`${lease.baseUrl.replace(/\/$/, '')}/${filled.replace(/^\//, '')}`);
  const headers = new Headers(original);
  if (auth.in === 'query') {
    url.searchParams.set(auth.name, apiKey);
  } else if (auth.in === 'header') {
    headers.set(auth.name, auth.scheme === undefined ? apiKey : `${auth.scheme} ${apiKey}`);
  } else if (auth.in === 'basic') {
    const pair = auth.field === 'username' ? `${apiKey}:` : `:${apiKey}`;
    headers.set('authorization', `Basic ${Buffer.from(pair).toString('base64')}`);
  }
  return { url: url.href, headers };
}

function leaseOrThrow(result: Lease | Refusal): Lease {
  if (isRefusal(result)) throw result.error;
  return result;
}

function delay(delayMs: number): Promise<void> {
  return delayMs <= 0 ? Promise.resolve() : new Promise((resolve) => setTimeout(resolve, delayMs));
}
