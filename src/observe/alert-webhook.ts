/** Sends one alert to one address. */
import type { AlertWebhook } from '../config/alert-definition.js';
import { slackMessage } from './alert-payload.js';
import type { AlertPayload } from './alert-payload.js';
import { Undelivered } from './alert-outbox.js';

/** How long an address may take to answer. Milliseconds. */
const DEADLINE_MS = 5_000;
/** A receiver cannot put a message off for longer. Milliseconds. */
const LONGEST_WAIT_MS = 60_000;

/** Rejects with `Undelivered`, which holds nothing of the address. */
export async function sendToWebhook(
  { url, format }: AlertWebhook,
  payload: AlertPayload,
  send: typeof fetch,
  signal: AbortSignal,
): Promise<void> {
  const body = JSON.stringify(format === 'slack' ? slackMessage(payload) : payload);
  let response: Response;
  try {
    response = await send(url.reveal(), {
      method: 'POST',
      headers: { 'content-type': 'application/json', 'user-agent': 'keymux' },
      body,
      // Another address was never agreed upon.
      redirect: 'manual',
      signal: AbortSignal.any([signal, AbortSignal.timeout(DEADLINE_MS)]),
    });
  } catch (error) {
    throw new Undelivered(faultOf(error), { mayRetry: true });
  }
  // Not awaited: a body that never ends would hold up the next message.
  void response.body?.cancel().catch(() => {});
  if (response.status >= 200 && response.status < 300) return;
  const { status } = response;
  const mayRetry = status >= 500 || status === 408 || status === 429;
  const afterMs = mayRetry ? retryAfterMs(response.headers.get('retry-after')) : undefined;
  throw new Undelivered(`it answered ${status}`, { mayRetry, ...(afterMs === undefined ? {} : { afterMs }) });
}

/** Names no address, as messages of the platform may. */
function faultOf(error: unknown): string {
  if (error instanceof Error && error.name === 'TimeoutError')
    return `it did not answer within ${DEADLINE_MS / 1_000} s`;
  const cause: unknown = error instanceof Error ? error.cause : undefined;
  const code: unknown =
    typeof cause === 'object' && cause !== null && 'code' in cause ? cause.code : undefined;
  return typeof code === 'string' && /^[A-Z0-9_]{1,40}$/.test(code)
    ? `it cannot be reached (${code})`
    : 'it cannot be reached';
}

function retryAfterMs(text: string | null): number | undefined {
  if (text === null || !/^\d{1,6}$/.test(text)) return undefined;
  return Math.min(LONGEST_WAIT_MS, Number(text) * 1_000);
}
