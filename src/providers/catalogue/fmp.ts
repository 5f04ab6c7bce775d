import type { CatalogueEntry, ProviderFacts } from '../catalogue-entry.js';

export const fmp: CatalogueEntry = {
  id: 'fmp',
  name: 'Financial Modeling Prep',
  baseUrl: 'https://financialmodelingprep.com',
  origins: ['https://financialmodelingprep.com'],
  auth: { in: 'query', name: 'apikey' },
  authAlternatives: [{ in: 'header', name: 'apikey' }],
  env: ['FMP_API_KEY', 'FINANCIAL_MODELING_PREP_API_KEY'],
  demoKeys: ['demo'],
  signed: false,
  bucketScope: 'account',
  errors: [
    {
      status: [200, 402, 403, 429],
      json: '$["Error Message"]',
      match: 'Bandwidth Limit Reach',
      outcome: 'quota-exhausted',
    },
    {
      status: [200, 402, 403, 429],
      json: '$["Error Message"]',
      match: 'Limit Reach',
      outcome: 'quota-exhausted',
      window: 'day',
    },
    { status: 200, json: '$["Error Message"]', match: 'Invalid API KEY', outcome: 'rejected' },
    { status: 402, outcome: 'restricted' },
  ],
};

export const fmpFacts: ProviderFacts = {
  knownLimits: [
    { tier: 'free', requests: 250, per: 'day', asOf: null },
    { tier: 'starter', requests: 300, per: 'minute', asOf: null },
    { tier: 'premium', requests: 750, per: 'minute', asOf: null },
  ],
  poolTerms: null,
  notes: [
    'The same 429 + {"Error Message":"Limit Reach . Please upgrade your plan..."} (note the space before the dot) covers the daily quota and plan rate; a third form is "Bandwidth Limit Reach".',
    'Code in the wild also sees it with HTTP 200.',
    'Error text can quote the key.',
    '402/403 are plan messages.',
  ],
  sources: [
    'OpenBB-finance/OpenBB:openbb_platform/providers/fmp/openbb_fmp/utils/helpers.py',
    'Verdenroz/finance-query:src/adapters/fmp/client.rs',
    'public client code, repositories not recorded',
  ],
  fromMemory: ['all three limits', 'header alternative', 'the demo key', '403 as plan message'],
};
