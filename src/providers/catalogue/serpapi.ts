import type { CatalogueEntry, ProviderFacts } from '../catalogue-entry.js';

export const serpapi: CatalogueEntry = {
  id: 'serpapi',
  name: 'SerpApi',
  baseUrl: 'https://serpapi.com',
  origins: ['https://serpapi.com'],
  auth: { in: 'query', name: 'api_key' },
  authAlternatives: [],
  env: ['SERPAPI_API_KEY', 'SERPAPI_KEY', 'SERP_API_KEY'],
  signed: false,
  bucketScope: 'account',
  errors: [
    {
      status: [200, 429],
      json: '$.error',
      match: 'run out of searches|searches for the month are exhausted',
      outcome: 'quota-exhausted',
      window: 'month',
    },
    { status: 403, outcome: 'rejected' },
  ],
  probe: { method: 'GET', path: '/account', everyMs: 3_600_000, dailyBudget: 12 },
};

export const serpapiFacts: ProviderFacts = {
  knownLimits: [{ tier: 'free', requests: 250, per: 'month', asOf: null }],
  poolTerms: null,
  notes: [
    '429 has two meanings (hourly throughput OR out of searches): the text or the account API decides.',
    'GET /account?api_key= gives plan_searches_left, total_searches_left, this_hour_searches, account_rate_limit_per_hour.',
    'A 200 with "error": "... hasn\'t returned any results" is a normal empty result.',
    '403 = account deleted.',
  ],
  sources: [
    'https://serpapi.com/api-status-and-error-codes',
    'https://serpapi.com/api-errors',
    'serpapi/serpapi-javascript:src/serpapi.ts',
    'public client code, repositories not recorded',
  ],
  fromMemory: ['free 250/month', 'account API is free of quota'],
};
