import type { CatalogueEntry, ProviderFacts } from '../catalogue-entry.js';

export const coingecko: CatalogueEntry = {
  id: 'coingecko',
  name: 'CoinGecko (Demo)',
  baseUrl: 'https://api.coingecko.com',
  origins: ['https://api.coingecko.com'],
  auth: { in: 'header', name: 'x-cg-demo-api-key' },
  authAlternatives: [{ in: 'query', name: 'x_cg_demo_api_key' }],
  env: ['COINGECKO_DEMO_API_KEY', 'COINGECKO_API_KEY'],
  signed: false,
  bucketScope: 'account',
  protocol: { name: 'coingecko', pathPrefix: '/api/v3' },
  errors: [
    { status: [401, 403], match: '"error_code":\\s*"?10005\\b', outcome: 'restricted' },
    // A key of the other plan: it works on the other host only.
    { status: [400, 401], match: '"error_code":\\s*"?1001[01]\\b', outcome: 'rejected' },
    {
      status: 403,
      match: 'error code: 1020|"error_code":\\s*"?1020\\b',
      outcome: 'restricted',
      scope: 'egress',
    },
  ],
  probe: { method: 'GET', path: '/api/v3/ping', everyMs: 3_600_000, dailyBudget: 4, costsQuota: 'yes' },
};

export const coingeckoFacts: ProviderFacts = {
  knownLimits: [
    { tier: 'demo', requests: 100, per: 'minute', asOf: 'docs 2026' },
    { tier: 'demo', amount: '10,000 credits', per: 'month', asOf: 'third-party 2026-05' },
    { tier: 'keyless', amount: 'requests: shared per IP', per: 'minute', asOf: null },
  ],
  poolTerms: null,
  notes: [
    'Key type is bound to host AND header name: a Demo key on pro-api gives 10011, a Pro key on api gives 10010 - configuration error, not a dead key.',
    'Three error body shapes: {"status":{"error_code"}}, {"error":{"status":{"error_code"}}}, {"error":"text"}.',
    '10005 = plan.',
    '403/1020 = CDN block of your IP.',
    'Only HTTP 200 costs a credit.',
    'Pro has GET /api/v3/key (usage).',
    'Older docs said ~30/min for Demo.',
    '10011 was seen with 400, 10005 with 401; the code stands at the top or in status.',
    'Keys of the Pro plan belong to coingecko_pro.',
  ],
  sources: [
    'https://docs.coingecko.com/docs/errors-and-rate-limits',
    'https://docs.coingecko.com/demo/reference/authentication',
    'coingecko/coingecko-typescript:src/client.ts',
    'coingecko/coingecko-typescript:src/resources/key.ts',
    'https://github.com/TundraSoft/tundra-connect/wiki/CoinGecko-Errors',
    'public client code, repositories not recorded',
  ],
  fromMemory: ['1020 in a JSON body', 'a key that is not valid is refused on /ping too'],
};
