import type { CatalogueEntry, ProviderFacts } from '../catalogue-entry.js';
import { STREAM_ERRORS } from '../openai-compatible.js';

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
  protocol: { name: 'openai', pathPrefix: '' },
  repeatable: ['POST /chat/completions', 'POST /search'],
  // Its streams may lack `[DONE]`: their last piece tells why the answer ended.
  streamEndMark:
    '"finish_reason":\\s{0,4}"\\w+"|data: ?\\[DONE\\]|event: ?response\\.(completed|incomplete|failed)',
  errors: [
    { status: 401, match: 'insufficient_quota|exceeded your current quota', outcome: 'quota-exhausted' },
    { status: 409, outcome: 'overloaded' },
    ...STREAM_ERRORS,
  ],
};

export const perplexityFacts: ProviderFacts = {
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
    'public client code, repositories not recorded',
    'https://github.com/perplexityai/api-discussion/issues/209',
  ],
  fromMemory: ['401 for exhausted credit', 'which routes may be repeated'],
};
