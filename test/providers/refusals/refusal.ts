import type { OutcomeKind, Scope } from '#keymux/core/outcome.js';

export interface Refusal {
  readonly provider: string;
  readonly status: number;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: unknown;
  readonly kind: OutcomeKind;
  readonly scope?: Scope;
  /** How long until `retryAt`; absent where nothing is stated. Milliseconds. */
  readonly waitMs?: number;
}

export type Case = Omit<Refusal, 'provider'>;

export const of = (provider: string, ...cases: readonly Case[]): Refusal[] =>
  cases.map((each) => ({ provider, ...each }));
export const MINUTE = 60_000;
export const HOUR = 60 * MINUTE;

/** The refusals come in at this moment: noon UTC, 5 o'clock in California. */
export const NOW = Date.UTC(2025, 6, 15, 12);
export const TO_MIDNIGHT_UTC = 12 * HOUR;
export const TO_MIDNIGHT_PACIFIC = 19 * HOUR;

export const apiKeyInvalid = {
  error: {
    code: 400,
    message: 'API key not valid. Please pass a valid API key.',
    status: 'INVALID_ARGUMENT',
    details: [{ '@type': 'type.googleapis.com/google.rpc.ErrorInfo', reason: 'API_KEY_INVALID' }],
  },
};
