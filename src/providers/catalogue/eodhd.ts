import type { CatalogueEntry, ProviderFacts } from '../catalogue-entry.js';

export const eodhd: CatalogueEntry = {
  id: 'eodhd',
  name: 'EODHD',
  baseUrl: 'https://eodhd.com',
  origins: ['https://eodhd.com', 'https://eodhistoricaldata.com'],
  auth: { in: 'query', name: 'api_token' },
  authAlternatives: [],
  env: ['EODHD_API_KEY', 'EODHD_API_TOKEN'],
  demoKeys: ['demo'],
  signed: false,
  bucketScope: 'key',
  errors: [{ status: 402, outcome: 'quota-exhausted', window: 'day' }],
  reset: { at: '00:00', timeZone: 'UTC' },
  probe: { method: 'GET', path: '/api/user?fmt=json', everyMs: 3_600_000, dailyBudget: 6 },
};

export const eodhdFacts: ProviderFacts = {
  knownLimits: [
    { tier: 'free', requests: 20, per: 'day', asOf: 'third-party 2026-07' },
    { tier: 'paid', requests: 100_000, per: 'day', asOf: 'docs 2025-09-15; third-party 2026-07' },
    { tier: 'all', requests: 1_000, per: 'minute', asOf: 'third-party 2026-07' },
  ],
  poolTerms: null,
  notes: [
    'One request can cost several "API calls".',
    "Daily reset: midnight GMT on subscriptions, but the counter in /api/user keeps yesterday's value until the first request after midnight (do not read it as exhausted); marketplace products instead use 24 h from the first request.",
    '/api/user returns name, email and token: keep only the counters.',
    'A 403 is taken for a matter of the plan: it is not certain that a bad key gets one.',
  ],
  sources: [
    'https://eodhd.com/financial-apis/api-limits (wp-json posts/486, modified 2025-09-15)',
    'https://eodhd.com/financial-apis-blog/user-api-and-monitoring-daily-api-limits',
    'EodHistoricalData/EODHD-APIs-Python-Financial-Library:eodhd/APIs/BaseAPI.py',
    'api-evangelist/eodhd:rate-limits/eodhd-rate-limits.yml (2026-07-22, generated)',
    'public client code, repositories not recorded',
  ],
  fromMemory: ['header names', '401/403 for a bad token', 'the demo token'],
};
