import type { CatalogueEntry, ProviderFacts } from '../catalogue-entry.js';

export const finnhub: CatalogueEntry = {
  id: 'finnhub',
  name: 'Finnhub',
  baseUrl: 'https://finnhub.io',
  origins: ['https://finnhub.io', 'https://api.finnhub.io', 'https://ws.finnhub.io'],
  auth: { in: 'header', name: 'X-Finnhub-Token' },
  authAlternatives: [{ in: 'query', name: 'token' }],
  env: ['FINNHUB_API_KEY', 'FINNHUB_TOKEN'],
  signed: false,
  bucketScope: 'key',
  errors: [{ status: 200, json: '$.error', match: 'API limit reached', outcome: 'rate-limited' }],
};

export const finnhubFacts: ProviderFacts = {
  knownLimits: [
    {
      tier: 'free',
      requests: 60,
      per: 'minute',
      asOf: '2026 (third-party docs); official number quoted in client issues',
    },
    {
      tier: 'all plans',
      requests: 30,
      per: 'second',
      asOf: 'finnhub.io/docs/api/rate-limit as quoted 2026-05',
    },
  ],
  poolTerms: null,
  notes: [
    '429 body: {"error":"API limit reached. Please try again later. Remaining Limit: 0"}; one code base comments that it saw the same body with HTTP 200, so also match the body.',
    '403 {"error":"You don\'t have access to this resource."} means the plan lacks the endpoint (e.g. /stock/candle on free) - never mark the key bad on it.',
    'Two limits stack: per-minute plan limit and 30/s for everyone.',
  ],
  sources: [
    'https://finnhub.io/docs/api/rate-limit (quoted by scottc/stocks-app:src/data-loaders/finnhub.ts)',
    'Finnhub-Stock-API/finnhub-python:finnhub/client.py',
    'trufflesecurity/trufflehog:pkg/detectors/finnhub/finnhub.go',
    'https://fuzzyalej.github.io/stockfeed/providers/finnhub',
    'public client code, repositories not recorded',
  ],
  fromMemory: ['X-Ratelimit-* header names and epoch format', '401 text "Invalid API key"'],
};
