import type { CatalogueEntry, ProviderFacts } from '../catalogue-entry.js';

export const alpaca: CatalogueEntry = {
  id: 'alpaca',
  name: 'Alpaca Market Data',
  baseUrl: 'https://data.alpaca.markets',
  origins: [
    'https://data.alpaca.markets',
    'https://data.sandbox.alpaca.markets',
    'https://api.alpaca.markets',
    'https://paper-api.alpaca.markets',
  ],
  auth: { in: 'header', name: 'APCA-API-KEY-ID' },
  authAlternatives: [],
  env: [],
  pairedEnv: ['APCA_API_KEY_ID', 'APCA_API_SECRET_KEY', 'ALPACA_API_KEY', 'ALPACA_SECRET_KEY'],
  signed: true,
  bucketScope: 'account',
  errors: [{ status: 403, json: '$.message', match: '^forbidden', outcome: 'rejected' }],
};

export const alpacaFacts: ProviderFacts = {
  knownLimits: [
    { tier: 'basic', requests: 200, per: 'minute', asOf: null },
    { tier: 'algo trader plus', requests: 10_000, per: 'minute', asOf: null },
  ],
  poolTerms: null,
  notes: [
    'The credential is a PAIR: swap id and secret together.',
    'Paper and live keys are different and bound to different trading hosts; both work on data.',
    'Official SDK retries 429 and 504 only, fixed 3 s, no Retry-After.',
  ],
  sources: [
    'alpacahq/alpaca-py:alpaca/common/rest.py',
    'alpacahq/alpaca-py:alpaca/common/constants.py',
    'alpacahq/alpaca-py:alpaca/common/enums.py',
    'public client code, repositories not recorded',
  ],
  fromMemory: ['limits', 'probe', '401/403 meaning'],
};
