import type { CatalogueEntry, ProviderFacts } from '../catalogue-entry.js';

export const coinbase: CatalogueEntry = {
  id: 'coinbase',
  name: 'Coinbase Advanced Trade',
  baseUrl: 'https://api.coinbase.com',
  origins: ['https://api.coinbase.com'],
  auth: { in: 'header', name: 'Authorization', scheme: 'Bearer' },
  authAlternatives: [],
  env: [],
  pairedEnv: ['COINBASE_API_KEY', 'COINBASE_API_SECRET'],
  signed: true,
  bucketScope: 'account',
  errors: [],
};

export const coinbaseFacts: ProviderFacts = {
  knownLimits: [],
  poolTerms: null,
  notes: [
    'NOT swappable by text replacement: the token is minted per request.',
    'Key name looks like organizations/{org}/apiKeys/{id}, secret is a PEM or base64 Ed25519 key.',
    'The SDK can expose rate-limit headers (rate_limit_headers=True); names here are from memory.',
  ],
  sources: [
    'coinbase/coinbase-advanced-py:README.md',
    'coinbase/coinbase-advanced-py:coinbase/constants.py',
    'trufflesecurity/trufflehog:pkg/detectors/coinbase/coinbase.go',
  ],
  fromMemory: ['429 and header names', 'who owns the limit'],
};
