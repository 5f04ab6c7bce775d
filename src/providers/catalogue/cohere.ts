import type { CatalogueEntry, ProviderFacts } from '../catalogue-entry.js';
import { computingRoutes } from '../openai-compatible.js';

export const cohere: CatalogueEntry = {
  id: 'cohere',
  name: 'Cohere',
  baseUrl: 'https://api.cohere.com',
  origins: ['https://api.cohere.com', 'https://api.cohere.ai'],
  auth: { in: 'header', name: 'Authorization', scheme: 'Bearer' },
  authAlternatives: [],
  env: ['CO_API_KEY', 'COHERE_API_KEY'],
  signed: false,
  bucketScope: 'account',
  protocol: { name: 'openai', pathPrefix: '/compatibility/v1' },
  repeatable: [
    ...computingRoutes('/compatibility/v1'),
    'POST /v2/chat',
    'POST /v2/embed',
    'POST /v2/rerank',
    'POST /v1/embed',
    'POST /v1/rerank',
    'POST /v1/classify',
    'POST /v1/tokenize',
    'POST /v1/detokenize',
  ],
  streamEndMark: '"type": ?"message-end"|event: ?message-end|data: ?\\[DONE\\]',
  errors: [
    {
      status: 402,
      json: '$.message',
      match: 'Maximum billing reached',
      outcome: 'quota-exhausted',
      window: 'month',
    },
    {
      status: 429,
      json: '$.message',
      match: 'API calls / month|per month',
      outcome: 'quota-exhausted',
      window: 'month',
    },
  ],
  probe: { method: 'POST', path: '/v1/check-api-key', everyMs: 300_000, dailyBudget: 48 },
};

export const cohereFacts: ProviderFacts = {
  knownLimits: [
    { tier: 'trial', requests: 1_000, per: 'month', asOf: 'docs 2026-08-20' },
    { tier: 'trial chat, per model', requests: 20, per: 'minute', asOf: 'docs 2026-08-20' },
    { tier: 'production chat', requests: 500, per: 'minute', asOf: 'docs 2026-08-20' },
    { tier: 'trial rerank', requests: 10, per: 'minute', asOf: 'docs 2026-08-20' },
    { tier: 'default endpoint', requests: 500, per: 'minute', asOf: 'docs 2026-08-20' },
  ],
  poolTerms: null,
  notes: [
    'Trial headers exist only on trial keys and are ABSENT on 429 (per Elasticsearch).',
    '402 "Maximum billing reached for this API key" resets at the start of next month; 402 also = no payment method.',
    'Limits per endpoint and per model.',
    'The official TS SDK also reads Retry-After and X-RateLimit-Reset (epoch).',
    '498/499 are not key faults. check-api-key is in the OpenAPI file but its page is archived.',
  ],
  sources: [
    'cohere-ai/cohere-developer-experience:fern/pages/going-to-production/rate-limits.mdx',
    'cohere-ai/cohere-developer-experience:fern/pages/cohere-api/errors.mdx',
    'cohere-ai/cohere-developer-experience:cohere-openapi.yaml',
    'cohere-ai/cohere-typescript:src/core/fetcher/requestWithRetries.ts',
    'cohere-ai/cohere-typescript:src/auth/BearerAuthProvider.ts',
    'public client code, repositories not recorded',
    'https://docs.cohere.com/docs/compatibility-api',
  ],
  fromMemory: ['498 remark', 'which routes may be repeated'],
};
