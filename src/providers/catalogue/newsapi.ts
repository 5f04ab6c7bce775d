import type { CatalogueEntry, ProviderFacts } from '../catalogue-entry.js';

export const newsapi: CatalogueEntry = {
  id: 'newsapi',
  name: 'NewsAPI.org',
  baseUrl: 'https://newsapi.org',
  origins: ['https://newsapi.org'],
  auth: { in: 'header', name: 'X-Api-Key' },
  authAlternatives: [{ in: 'query', name: 'apiKey' }],
  env: ['NEWS_API_KEY', 'NEWSAPI_KEY', 'NEWSAPI_API_KEY'],
  signed: false,
  bucketScope: 'key',
  errors: [
    { status: 429, json: '$.code', match: '^rateLimited$', outcome: 'quota-exhausted', window: 'day' },
    {
      status: [400, 401, 403, 426, 429],
      json: '$.code',
      match: '^apiKeyExhausted$',
      outcome: 'quota-exhausted',
      window: 'day',
    },
    { status: 426, outcome: 'restricted' },
  ],
};

export const newsapiFacts: ProviderFacts = {
  knownLimits: [
    { tier: 'developer', requests: 100, per: '24 hours', asOf: 'message text in code' },
    { tier: 'developer', requests: 50, per: '12 hours', asOf: 'message text in code' },
  ],
  poolTerms: 'Developer plan is for development only, not production.',
  notes: [
    'Body {"status":"error","code","message"}.',
    '"rateLimited" on a Developer key is really the 24 h quota with 50 released every 12 h.',
    '426 maximumResultsReached = paging past 100 results (plan).',
    'HTTP status of apiKeyExhausted not found.',
  ],
  sources: [
    'trufflesecurity/trufflehog:pkg/detectors/newsapi/newsapi.go',
    'public client code, repositories not recorded',
  ],
  fromMemory: ['401/429 pairing', 'terms remark'],
};
