import type { CatalogueEntry, ProviderFacts } from '../catalogue-entry.js';
import { STREAM_END, STREAM_ERRORS } from '../openai-compatible.js';

export const mistral: CatalogueEntry = {
  id: 'mistral',
  name: 'Mistral',
  baseUrl: 'https://api.mistral.ai',
  origins: ['https://api.mistral.ai', 'https://codestral.mistral.ai'],
  auth: { in: 'header', name: 'Authorization', scheme: 'Bearer' },
  authAlternatives: [],
  env: ['MISTRAL_API_KEY'],
  signed: false,
  bucketScope: 'organization',
  protocol: { name: 'openai', pathPrefix: '/v1' },
  repeatable: [
    'POST /v1/chat/completions',
    'POST /v1/fim/completions',
    'POST /v1/embeddings',
    'POST /v1/moderations',
    'POST /v1/chat/moderations',
  ],
  streamEndMark: STREAM_END,
  errors: [
    // No allowance at all: the key is valid, and waiting is futile.
    {
      status: 429,
      header: { name: 'x-ratelimit-limit-req-minute', match: '^0$' },
      outcome: 'restricted',
      scope: 'key',
    },
    ...STREAM_ERRORS,
  ],
  probe: { method: 'GET', path: '/v1/models', everyMs: 300_000, dailyBudget: 48 },
};

export const mistralFacts: ProviderFacts = {
  knownLimits: [
    { tier: 'free mode', amount: 'requests: see console', per: 'second', asOf: '2026-08-21' },
    { tier: 'by tier', amount: 'tokens: see console', per: 'minute/month', asOf: '2026-08-21' },
  ],
  poolTerms: null,
  notes: [
    'No reset header: x-ratelimit-{limit,remaining}-{req-minute,tokens-minute,tokens-month} name their windows.',
    'A VALID key with x-ratelimit-limit-req-minute: 0 and 429 has no allowance: terminal, do not retry (seen 2026-09-29).',
    '429 body {"type":"rate_limited","code":"1300"}.',
    'Docs disagree whether limits are per organization or per workspace; monthly workspace spend cap rejects requests.',
    '402 per a third-party reading of the docs.',
  ],
  sources: [
    'mistralai/platform-docs-public:public/resources/error-glossary.md',
    'mistralai/platform-docs-public:public/admin/user-management-finops/tier.md',
    'mistralai/platform-docs-public:public/admin/user-management-finops/usage-limits.md',
    'mistralai/client-ts:src/funcs/modelsList.ts',
    'public client code, repositories not recorded',
  ],
  fromMemory: ['which routes may be repeated', '[DONE] at the end of streams'],
};
