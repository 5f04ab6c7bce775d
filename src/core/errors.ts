/** Every way to fail has a code; each code is an anchor in docs/troubleshooting.md. Codes are never reused. */
export const ERROR_CODES = [
  'KEYMUX_ABORTED',
  'KEYMUX_ACCESS_DENIED',
  'KEYMUX_ANSWER_INCOMPLETE',
  'KEYMUX_AUDIT_BROKEN',
  'KEYMUX_AUDIT_UNAVAILABLE',
  'KEYMUX_CLOSED',
  'KEYMUX_CONFIG_INVALID',
  'KEYMUX_CONFIG_NOT_ALLOWED',
  'KEYMUX_CONFIG_UNREADABLE',
  'KEYMUX_FENCED',
  'KEYMUX_INIT_FAILED',
  'KEYMUX_LEASE_ENDED',
  'KEYMUX_NO_USABLE_KEY',
  'KEYMUX_ORIGIN_REFUSED',
  'KEYMUX_PATCH_CONFLICT',
  'KEYMUX_PROVIDER_UNREACHABLE',
  'KEYMUX_SECRET_UNREADABLE',
  'KEYMUX_STORE_FORGOT',
  'KEYMUX_STORE_UNAVAILABLE',
  'KEYMUX_TABLE_FULL',
  'KEYMUX_TABLE_MISMATCH',
  'KEYMUX_TIMEOUT',
  'KEYMUX_UNKNOWN_KEY',
  'KEYMUX_UNKNOWN_SERVICE',
  'KEYMUX_USAGE',
  'KEYMUX_VAULT_DAMAGED',
  'KEYMUX_VAULT_LOCKED',
] as const;

/** One of `ERROR_CODES`. */
export type ErrorCode = (typeof ERROR_CODES)[number];

export interface KeymuxErrorOptions {
  /** What to do next, in one sentence. */
  readonly fix: string;
  readonly cause?: unknown;
  /** When waiting helps: the soonest moment at which the call may succeed, in epoch milliseconds. */
  readonly retryAt?: number;
}

const brand = Symbol.for('keymux.error');

/**
 * The base of every error that keymux throws. Match on `code`; `instanceof` also works across two copies of the
 * package. Neither `message` nor `fix` ever holds a key: they name providers and key ids.
 */
export class KeymuxError extends Error {
  readonly code: ErrorCode;
  readonly fix: string;
  // Declared alone, so that there is no such property where waiting does not help.
  declare readonly retryAt?: number;
  readonly [brand] = true;

  constructor(code: ErrorCode, message: string, options: KeymuxErrorOptions) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = 'KeymuxError';
    this.code = code;
    this.fix = options.fix;
    if (options.retryAt !== undefined) this.retryAt = options.retryAt;
  }

  /** Where its code is explained, within the package: `docs/troubleshooting.md#keymux_timeout`. */
  get docs(): string {
    return `docs/troubleshooting.md#${this.code.toLowerCase()}`;
  }

  static override [Symbol.hasInstance](value: unknown): boolean {
    return typeof value === 'object' && value !== null && brand in value;
  }
}
