import type { CatalogueEntry, ProviderFacts } from '../catalogue-entry.js';

export const infura: CatalogueEntry = {
  id: 'infura',
  name: 'Infura (MetaMask)',
  baseUrl: 'https://mainnet.infura.io',
  origins: [
    'https://mainnet.infura.io',
    'https://sepolia.infura.io',
    'https://polygon-mainnet.infura.io',
    'https://polygon-amoy.infura.io',
    'https://arbitrum-mainnet.infura.io',
    'https://arbitrum-sepolia.infura.io',
    'https://optimism-mainnet.infura.io',
    'https://optimism-sepolia.infura.io',
    'https://base-mainnet.infura.io',
    'https://base-sepolia.infura.io',
    'https://linea-mainnet.infura.io',
    'https://linea-sepolia.infura.io',
  ],
  auth: { in: 'path' },
  authAlternatives: [],
  env: ['INFURA_API_KEY', 'INFURA_PROJECT_ID', 'INFURA_KEY'],
  signed: false,
  bucketScope: 'account',
  errors: [
    { status: 402, outcome: 'quota-exhausted', window: 'day' },
    { status: 200, json: '$.error.code', match: '^(429|-32005)$', outcome: 'rate-limited' },
  ],
  reset: { at: '00:00', timeZone: 'UTC' },
};

export const infuraFacts: ProviderFacts = {
  knownLimits: [
    { tier: 'free', amount: '3,000,000 credits', per: 'day', asOf: 'docs' },
    { tier: 'free', amount: '500 credits', per: 'second', asOf: 'docs' },
    { tier: 'developer', amount: '15,000,000 credits', per: 'day', asOf: 'third-party 2026-05' },
    { tier: 'developer', amount: '4,000 credits', per: 'second', asOf: 'third-party 2026-05' },
  ],
  poolTerms: null,
  notes: [
    'Current docs: 402 + {"error":{"code":402,"event":-33000}} = daily credits gone until 00:00 UTC; 429 (-33300) = throughput or a user-set key limit.',
    'Older shape: -32005 "daily request count exceeded, request rate limited" with data.rate.{allowed_rps,backoff_seconds,current_rps}, on 200 or 429. In spite of its words it is about throughput: a key must not rest until midnight for it.',
    'Limits are ACCOUNT-WIDE.',
    'Key is in the path.',
    'Other networks of *.infura.io are to be added as origins.',
  ],
  sources: [
    'https://docs.metamask.io/services/how-to/avoid-rate-limiting.md',
    'https://docs.metamask.io/developer-tools/dashboard/how-to/secure-an-api/set-rate-limits.md',
    'https://docs.metamask.io/services/get-started/pricing',
    'api-evangelist/infura:plans/infura-plans-pricing.yml',
    'trufflesecurity/trufflehog:pkg/detectors/infura/infura.go',
    'public client code, repositories not recorded',
  ],
  fromMemory: ['401 text', 'Basic auth with key secret', 'the list of networks'],
};
