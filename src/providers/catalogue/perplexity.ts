import type { CatalogueEntry } from '../catalogue-entry.js';

export const perplexity: CatalogueEntry = {
  id: 'perplexity',
  name: 'Perplexity',
  baseUrl: 'https://api.perplexity.ai',
  origins: ['https://api.perplexity.ai'],
  auth: { in: 'header', name: 'Authorization', scheme: 'Bearer' },
  authAlternatives: [],
  env: ['PERPLEXITY_API_KEY', 'PPLX_API_KEY'],
  signed: false,
  bucketScope: 'account',
  errors: [
    { status: 401, match: 'insufficient_quota|exceeded your current quota', outcome: 'quota-exhausted' },
    { status: 409, outcome: 'overloaded' },
  ],
  knownLimits: [
    { tier: 'Agent API tier 0', requests: 50, per: 'minute', asOf: 'docs 2026' },
    { tier: 'Agent API tier 1', requests: 150, per: 'minute', asOf: 'docs 2026' },
    { tier: 'Agent API tier 2', requests: 500, per: 'minute', asOf: 'docs 2026' },
    { tier: 'Agent API tier 3', requests: 1_000, per: 'minute', asOf: 'docs 2026' },
    { tier: 'Agent API tier 4-5', requests: 2_000, per: 'minute', asOf: 'docs 2026' },
    { tier: 'Search API, all tiers', requests: 50, per: 'second', asOf: 'docs 2026' },
  ],
  poolTerms: null,
  notes: [
    'Leaky bucket: both a QPS and a per-minute figure apply.',
    'Separate buckets per product.',
    'Exhausted credit as 401 is from memory: read the body before disabling a key on 401.',
  ],
  sources: [
    'https://docs.perplexity.ai/docs/admin/rate-limits-usage-tiers',
    'https://docs.perplexity.ai/guides/perplexity-sdk-error-handling',
    'perplexityai/perplexity-node:src/client.ts',
  ],
  fromMemory: ['401 for exhausted credit', 'PPLX_API_KEY'],
};
