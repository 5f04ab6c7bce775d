/** What the API answers where it does not do what was asked. */
import type { ErrorCode } from '../core/errors.js';
import { KeymuxError } from '../core/errors.js';
import { errorBody } from './error-body.js';
import type { ErrorBody } from './error-body.js';

/** A refusal with a status of its own; other errors get theirs from their code. */
export class ApiRefusal extends Error {
  readonly status: number;
  readonly error: KeymuxError;
  readonly headers: Readonly<Record<string, string>>;

  constructor(status: number, error: KeymuxError, headers: Readonly<Record<string, string>> = {}) {
    super(error.message);
    this.status = status;
    this.error = error;
    this.headers = headers;
  }
}

const STATUS_OF: Readonly<Partial<Record<ErrorCode, number>>> = {
  KEYMUX_ACCESS_DENIED: 403,
  KEYMUX_CONFIG_INVALID: 422,
  KEYMUX_CONFIG_NOT_ALLOWED: 422,
  KEYMUX_CONFIG_UNREADABLE: 422,
  KEYMUX_SECRET_UNREADABLE: 422,
  KEYMUX_VAULT_DAMAGED: 422,
  KEYMUX_VAULT_LOCKED: 422,
  KEYMUX_TABLE_FULL: 507,
  KEYMUX_NO_USABLE_KEY: 503,
  KEYMUX_AUDIT_UNAVAILABLE: 503,
  KEYMUX_STORE_UNAVAILABLE: 503,
  KEYMUX_CLOSED: 503,
  KEYMUX_UNKNOWN_KEY: 404,
  KEYMUX_UNKNOWN_SERVICE: 404,
  KEYMUX_USAGE: 400,
};

export interface FailedAnswer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: ErrorBody;
}

/** Tells nothing of an error that is not ours: its text may hold anything. */
export function answerOf(error: unknown): FailedAnswer {
  if (error instanceof ApiRefusal) {
    return { status: error.status, headers: error.headers, body: errorBody(error.error) };
  }
  if (error instanceof KeymuxError) {
    return { status: STATUS_OF[error.code] ?? 500, headers: {}, body: errorBody(error) };
  }
  const body = errorBody({
    code: 'KEYMUX_INTERNAL',
    message: 'The gateway could not answer this.',
    fix: 'This should not have happened: report what was asked.',
  });
  return { status: 500, headers: {}, body };
}

/** A request that cannot be what was meant. */
export function badRequest(message: string, fix: string): ApiRefusal {
  return new ApiRefusal(400, new KeymuxError('KEYMUX_USAGE', message, { fix }));
}
