import type { OutcomeKind, Scope } from './outcome.js';
import type { QuotaWindow } from './quota.js';

/** Where a provider expects its key. */
export type AuthPlacement =
  | { readonly in: 'header'; readonly name: string; readonly scheme?: string }
  | { readonly in: 'query'; readonly name: string }
  | { readonly in: 'path' }
  | { readonly in: 'basic'; readonly field: 'username' | 'password' };

/** Who owns the allowance that a request spends. */
export type BucketScope = 'key' | 'account' | 'organization' | 'project' | 'egress';

/** One rule of classification; rules are tried in order and the first that matches decides. */
export interface ErrorRule {
  /** Absent: any status. */
  readonly status?: number | readonly number[];
  /** A header that must be there, and what its value must match (a JavaScript regular expression, flag `i`). */
  readonly header?: { readonly name: string; readonly match?: string };
  /** A path into a JSON body (`$.error.code`, `$.error.details[*].reason`); `match` applies to what it finds. */
  readonly json?: string;
  /** A path into the JSON of the first server-sent event; `match` applies to what it finds. */
  readonly sse?: string;
  /** A JavaScript regular expression, flag `i`. Without `json` or `sse` it applies to the body's text. */
  readonly match?: string;
  readonly outcome: OutcomeKind;
  /** Default: `DEFAULT_SCOPE[outcome]`. */
  readonly scope?: Scope;
  /** The window that is used up, where the rule tells: the credential rests until that window ends. */
  readonly window?: 'second' | 'minute' | 'hour' | 'day' | 'month';
}

/** A daily or monthly boundary at which a provider's windows start anew. */
export interface CalendarReset {
  /** `HH:MM` in `timeZone`. */
  readonly at: string;
  /** An IANA name such as `America/Los_Angeles`. */
  readonly timeZone: string;
}

export interface RetryPolicy {
  /** Routes (`POST /v1/search`, `*` at the end matches any rest) that may be repeated after an ambiguous failure. */
  readonly repeatable: readonly string[];
  /** All attempts of one request together, waiting included. Milliseconds. */
  readonly deadlineMs: number;
  /** How long a request may wait for a key to return before it is answered with a refusal. Milliseconds. */
  readonly maxWaitMs: number;
  /** Attempts of one request at most, the first included. */
  readonly maxAttempts: number;
  /** Bodies up to this size are kept for a repetition. Bytes. */
  readonly maxBodyBytes: number;
}

export interface StreamPolicy {
  /**
   * When an answer counts as good: after its first event (or its head), or only once the whole of it is there and
   * was checked. Default: `first-event`.
   */
  readonly commit: 'first-event' | 'complete';
  /** From sending the request to the first byte of the answer. Milliseconds; 0: no limit. Default: 0. */
  readonly firstByteMs: number;
  /** The longest pause within an answer. Milliseconds; 0: no limit. Default: 0. */
  readonly idleMs: number;
  /** With `complete`: an answer longer than this is an error. Bytes. Default: 16 MiB. */
  readonly maxBytes: number;
  /**
   * What the last events of a whole event stream look like (a JavaScript regular expression, flag `i`); one that ends
   * without it was cut. Absent: the end of the connection's message is the end.
   */
  readonly endMark?: string;
}

/** What the requests of a provider look like; they can be rewritten for another one of the same protocol. */
export interface Protocol {
  /** `openai` for what is compatible with its API; mirrors of one API share any other name. */
  readonly name: string;
  /** What paths begin with before they are alike: `/v1`, `/openai/v1`, or nothing. No slash at the end. */
  readonly pathPrefix: string;
}

/** A request that tells whether a key, or a provider, is well. */
export interface ProbePolicy {
  readonly method: 'GET' | 'HEAD' | 'POST';
  /** Below `baseUrl`; `{key}` stands for the key where the provider wants it in the path. */
  readonly path: string;
  /** Between two probes with one key at least. Milliseconds. */
  readonly everyMs: number;
  /** Probes per key within any 24 hours at most. */
  readonly dailyBudget: number;
  /**
   * Whether a probe spends the allowance of its key. Unless it certainly does not, it takes a permit as any request
   * does; only where it certainly does, its answer tells whether a spent allowance is back.
   */
  readonly costsQuota: 'no' | 'yes' | 'unknown';
  /** Whether it carries the key. An answer without one only tells that the provider is up. */
  readonly authenticated: boolean;
  /** What a request needs besides the key. */
  readonly headers?: Readonly<Record<string, string>>;
}

