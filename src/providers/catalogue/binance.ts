import type { CatalogueEntry, ProviderFacts } from '../catalogue-entry.js';

export const binance: CatalogueEntry = {
  id: 'binance',
  name: 'Binance Spot',
  baseUrl: 'https://api.binance.com',
  origins: [
    'https://api.binance.com',
    'https://api-gcp.binance.com',
    'https://api1.binance.com',
    'https://api2.binance.com',
    'https://api3.binance.com',
    'https://api4.binance.com',
    'https://data-api.binance.vision',
  ],
  auth: { in: 'header', name: 'X-MBX-APIKEY' },
  authAlternatives: [],
  env: [],
  pairedEnv: ['BINANCE_API_KEY', 'BINANCE_API_SECRET'],
  signed: true,
  bucketScope: 'egress',
  errors: [
    // A ban of the address, after going on in spite of 429.
    { status: 418, outcome: 'rate-limited' },
    { status: 403, outcome: 'restricted', scope: 'egress' },
    { status: [400, 401], json: '$.code', match: '^-201[45]$', outcome: 'rejected' },
  ],
  probe: { method: 'GET', path: '/api/v3/ping', everyMs: 300_000, dailyBudget: 48, authenticated: false },
};

export const binanceFacts: ProviderFacts = {
  knownLimits: [{ tier: 'per IP', amount: '6,000 weight', per: 'minute', asOf: null }],
  poolTerms: 'see PROD-TERMS-OF-USE.md in the repository; not analysed',
  notes: [
    'NOT swappable.',
    'Limits are per IP, not per key: rotating keys cannot help and going on after 429 earns an IP ban (418, 2 minutes to 3 days).',
    '403 = WAF, possibly rate.',
    '5xx = execution UNKNOWN, do not resend orders. -2015 also means IP or permission. -1021 = clock.',
    'Public market data needs no key (data-api.binance.vision).',
    'Body {"code":-1003,"msg":...}.',
  ],
  sources: [
    'binance/binance-spot-api-docs:rest-api.md (2026-07-21)',
    'binance/binance-spot-api-docs:errors.md',
    'public client code, repositories not recorded',
  ],
  fromMemory: ['6000 weight/min', 'env names', '-2014 and -2015 with HTTP 400'],
};
