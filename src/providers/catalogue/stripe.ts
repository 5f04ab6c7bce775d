import type { CatalogueEntry, ProviderFacts } from '../catalogue-entry.js';

export const stripe: CatalogueEntry = {
  id: 'stripe',
  name: 'Stripe',
  baseUrl: 'https://api.stripe.com',
  origins: ['https://api.stripe.com'],
  auth: { in: 'header', name: 'Authorization', scheme: 'Bearer' },
  authAlternatives: [{ in: 'basic', field: 'username' }],
  env: ['STRIPE_SECRET_KEY'],
  signed: false,
  bucketScope: 'account',
  errors: [
    // A declined card.
    { status: 402, outcome: 'bad-request' },
    // Another request holds the object.
    { status: 429, json: '$.error.code', match: '^lock_timeout$', outcome: 'overloaded', scope: 'request' },
    { status: 400, json: '$.error.code', match: '^rate_limit$', outcome: 'rate-limited' },
    { status: 409, outcome: 'overloaded', scope: 'request' },
  ],
  probe: { method: 'GET', path: '/v1/balance', everyMs: 3_600_000, dailyBudget: 12 },
};

export const stripeFacts: ProviderFacts = {
  knownLimits: [
    { tier: 'live', requests: 100, per: 'second', asOf: 'quoted from docs in code, 2026' },
    { tier: 'sandbox/test', requests: 25, per: 'second', asOf: 'quoted from docs in code, 2026' },
    { tier: 'one endpoint', requests: 25, per: 'second', asOf: 'same' },
  ],
  poolTerms: 'Do not pool: a key acts for one merchant account.',
  notes: [
    'TEST OR LIVE is in the prefix: sk_test_/rk_test_ vs sk_live_/rk_live_ (pk_ = publishable).',
    'Never mix modes, and never pool keys of different accounts: objects and money live in the account.',
    '402 is a declined CARD, not your quota.',
    '429 with code lock_timeout and no reason header = object lock, not a limit.',
    '409 = idempotency conflict, retried by the SDK.',
    'Restricted keys may give 403 on a probe while healthy.',
    'Retrying a POST needs the same Idempotency-Key.',
    'STRIPE_API_KEY and STRIPE_TEST_SECRET_KEY may belong to another account or mode, so they are left alone.',
  ],
  sources: [
    'stripe/stripe-node:src/Error.ts',
    'stripe/stripe-node:src/RequestSender.ts (2026-08-19)',
    'trufflesecurity/trufflehog:pkg/detectors/stripe/stripe.go',
    'public client code, repositories not recorded',
  ],
  fromMemory: ['/v1/balance probe', 'env names'],
};