/** What is known of a probe; everything but its path has a default. */
export type KnownProbe = Pick<ProbePolicy, 'path'> & Partial<Omit<ProbePolicy, 'headers'>>;

export interface ProviderDefinition {
  readonly id: string;
  readonly name: string;
  readonly baseUrl: string;
  /** The only places that a key of this provider may go: scheme, host and port, such as `https://api.openai.com`. */
  readonly origins: readonly string[];
  readonly auth: AuthPlacement;
  /** Other places in which clients of this provider put the key. */
  readonly authAlternatives: readonly AuthPlacement[];
  /** Environment names, the most conventional first. */
  readonly env: readonly string[];
  readonly mode: 'direct' | 'virtual';
  /** Requests are signed with the key (HMAC), so that it is never replaced in flight. */
  readonly signed: boolean;
  readonly bucketScope: BucketScope;
  /** Enforced limits of each bucket. Empty: nothing is enforced, refusals alone steer. */
  readonly limits: readonly QuotaWindow[];
  readonly errors: readonly ErrorRule[];
  readonly reset?: CalendarReset;
  readonly retry: RetryPolicy;
  readonly stream: StreamPolicy;
  readonly probe?: ProbePolicy;
  readonly protocol?: Protocol;
  /** A header of answers that names the owner of the allowance, such as `openai-organization`. Lower case. */
  readonly ownerHeader?: string;
}

/** What a catalogue knows of a provider; everything else has a default or is configured. */
export type KnownProvider = Pick<
  ProviderDefinition,
  | 'id'
  | 'name'
  | 'baseUrl'
  | 'origins'
  | 'auth'
  | 'authAlternatives'
  | 'env'
  | 'signed'
  | 'bucketScope'
  | 'errors'
> &
  Partial<Pick<ProviderDefinition, 'reset' | 'protocol' | 'ownerHeader'>> & {
    readonly probe?: KnownProbe;
    /** Headers that every request needs besides the key, a probe included. */
    readonly companionHeaders?: Readonly<Record<string, string>>;
    /** Routes that only compute an answer, so that a repetition after an ambiguous failure does no harm. */
    readonly repeatable?: RetryPolicy['repeatable'];
    /** `StreamPolicy.endMark`. */
    readonly streamEndMark?: string;
    /**
     * Every customer has a host of their own that fits this pattern, so that `origins` is empty and `baseUrl` a name
     * that never resolves: the configuration must give `baseUrl`.
     */
    readonly originPattern?: string;
    /** Values that look like placeholders and yet are keys that the provider accepts. */
    readonly demoKeys?: readonly string[];
  };

export const DEFAULT_RETRY: RetryPolicy = {
  repeatable: [],
  deadlineMs: 30_000,
  maxWaitMs: 2_000,
  maxAttempts: 16,
  maxBodyBytes: 1_048_576,
};

const MINUTE_MS = 60_000;

/** A probe that is known to be free goes out at any time; one that may cost something is for want of anything better. */
export const DEFAULT_PROBE: Omit<ProbePolicy, 'path' | 'dailyBudget'> = {
  method: 'GET',
  everyMs: MINUTE_MS,
  costsQuota: 'unknown',
  authenticated: true,
};
export const DEFAULT_DAILY_PROBES: Readonly<Record<ProbePolicy['costsQuota'], number>> = {
  no: 100,
  unknown: 12,
  yes: 6,
};
/** How long a key or provider rests before it is probed at all. Milliseconds. */
export const DEFAULT_HEALTH_CHECK_INTERVAL_MS = 30_000;

export const DEFAULT_STREAM: StreamPolicy = {
  commit: 'first-event',
  firstByteMs: 0,
  idleMs: 0,
  maxBytes: 16_777_216,
};
