import type { CatalogueEntry, ProviderFacts } from '../catalogue-entry.js';

export const alphaVantage: CatalogueEntry = {
  id: 'alpha_vantage',
  name: 'Alpha Vantage',
  baseUrl: 'https://www.alphavantage.co',
  origins: ['https://www.alphavantage.co'],
  auth: { in: 'query', name: 'apikey' },
  authAlternatives: [],
  env: ['ALPHAVANTAGE_API_KEY', 'ALPHA_VANTAGE_API_KEY'],
  demoKeys: ['demo'],
  signed: false,
  bucketScope: 'key',
  errors: [
    // Before the daily rule: the burst text names the daily limit too.
    {
      status: 200,
      json: '$.Information',
      match: 'spreading out your free API requests|1 request per second',
      outcome: 'rate-limited',
      window: 'second',
    },
    {
      status: 200,
      json: '$.Information',
      match: 'API rate limit is \\d+ requests per day',
      outcome: 'quota-exhausted',
      window: 'day',
    },
    {
      status: 200,
      json: '$.Note',
      match: 'call frequency|requests per day',
      outcome: 'rate-limited',
      window: 'minute',
    },
    {
      status: 200,
      json: '$.Information',
      match: 'premium endpoint|demo purposes only',
      outcome: 'restricted',
    },
    { status: 200, json: '$["Error Message"]', match: 'apikey is invalid or missing', outcome: 'rejected' },
    {
      status: 200,
      json: '$.Information',
      match: 'apikey is invalid or missing|Invalid API key',
      outcome: 'rejected',
    },
    // Such as an unknown symbol.
    { status: 200, json: '$["Error Message"]', outcome: 'bad-request' },
  ],
};

export const alphaVantageFacts: ProviderFacts = {
  knownLimits: [
    { tier: 'free', requests: 25, per: 'day', asOf: '2024-03-22; confirmed 2026-04-26' },
    { tier: 'free', requests: 1, per: 'second', asOf: '2025-12-15' },
    { tier: 'premium, cheapest', requests: 75, per: 'minute', asOf: '2023-02-11; 2024-03-22' },
  ],
  poolTerms: 'Not found. Treat as one free key per person until the operator confirms.',
  notes: [
    'Everything comes back as HTTP 200.',
    'Test the burst rule BEFORE the daily rule: the burst text also mentions "25 requests per day".',
    'The daily message ECHOES THE KEY ("We have detected your API key as ..."): redact before logging or caching.',
    'With datatype=csv an error still arrives as JSON, so sniff the body, not the requested type.',
    '"Error Message: Invalid API call" is a bad symbol, not a bad key.',
    'No usage endpoint found; any probe costs one of 25.',
    'Also sold through RapidAPI (alpha-vantage.p.rapidapi.com, x-rapidapi-key).',
    'Older documented limit: 5/min + 500/day (until ~2023); some 2026 pages still add 5/min to 25/day.',
  ],
  sources: [
    'RomelTorres/alpha_vantage:alpha_vantage/alphavantage.py',
    'finance-quote/finance-quote:lib/Finance/Quote/AlphaVantage.pm',
    'https://github.com/finance-quote/finance-quote/issues/546',
    'https://github.com/finance-quote/finance-quote/pull/104',
    'https://github.com/home-assistant/home-assistant.io/pull/31996',
    'https://github.com/wealthfolio/wealthfolio/issues/894',
    'Verdenroz/finance-query:src/adapters/alphavantage/client.rs',
    'public client code, repositories not recorded',
  ],
  fromMemory: [],
};
