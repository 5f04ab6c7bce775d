import type { CatalogueEntry, ProviderFacts } from '../catalogue-entry.js';

export const cryptocompare: CatalogueEntry = {
  id: 'cryptocompare',
  name: 'CryptoCompare / CoinDesk Data',
  baseUrl: 'https://min-api.cryptocompare.com',
  origins: [
    'https://min-api.cryptocompare.com',
    'https://data-api.cryptocompare.com',
    'https://data-api.coindesk.com',
  ],
  auth: { in: 'header', name: 'Authorization', scheme: 'Apikey' },
  authAlternatives: [{ in: 'query', name: 'api_key' }],
  env: ['CRYPTOCOMPARE_API_KEY'],
  signed: false,
  bucketScope: 'key',
  errors: [{ status: 200, json: '$.Message', match: 'over your rate limit', outcome: 'rate-limited' }],
};

export const cryptocompareFacts: ProviderFacts = {
  knownLimits: [],
  poolTerms: null,
  notes: [
    'HTTP 200 with {"Response":"Error","Type":99,"Message":"You are over your rate limit please upgrade your account!","RateLimit":{"calls_made":{...},"max_calls":{...}}}: the body itself says which window is spent.',
    'Bad-key body not confirmed.',
    'Limits no longer published (2026-08).',
  ],
  sources: [
    'trufflesecurity/trufflehog:pkg/detectors/cryptocompare/cryptocompare.go',
    'public client code, repositories not recorded',
  ],
  fromMemory: [],
};
