import type { CatalogueEntry, ProviderFacts } from '../catalogue-entry.js';

export const braveSearch: CatalogueEntry = {
  id: 'brave_search',
  name: 'Brave Search API',
  baseUrl: 'https://api.search.brave.com',
  origins: ['https://api.search.brave.com'],
  auth: { in: 'header', name: 'X-Subscription-Token' },
  authAlternatives: [],
  env: ['BRAVE_API_KEY', 'BRAVE_SEARCH_API_KEY'],
  signed: false,
  bucketScope: 'account',
  errors: [
    { status: 422, json: '$.error.code', match: '^SUBSCRIPTION_TOKEN_INVALID$', outcome: 'rejected' },
    { status: 422, match: 'x-subscription-token', outcome: 'rejected' },
    // A plan without a monthly limit: its list ends with 0 of 0.
    { status: 429, header: { name: 'x-ratelimit-limit', match: ',\\s*0\\s*$' }, outcome: 'rate-limited' },
    {
      status: 429,
      header: { name: 'x-ratelimit-remaining', match: ',\\s*0\\s*$' },
      outcome: 'quota-exhausted',
      window: 'month',
    },
  ],
};

export const braveSearchFacts: ProviderFacts = {
  knownLimits: [
    { tier: 'by plan', amount: '1 (example) requests', per: 'second', asOf: 'docs' },
    { tier: 'by plan', amount: '15000 (example) requests', per: 'month', asOf: 'docs' },
  ],
  poolTerms: null,
  notes: [
    'Bad key is HTTP 422, not 401 - the same status as bad parameters, so match the code.',
    'Headers are COMMA LISTS, one entry per window; pair them by position with the policy.',
    '1-second sliding window.',
    'Month = 2592000 s window, not a calendar month.',
    'Monthly exhaustion: 429 with Remaining "n, 0"; a monthly limit of 0 means none.',
  ],
  sources: [
    'https://api-dashboard.search.brave.com/documentation/guides/rate-limiting',
    'brave/brave-search-mcp-server:src/BraveAPI/index.ts',
    'public client code, repositories not recorded',
  ],
  fromMemory: ['"Remaining n, 0" reading'],
};
