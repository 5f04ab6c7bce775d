import type { QuotaWindow } from './quota.js';
import type { Secret } from './secret.js';

/** One API key of a provider: what is configured. How it fares is its `Health`. */
export interface Credential {
  /** Unique within the provider, such as `main` or `key-2`. Never the key itself. */
  readonly id: string;
  readonly provider: string;
  readonly secret: Secret;
  /** Lower goes first. */
  readonly priority: number;
  /** Share in weighted strategies; above 0. */
  readonly weight: number;
  /** Who owns the allowance; keys with the same bucket share limits and cooldowns. */
  readonly bucket: string;
  /** The configuration names the bucket; nothing that is learnt changes it. */
  readonly bucketDeclared?: true;
  /** Limits of this key's bucket, where they differ from the provider's. */
  readonly limits?: readonly QuotaWindow[];
  /** From then on the key is not used any more. Epoch milliseconds. */
  readonly expiresAt?: number;
  /** Where the key was found, such as `env:FINNHUB_API_KEY` or `keymux.config.yaml:12`. */
  readonly origin: string;
  /** Present where the key is not to be passed on: every thread reads it from there itself. */
  readonly source?: KeySource;
}

/** A reference as in the configuration, and the folder that relative paths in it start from. */
export interface KeySource {
  readonly reference: string;
  readonly folder: string;
}

/** The name under which a credential is reported, `provider/id`. */
export function keyIdOf(credential: Pick<Credential, 'provider' | 'id'>): string {
  return `${credential.provider}/${credential.id}`;
}
