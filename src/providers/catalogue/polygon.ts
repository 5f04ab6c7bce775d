import type { CatalogueEntry, ProviderFacts } from '../catalogue-entry.js';

export const polygon: CatalogueEntry = {
  id: 'polygon',
  name: 'Polygon.io / Massive',
  baseUrl: 'https://api.polygon.io',
  origins: ['https://api.polygon.io', 'https://api.massive.com'],
  auth: { in: 'query', name: 'apiKey' },
  authAlternatives: [{ in: 'header', name: 'Authorization', scheme: 'Bearer' }],
  env: ['POLYGON_API_KEY', 'POLY_API_KEY', 'MASSIVE_API_KEY'],
  signed: false,
  bucketScope: 'account',
  errors: [
    {
      status: [200, 429],
      json: '$.error',
      match: 'exceeded the maximum requests per minute',
      outcome: 'rate-limited',
      window: 'minute',
    },
    { status: 200, json: '$.status', match: '^NOT_AUTHORIZED$', outcome: 'restricted' },
  ],
};

export const polygonFacts: ProviderFacts = {
  knownLimits: [
    { tier: 'free', requests: 5, per: 'minute', asOf: 'massive.com knowledge base' },
    {
      tier: 'paid',
      amount: 'requests: unlimited; asked to stay under 100',
      per: 'second',
      asOf: 'massive.com knowledge base',
    },
  ],
  poolTerms: null,
  notes: [
    'Renamed: both hosts must map to one provider.',
    'POLYGON_API_KEY is also the name under which build scripts of contracts keep a key of Polygonscan.',
    '429 body {"status":"ERROR","error":"You\'ve exceeded the maximum requests per minute..."}; the 429 body may also be empty.',
    '403 {"status":"NOT_AUTHORIZED","message":"You are not entitled to this data..."} is plan, not key. status "DELAYED" is success. next_url pagination links do not carry the key.',
  ],
  sources: [
    'https://massive.com/knowledge-base/article/what-is-the-request-limit-for-polygons-restful-apis',
    'polygon-io/client-js:README.md',
    'Verdenroz/finance-query:src/adapters/polygon/client.rs',
    'public client code, repositories not recorded',
  ],
  fromMemory: ['Authorization: Bearer alternative', '"DELAYED" status', 'next_url remark'],
};
