import type { CatalogueEntry, ProviderFacts } from '../catalogue-entry.js';

export const kraken: CatalogueEntry = {
  id: 'kraken',
  name: 'Kraken Spot',
  baseUrl: 'https://api.kraken.com',
  origins: ['https://api.kraken.com'],
  auth: { in: 'header', name: 'API-Key' },
  authAlternatives: [],
  env: [],
  pairedEnv: ['KRAKEN_API_KEY', 'KRAKEN_API_SECRET', 'KRAKEN_PRIVATE_KEY'],
  signed: true,
  bucketScope: 'key',
  errors: [
    {
      status: 200,
      json: '$.error[*]',
      match: '^(EAPI|EOrder|EAuth):Rate limit exceeded',
      outcome: 'rate-limited',
    },
    { status: 200, json: '$.error[*]', match: '^EGeneral:Temporary lockout', outcome: 'rate-limited' },
    { status: 200, json: '$.error[*]', match: '^EService:\\s*Throttled', outcome: 'rate-limited' },
    // The clock or the order of requests, not the key.
    { status: 200, json: '$.error[*]', match: '^EAPI:Invalid nonce', outcome: 'bad-request' },
    { status: 200, json: '$.error[*]', match: '^EAPI:Invalid (key|signature)', outcome: 'rejected' },
    {
      status: 200,
      json: '$.error[*]',
      match: '^(EService:(Unavailable|Busy)|EGeneral:Internal error)',
      outcome: 'overloaded',
    },
  ],
};

export const krakenFacts: ProviderFacts = {
  knownLimits: [],
  poolTerms: null,
  notes: [
    'NOT swappable.',
    'Errors arrive as HTTP 200 with a non-empty "error" array of strings.',
    'Nonce must rise per key, so two processes sharing a key collide.',
  ],
  sources: [
    'krakenfx/api-go:pkg/spot/rest.go',
    'trufflesecurity/trufflehog:pkg/detectors/kraken/kraken.go',
    'public client code, repositories not recorded',
  ],
  fromMemory: ['429 status', 'scope'],
};
