import type { CatalogueEntry, ProviderFacts } from '../catalogue-entry.js';

export const marketstack: CatalogueEntry = {
  id: 'marketstack',
  name: 'marketstack',
  baseUrl: 'https://api.marketstack.com',
  origins: ['https://api.marketstack.com', 'https://api.apilayer.net'],
  auth: { in: 'query', name: 'access_key' },
  authAlternatives: [],
  env: ['MARKETSTACK_API_KEY', 'MARKETSTACK_ACCESS_KEY'],
  signed: false,
  bucketScope: 'account',
  errors: [
    {
      status: [200, 429],
      json: '$.error.code',
      match: '^(rate_limit_reached|too_many_requests)$',
      outcome: 'rate-limited',
    },
    {
      status: [200, 429],
      json: '$.error.code',
      match: '^usage_limit_reached$',
      outcome: 'quota-exhausted',
      window: 'month',
    },
    { status: 200, json: '$.error.code', match: '^invalid_access_key$', outcome: 'rejected' },
  ],
};

export const marketstackFacts: ProviderFacts = {
  knownLimits: [{ tier: 'free', requests: 100, per: 'month', asOf: null }],
  poolTerms: null,
  notes: [
    'APILayer family.',
    'Newer docs give a second base URL, https://api.apilayer.net/marketstack/v2.',
    'Error body {"error":{"code","message"}}.',
    '403 function_access_restricted is plan.',
  ],
  sources: [
    'https://docs.apilayer.com/marketstack/docs/api-key-authentication',
    'https://docs.apilayer.com/apilayer/docs/getting-started-9',
    'https://github.com/tigusigalpa/marketstack-php/wiki/Error-Handling',
    'trufflesecurity/trufflehog:pkg/detectors/marketstack/marketstack.go',
    'public client code, repositories not recorded',
  ],
  fromMemory: ['100/month', 'usage_limit_reached and function_access_restricted codes', 'soft 200 variants'],
};
