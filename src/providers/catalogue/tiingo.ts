import type { CatalogueEntry, ProviderFacts } from '../catalogue-entry.js';

export const tiingo: CatalogueEntry = {
  id: 'tiingo',
  name: 'Tiingo',
  baseUrl: 'https://api.tiingo.com',
  origins: ['https://api.tiingo.com'],
  auth: { in: 'header', name: 'Authorization', scheme: 'Token' },
  authAlternatives: [{ in: 'query', name: 'token' }],
  env: ['TIINGO_API_KEY', 'TIINGO_TOKEN'],
  signed: false,
  bucketScope: 'account',
  errors: [
    {
      status: [200, 429],
      json: '$.detail',
      match: 'hourly request allocation',
      outcome: 'rate-limited',
      window: 'hour',
    },
    {
      status: [200, 429],
      json: '$.detail',
      match: 'daily request allocation',
      outcome: 'quota-exhausted',
      window: 'day',
    },
    // Bare text, where CSV was asked for.
    {
      status: [200, 429],
      match: '^\\W*Error: You have run over your hourly request allocation',
      outcome: 'rate-limited',
      window: 'hour',
    },
    {
      status: [200, 429],
      match: '^\\W*Error: You have run over your daily request allocation',
      outcome: 'quota-exhausted',
      window: 'day',
    },
    { status: 403, match: 'Invalid token|not authori[sz]ed', outcome: 'rejected' },
  ],
  probe: { method: 'GET', path: '/api/test', everyMs: 3_600_000, dailyBudget: 6 },
};

export const tiingoFacts: ProviderFacts = {
  knownLimits: [
    { tier: 'free', requests: 50, per: 'hour', asOf: 'third-party 2026-05' },
    { tier: 'free', requests: 1_000, per: 'day', asOf: null },
    { tier: 'free', amount: '500 unique symbols', per: 'month', asOf: null },
  ],
  poolTerms: null,
  notes: [
    'Body is {"detail":"Error: You have run over your hourly request allocation..."} or the bare text (CSV).',
    'Tests in the wild expect it with HTTP 200 too.',
    'Match "request allocation", not the whole sentence.',
    '403 is also given for one plan-restricted ticker, so 403 alone must not disable a key.',
    'One project burned ~10,000 requests against an exhausted allocation: stop dispatch provider-wide.',
  ],
  sources: [
    'hydrosquall/tiingo-python:tiingo/api.py',
    'OpenBB-finance/OpenBB:openbb_platform/providers/tiingo/openbb_tiingo/utils/helpers.py',
    'trufflesecurity/trufflehog:pkg/detectors/tiingo/tiingo.go',
    'public client code, repositories not recorded',
  ],
  fromMemory: ['1000/day and 500 symbols', '/api/test probe', '401 status'],
};
