/**
 * The bad day of seven providers, as data. Faults come after so many requests, not after so many seconds: they meet the
 * agents on a slow machine too. At every moment one key of each provider works and has enough allowance left.
 */
import type { AuthPlacement } from '../../core/provider.js';
import type { RequestFacts, Action } from '../../testing/script.js';
import { ok, refuse, reset, softError, stream, streamError } from '../../testing/script.js';
import type { Allowance, KeyScript } from '../../testing/script-key.js';
import { times } from '../../testing/script-key.js';
import type { FlavourName } from '../../testing/simulator-flavours.js';

export interface StagedProvider {
  readonly id: string;
  /** `ACME` for `ACME_API_KEY`, `ACME_API_KEY_2` and `ACME_URL`. */
  readonly envPrefix: string;
  readonly flavour: FlavourName;
  /** Where it expects its key, where the flavour does not say. */
  readonly auth?: AuthPlacement;
  readonly isHttps?: boolean;
  readonly buckets?: Readonly<Record<string, Allowance>>;
  /** The preferred key first. */
  readonly keys: readonly StagedKey[];
  /** What the configuration says of it, but its address and keys. */
  readonly config: Readonly<Record<string, unknown>>;
}

export interface StagedKey {
  /** As keymux calls it when it discovers the name. */
  readonly id: 'main' | '2' | '3' | 'backup';
  readonly script: KeyScript;
}

const PER_SECOND = { requests: 10, perMs: 1_000 };
const ACCOUNT = 'acct-1';

/** Provider by provider the chain of keys that die, each in its own way, until the last one holds. */
export function badDay(): StagedProvider[] {
  return [alphaVantage(), finnhub(), openai(), anthropic(), acme(), newswire(), tickstore()];
}

function alphaVantage(): StagedProvider {
  return {
    id: 'alpha_vantage',
    envPrefix: 'ALPHAVANTAGE',
    flavour: 'alpha_vantage',
    keys: [
      { id: 'main', script: { quota: { requests: 25 } } },
      {
        id: '2',
        script: { quota: { requests: 40 }, first: [times(10, ok()), times(2, softError('rate-limited'))] },
      },
      { id: '3', script: { first: [times(18, ok())], then: refuse('rejected') } },
      { id: 'backup', script: {} },
    ],
    config: {},
  };
}

/** Its limits are known, so keymux has to keep them to the request. */
function finnhub(): StagedProvider {
  const always = ({ path }: RequestFacts): Action => (path.startsWith('/ws') ? ok({ everyMs: 60 }) : ok());
  const ids = ['main', '2', '3', 'backup'] as const;
  return {
    id: 'finnhub',
    envPrefix: 'FINNHUB',
    flavour: 'finnhub',
    keys: ids.map((id) => ({ id, script: { limits: [PER_SECOND], always } })),
    config: { limits: [{ requests: PER_SECOND.requests, per: 'second' }] },
  };
}

function openai(): StagedProvider {
  const isStream = ({ body }: RequestFacts): boolean => body.includes('"stream":true');
  let streams = 0;
  let answers = 0;
  const troubledStreams: readonly (Action | undefined)[] = [
    undefined,
    streamError('overloaded'),
    undefined,
    stream({ ends: 'cut', after: 0 }),
    undefined,
    ...Array.from({ length: 3 }, () => stream({ everyMs: 100 })),
  ];
  const behaviour = (request: RequestFacts): Action => {
    answers += 1;
    if (answers > 38) return refuse('rejected');
    if (!isStream(request)) return ok();
    streams += 1;
    return troubledStreams[streams - 1] ?? ok();
  };
  return {
    id: 'openai',
    envPrefix: 'OPENAI',
    flavour: 'openai',
    keys: [
      {
        id: 'main',
        script: {
          first: [
            times(14, ok()),
            times(2, refuse('rate-limited', { retryAfterSeconds: 1 })),
            times(14, ok()),
          ],
          then: refuse('quota-exhausted'),
        },
      },
      { id: '2', script: { always: behaviour } },
      { id: 'backup', script: {} },
    ],
    config: {
      errors: [{ status: 200, sse: '$.error.type', match: '^server_error$', outcome: 'overloaded' }],
      retry: { repeatable: ['POST /v1/chat/completions'] },
    },
  };
}

/** A region of it is out for seconds, which only the first key feels. */
function anthropic(): StagedProvider {
  const regionDown = times(10, refuse('overloaded', { executes: false }));
  return {
    id: 'anthropic',
    envPrefix: 'ANTHROPIC',
    flavour: 'anthropic',
    keys: [
      {
        id: 'main',
        script: { first: [times(8, ok()), regionDown, times(6, ok())], then: refuse('quota-exhausted') },
      },
      { id: '2', script: { first: [times(16, ok())], then: refuse('rejected') } },
      { id: 'backup', script: { always: ok({ delayMs: 150 }) } },
    ],
    config: { retry: { repeatable: ['POST /v1/messages'] } },
  };
}

/** A broker: what it carries out twice is bought twice. */
function acme(): StagedProvider {
  const tooFast = refuse('rate-limited', { retryAfterSeconds: 1 });
  return {
    id: 'acme',
    envPrefix: 'ACME',
    flavour: 'generic',
    auth: { in: 'header', name: 'x-api-key' },
    keys: [
      {
        id: 'main',
        script: { first: [times(10, ok()), tooFast, times(10, ok())], then: refuse('rejected') },
      },
      { id: '2', script: { quota: { requests: 20 } } },
      { id: '3', script: { first: [times(5, ok()), times(2, tooFast)] } },
      { id: 'backup', script: {} },
    ],
    config: { auth: { in: 'header', name: 'x-api-key' } },
  };
}

/** Two keys of one account share an allowance, and the account's plan lacks an endpoint. */
function newswire(): StagedProvider {
  const byPlan = ({ path }: RequestFacts): Action =>
    path.startsWith('/v2/premium') ? refuse('restricted') : ok();
  return {
    id: 'newswire',
    envPrefix: 'NEWSWIRE',
    flavour: 'generic',
    auth: { in: 'query', name: 'apiKey' },
    isHttps: true,
    buckets: { [ACCOUNT]: { limits: [PER_SECOND] } },
    keys: [
      {
        id: 'main',
        script: {
          bucket: ACCOUNT,
          first: [times(9, byPlan), reset(), times(9, byPlan), reset()],
          then: byPlan,
        },
      },
      { id: '2', script: { bucket: ACCOUNT } },
      { id: 'backup', script: { limits: [{ requests: 20, perMs: 1_000 }] } },
    ],
    config: {
      auth: { in: 'query', name: 'apiKey' },
      limits: [{ requests: PER_SECOND.requests, per: 'second' }],
      keys: [
        { id: 'main', value: 'env:NEWSWIRE_API_KEY', bucket: ACCOUNT },
        { id: '2', value: 'env:NEWSWIRE_API_KEY_2', bucket: ACCOUNT },
        { id: 'backup', value: 'env:NEWSWIRE_API_KEY_BACKUP', limits: [{ requests: 20, per: 'second' }] },
      ],
    },
  };
}

/** All of it goes down; see `outage` in stage.ts. */
function tickstore(): StagedProvider {
  return {
    id: 'tickstore',
    envPrefix: 'TICKSTORE',
    flavour: 'generic',
    keys: [
      { id: 'main', script: {} },
      { id: 'backup', script: {} },
    ],
    config: { retry: { maxWaitMs: 5_000 } },
  };
}
