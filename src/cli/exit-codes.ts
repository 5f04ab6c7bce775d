import type { ErrorCode } from '../core/errors.js';
import { KeymuxError } from '../core/errors.js';

/** What `keymux` says by its exit code. `run` passes on the program's own; see docs/cli.md. */
export const EXIT = {
  ok: 0,
  /** Something failed that has no code of its own. */
  failure: 1,
  usage: 2,
  configuration: 3,
  vaultLocked: 4,
  integrity: 5,
  noUsableKey: 6,
  policy: 7,
  leak: 8,
  audit: 9,
  notExecutable: 126,
  notFound: 127,
  /** Plus the number of the signal. */
  signal: 128,
} as const;

const BY_CODE: Readonly<Record<ErrorCode, number>> = {
  KEYMUX_ABORTED: EXIT.failure,
  KEYMUX_ACCESS_DENIED: EXIT.policy,
  KEYMUX_ANSWER_INCOMPLETE: EXIT.failure,
  KEYMUX_AUDIT_BROKEN: EXIT.audit,
  KEYMUX_AUDIT_UNAVAILABLE: EXIT.audit,
  KEYMUX_CLOSED: EXIT.failure,
  KEYMUX_CONFIG_INVALID: EXIT.configuration,
  KEYMUX_CONFIG_NOT_ALLOWED: EXIT.policy,
  KEYMUX_CONFIG_UNREADABLE: EXIT.configuration,
  KEYMUX_FENCED: EXIT.failure,
  KEYMUX_INIT_FAILED: EXIT.failure,
  KEYMUX_LEASE_ENDED: EXIT.failure,
  KEYMUX_NO_USABLE_KEY: EXIT.noUsableKey,
  KEYMUX_ORIGIN_REFUSED: EXIT.policy,
  KEYMUX_PATCH_CONFLICT: EXIT.failure,
  KEYMUX_PROVIDER_UNREACHABLE: EXIT.failure,
  KEYMUX_SECRET_UNREADABLE: EXIT.configuration,
  KEYMUX_STORE_FORGOT: EXIT.failure,
  KEYMUX_STORE_UNAVAILABLE: EXIT.failure,
  KEYMUX_TABLE_FULL: EXIT.failure,
  KEYMUX_TABLE_MISMATCH: EXIT.failure,
  KEYMUX_TIMEOUT: EXIT.failure,
  KEYMUX_UNKNOWN_KEY: EXIT.usage,
  KEYMUX_UNKNOWN_SERVICE: EXIT.usage,
  KEYMUX_USAGE: EXIT.usage,
  KEYMUX_VAULT_DAMAGED: EXIT.integrity,
  KEYMUX_VAULT_LOCKED: EXIT.vaultLocked,
};

export function exitCodeOf(error: unknown): number {
  const root = rootOf(error);
  return root instanceof KeymuxError ? BY_CODE[root.code] : EXIT.failure;
}

/** A failed start is told by what made it fail: that is what can be mended. */
export function rootOf(error: unknown): unknown {
  let root = error;
  while (root instanceof KeymuxError && root.code === 'KEYMUX_INIT_FAILED' && root.cause instanceof Error) {
    root = root.cause;
  }
  return root;
}
