import type { CatalogueEntry, ProviderFacts } from '../catalogue-entry.js';

export const etherscan: CatalogueEntry = {
  id: 'etherscan',
  name: 'Etherscan API V2',
  baseUrl: 'https://api.etherscan.io',
  origins: ['https://api.etherscan.io'],
  auth: { in: 'query', name: 'apikey' },
  authAlternatives: [],
  env: ['ETHERSCAN_API_KEY'],
  signed: false,
  bucketScope: 'account',
  errors: [
    {
      status: 200,
      json: '$.result',
      match: '^Max (calls per sec )?rate limit reached',
      outcome: 'rate-limited',
      window: 'second',
    },
    {
      status: 200,
      json: '$.result',
      match: '^[^{[]{0,40}daily (rate )?limit',
      outcome: 'quota-exhausted',
      window: 'day',
    },
    {
      status: 200,
      json: '$.result',
      match: '^Too many invalid api key attempts',
      outcome: 'rate-limited',
      scope: 'egress',
      window: 'minute',
    },
    { status: 200, json: '$.result', match: '^(Missing/)?Invalid API Key', outcome: 'rejected' },
    // Data came all the same, at the rate of a visitor without a key.
    { status: 200, json: '$.message', match: 'Missing/Invalid API Key, rate limit of', outcome: 'rejected' },
    {
      status: 200,
      json: '$.result',
      match: '^[^{[]{0,80}(PRO endpoint|not supported for this chain|Free API access is not)',
      outcome: 'restricted',
    },
  ],
};

export const etherscanFacts: ProviderFacts = {
  knownLimits: [
    { tier: 'free', requests: 3, per: 'second', asOf: 'docs 2026' },
    { tier: 'free', requests: 100_000, per: 'day', asOf: 'docs 2026' },
    { tier: 'lite', requests: 5, per: 'second', asOf: 'docs 2026' },
    { tier: 'standard', requests: 10, per: 'second', asOf: 'docs 2026' },
    { tier: 'standard', requests: 200_000, per: 'day', asOf: 'docs 2026' },
    { tier: 'advanced', requests: 20, per: 'second', asOf: 'docs 2026' },
    { tier: 'advanced', requests: 500_000, per: 'day', asOf: 'docs 2026' },
    { tier: 'professional', requests: 30, per: 'second', asOf: 'docs 2026' },
    { tier: 'professional', requests: 1_000_000, per: 'day', asOf: 'docs 2026' },
  ],
  poolTerms: 'Docs: free limits are cumulative across all the keys you have created.',
  notes: [
    'HTTP 200 always; "status":"0","message":"NOTOK".',
    'But status 0 with "No transactions found" is an empty result.',
    "The free limit is CUMULATIVE ACROSS ALL KEYS YOU CREATED: pooling one account's keys adds nothing.",
    'More than 5 invalid-key attempts in 30 s throttle the SOURCE IP, so probing dead keys hurts good ones.',
    'Free tier is limited to selected chains.',
    'Older code and docs say 5/s.',
    'module=getapilimit tells creditsUsed and creditsAvailable, and costs a credit itself: no probe.',
    'Proxy (eth_*) module answers JSON-RPC shape.',
  ],
  sources: [
    'https://docs.etherscan.io/rate-limits.md',
    'https://docs.etherscan.io/set-up-your-api-key',
    'https://docs.etherscan.io/common-error-messages',
    'api-evangelist/polygonscan:rate-limits/rate-limits.yml',
    'https://github.com/blockchain-certificates/cert-issuer/issues/166',
    'public client code, repositories not recorded',
  ],
  fromMemory: ['JSON-RPC remark'],
};
