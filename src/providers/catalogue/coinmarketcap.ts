import type { CatalogueEntry, ProviderFacts } from '../catalogue-entry.js';

export const coinmarketcap: CatalogueEntry = {
  id: 'coinmarketcap',
  name: 'CoinMarketCap',
  baseUrl: 'https://pro-api.coinmarketcap.com',
  origins: ['https://pro-api.coinmarketcap.com'],
  auth: { in: 'header', name: 'X-CMC_PRO_API_KEY' },
  authAlternatives: [{ in: 'query', name: 'CMC_PRO_API_KEY' }],
  env: ['COINMARKETCAP_API_KEY', 'CMC_API_KEY', 'CMC_PRO_API_KEY'],
  signed: false,
  bucketScope: 'key',
  errors: [
    { status: 429, json: '$.status.error_code', match: '^1011$', outcome: 'rate-limited', scope: 'egress' },
    {
      status: [200, 429],
      json: '$.status.error_code',
      match: '^1008$',
      outcome: 'rate-limited',
      window: 'minute',
    },
    {
      status: [200, 429],
      json: '$.status.error_code',
      match: '^1009$',
      outcome: 'quota-exhausted',
      window: 'day',
    },
    {
      status: [200, 429],
      json: '$.status.error_code',
      match: '^1010$',
      outcome: 'quota-exhausted',
      window: 'month',
    },
    { status: [200, 402], json: '$.status.error_code', match: '^100[34]$', outcome: 'quota-exhausted' },
    { status: [200, 403], json: '$.status.error_code', match: '^100[127]$', outcome: 'rejected' },
    { status: 200, json: '$.status.error_code', match: '^100[56]$', outcome: 'restricted' },
    { status: 200, json: '$.status.error_code', match: '^5\\d\\d$', outcome: 'overloaded' },
    // A 200 with any other code but 0 carries no data.
    { status: 200, json: '$.status.error_code', match: '^(?!0$).+', outcome: 'bad-request' },
  ],
  probe: { method: 'GET', path: '/v1/key/info', everyMs: 3_600_000, dailyBudget: 12 },
};

export const coinmarketcapFacts: ProviderFacts = {
  knownLimits: [
    { tier: 'basic', requests: 30, per: 'minute', asOf: null },
    { tier: 'basic', amount: '10,000 credits', per: 'month', asOf: null },
  ],
  poolTerms: null,
  notes: [
    'error_code decides: 1008 per-minute (retry after ~60 s), 1009 daily (wait for daily reset), 1010 monthly (gone for the period), 1011 PER-IP limit (rotating keys does not help, lower concurrency).',
    '402 = payment overdue/not activated, i.e. the key is parked, not bad.',
    'A generated third-party file gives 15,000 free credits/month instead of 10,000.',
  ],
  sources: [
    'https://coinmarketcap.com/api/resources/how-to-handle-coinmarketcap-api-errors-and-rate-limit--responses (2026-09-14)',
    'https://pro.coinmarketcap.com/api/documentation/guides/errors-and-rate-limits',
    'public client code, repositories not recorded',
  ],
  fromMemory: ['limits', 'probe /v1/key/info and that it is free'],
};
