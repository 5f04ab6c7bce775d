/** How an attempt ended. `aborted` is excluded: it speaks neither for nor against anyone. */
export type OutcomeKind =
  | 'success'
  | 'rate-limited'
  | 'quota-exhausted'
  | 'rejected'
  | 'restricted'
  | 'overloaded'
  | 'network'
  | 'bad-request'
  | 'aborted';

/** Whom an outcome blames, from the narrowest to the widest. */
export type Scope = 'request' | 'route' | 'key' | 'bucket' | 'provider' | 'egress';

/** Where a deadline comes from: the provider said so, or we guessed. */
export type DeadlineSource = 'stated' | 'guessed';

/** How one attempt ended, and whom that blames. */
export interface Outcome {
  readonly kind: OutcomeKind;
  readonly scope: Scope;
  /** When the blamed one may be used again, in epoch milliseconds, as the provider stated it. */
  readonly retryAt?: number;
  /** The HTTP status that led here, if there was one. */
  readonly status?: number;
  /** The rule or header that decided, in words without any key. */
  readonly evidence?: string;
  /** No other key could have served the request: a guessed rest after `rate-limited` is then the shortest one. */
  readonly noOther?: boolean;
  /**
   * Whether the provider carried the request out. `no` is proof that it did not, so that any method may be
   * repeated; after `maybe` only safe or idempotent requests are.
   */
  readonly executed: 'no' | 'maybe' | 'yes';
}

export const SUCCESS: Outcome = { kind: 'success', scope: 'request', executed: 'yes' };
export const ABORTED: Outcome = { kind: 'aborted', scope: 'request', executed: 'maybe' };
export const BAD_REQUEST: Outcome = { kind: 'bad-request', scope: 'request', executed: 'yes' };

/** The scope that an outcome of this kind blames when no rule says otherwise. */
export const DEFAULT_SCOPE: Readonly<Record<OutcomeKind, Scope>> = {
  success: 'request',
  'rate-limited': 'key',
  'quota-exhausted': 'key',
  rejected: 'key',
  restricted: 'route',
  overloaded: 'provider',
  network: 'provider',
  'bad-request': 'request',
  aborted: 'request',
};

/** Refusals that prove that the provider did not carry the request out. */
export const REFUSED_BEFORE_PROCESSING: ReadonlySet<OutcomeKind> = new Set<OutcomeKind>([
  'rate-limited',
  'quota-exhausted',
  'rejected',
  'restricted',
]);
