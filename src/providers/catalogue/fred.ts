import type { CatalogueEntry, ProviderFacts } from '../catalogue-entry.js';

export const fred: CatalogueEntry = {
  id: 'fred',
  name: 'FRED (St. Louis Fed)',
  baseUrl: 'https://api.stlouisfed.org',
  origins: ['https://api.stlouisfed.org'],
  auth: { in: 'query', name: 'api_key' },
  authAlternatives: [],
  env: ['FRED_API_KEY'],
  signed: false,
  bucketScope: 'key',
  errors: [
    // XML unless JSON was asked for.
    { status: 400, match: 'api_key is not (registered|a 32 character)', outcome: 'rejected' },
    { status: 423, outcome: 'rate-limited' },
  ],
};

export const fredFacts: ProviderFacts = {
  knownLimits: [
    { tier: 'all keys', requests: 120, per: 'minute', asOf: 'third-party 2026-05 citing fred docs; memory' },
  ],
  poolTerms: null,
  notes: [
    'Bad key is HTTP 400, not 401, and so is a bad parameter: match the text "api_key".',
    'Default answer is XML: {"error_code":400,"error_message":...} needs file_type=json, else <error code= message=>.',
    'The message may echo the key.',
    'One client also treats 423 as throttling.',
  ],
  sources: [
    'mortada/fredapi:fredapi/fred.py',
    'Verdenroz/finance-query:src/adapters/fred/client.rs',
    'public client code, repositories not recorded',
  ],
  fromMemory: ['429 for the limit'],
};
