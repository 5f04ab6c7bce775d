import type { CatalogueEntry, ProviderFacts } from '../catalogue-entry.js';

export const twelveData: CatalogueEntry = {
  id: 'twelve_data',
  name: 'Twelve Data',
  baseUrl: 'https://api.twelvedata.com',
  origins: ['https://api.twelvedata.com', 'https://ws.twelvedata.com'],
  auth: { in: 'query', name: 'apikey' },
  authAlternatives: [{ in: 'header', name: 'Authorization', scheme: 'apikey' }],
  env: ['TWELVE_DATA_API_KEY', 'TWELVEDATA_API_KEY'],
  demoKeys: ['demo'],
  signed: false,
  bucketScope: 'account',
  errors: [
    {
      status: [200, 429],
      json: '$.message',
      match: 'for the current minute',
      outcome: 'rate-limited',
      window: 'minute',
    },
    {
      status: [200, 429],
      json: '$.message',
      match: 'for the day',
      outcome: 'quota-exhausted',
      window: 'day',
    },
    { status: 200, json: '$.code', match: '^429$', outcome: 'rate-limited', window: 'minute' },
    { status: 200, json: '$.code', match: '^401$', outcome: 'rejected' },
    { status: 200, json: '$.code', match: '^403$', outcome: 'restricted' },
    { status: 200, json: '$.code', match: '^5\\d\\d$', outcome: 'overloaded' },
    { status: 200, json: '$.message', match: 'available with your plan|upgrade', outcome: 'restricted' },
    { status: 200, json: '$.code', match: '^4(00|04|14)$', outcome: 'bad-request' },
  ],
  reset: { at: '00:00', timeZone: 'UTC' },
  probe: { method: 'GET', path: '/api_usage', everyMs: 3_600_000, dailyBudget: 6 },
};

export const twelveDataFacts: ProviderFacts = {
  knownLimits: [
    { tier: 'basic', amount: '8 credits', per: 'minute', asOf: 'changelog 2026' },
    { tier: 'basic', amount: '800 credits', per: 'day', asOf: 'changelog 2026' },
    { tier: 'paid', amount: 'credits: none', per: 'day', asOf: 'changelog 2026' },
  ],
  poolTerms: null,
  notes: [
    'Body {"code":N,"message":"...","status":"error"} may ride on HTTP 200 OR on the same HTTP code; the official Python client reads body.code when the HTTP status is 200.',
    'Credits, not requests: N symbols = N credits, /income_statement = 100.',
    'A rejected burst was seen to keep counting ("10458 API credits were used, with the current limit being 800").',
    'Batch responses hold one status per symbol.',
    '/api_usage returns current_usage, plan_limit and (Basic only) daily_usage, plan_daily_limit.',
  ],
  sources: [
    'twelvedata/twelvedata-python:src/twelvedata/http_client.py',
    'https://twelvedata.com/changelog/clarifies-api-credit-limits-in-the-docs-13',
    'https://support.twelvedata.com/en/articles/5194820-api-credits-limits',
    'https://support.twelvedata.com/en/articles/5615854-credits',
    'public client code, repositories not recorded',
  ],
  fromMemory: [
    'the demo key',
    'ws.twelvedata.com, the WebSocket host',
    'codes 400, 403, 404 and 414 in a 200',
  ],
};
