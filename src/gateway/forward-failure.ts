/** What a caller gets where no provider gave an answer, in the form in which a provider would say it. */
import { errors } from 'undici';
import type { ErrorCode } from '../core/errors.js';
import { KeymuxError } from '../core/errors.js';
import { errorBody } from './error-body.js';
import type { Lease } from '../manager/lease.js';
import type { Refusal } from '../manager/refusal.js';
import type { Stall } from '../manager/stall.js';
import { STALL_EVIDENCE, stallError } from '../manager/stall.js';

/** An answer of ours. */
export interface FailureAnswer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  /** JSON. */
  readonly body: string;
}

type Headers = Readonly<Record<string, string>>;

/** Client libraries that retry by themselves would only multiply the attempts already made here. */
const NO_RETRY = { 'x-should-retry': 'false' };
const TIMEOUT_CODE = /TIMEOUT|TIMEDOUT/;
/** What undici does not send, and what it says once it is closed; also our own errors. */
const NO_NETWORK_CODE =
  /^(UND_ERR_(INVALID_ARG|NOT_SUPPORTED|DESTROYED|CLOSED)|ERR_(?!SSL|TLS|HTTP2)|KEYMUX_)/;
const UNSENDABLE_CODE = /^UND_ERR_(INVALID_ARG|NOT_SUPPORTED)$/;

export function failureAnswer(
  status: number,
  { code, message, fix }: KeymuxError,
  headers?: Headers,
): FailureAnswer {
  // Client libraries show the message and nothing else.
  const body = errorBody({ code, message: `${message} ${fix}`, fix });
  return { status, headers: { ...NO_RETRY, ...headers }, body: JSON.stringify(body) };
}

export function answerOfRefusal({ status, headers, body }: Refusal): FailureAnswer {
  return { status, headers, body };
}

/** The code of an error for which a connection, or the provider at its end, is to blame. */
export function networkCodeOf(error: unknown): string | undefined {
  // undici leaves it out where its parser failed.
  if (error instanceof errors.HTTPParserError) return codeOf(error) ?? 'HPE_INVALID';
  const code = codeOf(error);
  return code === undefined || NO_NETWORK_CODE.test(code) ? undefined : code;
}

function codeOf(error: unknown): string | undefined {
  if (typeof error !== 'object' || error === null || !('code' in error)) return undefined;
  return typeof error.code === 'string' ? error.code : undefined;
}

/** `code`: that of the connection's error, or the limit that was exceeded. */
export function failureOf(
  lease: Lease,
  code: string,
  progress: 'unsent' | 'sent',
  headers?: Headers,
): FailureAnswer {
  if (isStall(code)) return failureAnswer(code === 'too-long' ? 502 : 504, stallError(lease, code), headers);
  const isLate = TIMEOUT_CODE.test(code);
  const error =
    progress === 'unsent'
      ? unreachable(lease, code)
      : unanswered(lease, isLate ? 'KEYMUX_TIMEOUT' : 'KEYMUX_ANSWER_INCOMPLETE', code);
  return failureAnswer(isLate ? 504 : 502, error, headers);
}

function isStall(code: string): code is Stall {
  return Object.hasOwn(STALL_EVIDENCE, code);
}

function unreachable({ keyId, provider }: Lease, code: string): KeymuxError {
  return new KeymuxError(
    'KEYMUX_PROVIDER_UNREACHABLE',
    `${provider} could not be reached: ${code} (key ${keyId}). Nothing was sent.`,
    { fix: `Check \`providers.${provider}.baseUrl\` and the network, then send the request again.` },
  );
}

function unanswered({ keyId, provider }: Lease, kind: ErrorCode, code: string): KeymuxError {
  return new KeymuxError(
    kind,
    `${provider} gave no whole answer: ${code} (key ${keyId}). The request may have been carried out.`,
    {
      fix: `Send it again if that does no harm; \`providers.${provider}.retry.repeatable\` lets keymux do so.`,
    },
  );
}

/** The request cannot be sent, or we failed. `to`: a key, a provider or a service. */
export function ownFault(to: string, error: unknown): FailureAnswer {
  if (error instanceof KeymuxError) return failureAnswer(503, error);
  const code = codeOf(error) ?? (error instanceof Error ? error.name : 'no error');
  const what = `The request was not sent to ${to}: ${code}.`;
  return UNSENDABLE_CODE.test(code)
    ? failureAnswer(
        400,
        new KeymuxError('KEYMUX_USAGE', what, { fix: 'Correct its method, path or headers.' }),
      )
    : failureAnswer(
        503,
        new KeymuxError('KEYMUX_CLOSED', what, { fix: 'Send it again, to a gateway that runs.' }),
      );
}

export function bodyTooLong(maxBytes: number): FailureAnswer {
  const what = `The body of the request is longer than ${maxBytes} bytes.`;
  return failureAnswer(
    413,
    new KeymuxError('KEYMUX_USAGE', what, { fix: 'Send less, or raise the limit of the gateway.' }),
  );
}

export function notUpgradable(): FailureAnswer {
  const what = 'The connection cannot be upgraded to anything but a WebSocket.';
  return failureAnswer(
    400,
    new KeymuxError('KEYMUX_USAGE', what, { fix: 'Send `Upgrade: websocket`, or no `Upgrade`.' }),
  );
}
