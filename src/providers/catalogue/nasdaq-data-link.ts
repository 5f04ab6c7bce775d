import type { CatalogueEntry, ProviderFacts } from '../catalogue-entry.js';

export const nasdaqDataLink: CatalogueEntry = {
  id: 'nasdaq_data_link',
  name: 'Nasdaq Data Link (Quandl)',
  baseUrl: 'https://data.nasdaq.com',
  origins: ['https://data.nasdaq.com', 'https://www.quandl.com'],
  auth: { in: 'header', name: 'x-api-token' },
  authAlternatives: [{ in: 'query', name: 'api_key' }],
  env: ['NASDAQ_DATA_LINK_API_KEY', 'QUANDL_API_KEY'],
  signed: false,
  bucketScope: 'key',
  errors: [
    { status: 400, json: '$.quandl_error.code', match: '^QEAx', outcome: 'rejected' },
    // QELx stands for every window; other ones are short, and the default for 429.
    {
      status: 429,
      json: '$.quandl_error.message',
      match: 'per day|daily',
      outcome: 'quota-exhausted',
      window: 'day',
    },
  ],
};

export const nasdaqDataLinkFacts: ProviderFacts = {
  knownLimits: [
    { tier: 'anonymous', requests: 20, per: '10 minutes', asOf: 'docs' },
    { tier: 'anonymous', requests: 50, per: 'day', asOf: null },
    { tier: 'free key', requests: 300, per: '10 seconds', asOf: null },
    { tier: 'free key', requests: 2_000, per: '10 minutes', asOf: null },
    { tier: 'free key', requests: 50_000, per: 'day', asOf: null },
    { tier: 'free key', requests: 1, per: 'concurrent', asOf: null },
    { tier: 'premium', requests: 5_000, per: '10 minutes', asOf: null },
    { tier: 'premium', requests: 720_000, per: 'day', asOf: null },
  ],
  poolTerms: null,
  notes: [
    'Body {"quandl_error":{"code":"QELx..","message"}}; third letter classifies: L limit, M internal, A auth, P permission, S bad request, C not found, X unavailable.',
    'Bad key was seen as HTTP 400 and as 401.',
    'Three windows at once plus concurrency 1 for free keys.',
    'Anonymous limit is GLOBAL to all anonymous users.',
  ],
  sources: [
    'https://docs.data.nasdaq.com/docs/rate-limits',
    'Nasdaq/data-link-python:nasdaqdatalink/connection.py',
    'Nasdaq/data-link-python:nasdaqdatalink/api_config.py',
    'public client code, repositories not recorded',
  ],
  fromMemory: ['X-RateLimit-* headers', 'the text of the daily refusal'],
};
