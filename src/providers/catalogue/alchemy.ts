import type { CatalogueEntry, ProviderFacts } from '../catalogue-entry.js';

export const alchemy: CatalogueEntry = {
  id: 'alchemy',
  name: 'Alchemy',
  baseUrl: 'https://eth-mainnet.g.alchemy.com',
  origins: [
    'https://eth-mainnet.g.alchemy.com',
    'https://eth-sepolia.g.alchemy.com',
    'https://polygon-mainnet.g.alchemy.com',
    'https://polygon-amoy.g.alchemy.com',
    'https://arb-mainnet.g.alchemy.com',
    'https://arb-sepolia.g.alchemy.com',
    'https://opt-mainnet.g.alchemy.com',
    'https://opt-sepolia.g.alchemy.com',
    'https://base-mainnet.g.alchemy.com',
    'https://base-sepolia.g.alchemy.com',
    'https://solana-mainnet.g.alchemy.com',
    'https://solana-devnet.g.alchemy.com',
  ],
  auth: { in: 'path' },
  authAlternatives: [{ in: 'header', name: 'Authorization', scheme: 'Bearer' }],
  env: ['ALCHEMY_API_KEY'],
  signed: false,
  bucketScope: 'account',
  errors: [
    {
      status: [403, 429],
      match: 'Monthly capacity limit exceeded',
      outcome: 'quota-exhausted',
      window: 'month',
    },
    { status: 200, json: '$.error.code', match: '^429$', outcome: 'rate-limited' },
  ],
};

export const alchemyFacts: ProviderFacts = {
  knownLimits: [
    {
      tier: 'free',
      amount: '500 or 1000 (same page gives both) compute units',
      per: 'second',
      asOf: '2025-06-13',
    },
    { tier: 'free', amount: '100,000,000 compute units', per: 'month', asOf: '2025-06-13' },
    { tier: 'pay as you go', amount: '10,000 compute units', per: 'second', asOf: '2025-06-13' },
  ],
  poolTerms: null,
  notes: [
    'Key is in the PATH: it will be in logs, redirects and error texts.',
    '"Monthly capacity limit exceeded" is documented as 403 but seen as 429: match the text before the status.',
    '200 may hold a JSON-RPC error; batch items fail one by one.',
    '403 also = app inactive, origin not on allowlist, network not enabled for this app.',
    'Throughput per app, capacity per account; Alchemy itself advises different keys per part of a project.',
    'Other networks of *.g.alchemy.com are to be added as origins.',
  ],
  sources: [
    'alchemyplatform/docs:fern/api-reference/pricing-resources/resources/throughput.mdx',
    'alchemyplatform/docs:fern/api-reference/pricing-resources/resources/error-reference.mdx',
    'alchemyplatform/docs:fern/api-reference/pricing-resources/pricing-plans.mdx',
    'alchemyplatform/docs:fern/tutorials/getting-started/api-security-and-authentication/how-to-use-api-keys-in-http-headers.mdx',
    'trufflesecurity/trufflehog:pkg/detectors/alchemy/alchemy.go',
    'public client code, repositories not recorded',
  ],
  fromMemory: ['scope split', 'the list of networks'],
};
