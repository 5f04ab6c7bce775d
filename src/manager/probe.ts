/** One probe: a request that the program never sees, judged as any answer is. */
import type { Outcome } from '../core/outcome.js';
import { ABORTED } from '../core/outcome.js';
import type { Clock } from '../core/ports.js';
import type { ProbePolicy } from '../core/provider.js';
import { PEEK_BYTES, peekText } from '../providers/body-peek.js';
import { bodyVerdict, headVerdict } from '../providers/classification.js';
import { placeKey } from './library-fetch.js';
import type { Member } from './members.js';
import { networkOutcome, outcomeOfError } from './outcome-of-error.js';
import { runOwned } from './ownership.js';

/** How long an answer may take, its beginning included. Milliseconds. */
export const PROBE_DEADLINE_MS = 10_000;

export interface ProbeOptions {
  readonly fetch: typeof fetch;
  readonly now: Clock;
  /** Ends the probe, which then tells nothing. */
  readonly signal: AbortSignal;
  /** Default: `PROBE_DEADLINE_MS`. */
  readonly deadlineMs?: number;
}

/** Sends the probe of the member's provider, with the member's key if it carries one. Never rejects. */
export async function sendProbe(
  member: Member,
  policy: ProbePolicy,
  { fetch, now, signal, deadlineMs = PROBE_DEADLINE_MS }: ProbeOptions,
): Promise<Outcome> {
  const deadline = AbortSignal.timeout(deadlineMs);
  try {
    const { url, init } = placed(member, policy);
    const limited = { ...init, signal: AbortSignal.any([signal, deadline]) };
    const response = await runOwned(() => fetch(url, limited));
    return judge(member, response, await beginningOf(response), now());
  } catch (error) {
    if (signal.aborted) return ABORTED;
    if (deadline.aborted) return networkOutcome(`no answer within ${deadlineMs} ms`);
    return outcomeOfError(error, member.provider, now());
  }
}

interface Placed {
  readonly url: string;
  readonly init: RequestInit;
}

function placed(member: Member, { method, path, headers, authenticated }: ProbePolicy): Placed {
  const base = member.provider.baseUrl.replace(/\/$/, '');
  const init = {
    method,
    headers: new Headers({ accept: 'application/json', ...headers }),
    redirect: 'manual',
  } as const;
  if (!authenticated) return { url: base + path, init };
  return placeKey({ apiKey: member.credential.secret.reveal(), member }, base, path, init);
}

async function beginningOf({ body }: Response): Promise<Uint8Array> {
  const chunks: Uint8Array[] = [];
  let size = 0;
  for await (const chunk of body ?? []) {
    chunks.push(chunk as Uint8Array);
    size += (chunk as Uint8Array).length;
    if (size >= PEEK_BYTES) break;
  }
  return Buffer.concat(chunks);
}

function judge(
  { provider }: Member,
  { status, headers }: Response,
  beginning: Uint8Array,
  now: number,
): Outcome {
  // fetch has already undone the content encoding.
  const header = (name: string): string | undefined =>
    name === 'content-encoding' ? undefined : (headers.get(name) ?? undefined);
  const head = { status, header };
  const verdict = headVerdict(provider, head, now);
  const outcome =
    verdict === 'needs-body' ? bodyVerdict(provider, head, peekText(beginning, undefined), now) : verdict;
  // A page for people that it leads to is no good answer.
  const isRedirect = outcome.kind === 'success' && status >= 300;
  return isRedirect ? { ...outcome, kind: 'bad-request' } : outcome;
}
