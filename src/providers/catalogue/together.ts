import type { CatalogueEntry, ProviderFacts } from '../catalogue-entry.js';
import { computingRoutes, STREAM_END, STREAM_ERRORS } from '../openai-compatible.js';

export const together: CatalogueEntry = {
  id: 'together',
  name: 'Together AI',
  baseUrl: 'https://api.together.xyz',
  origins: ['https://api.together.xyz', 'https://api.together.ai'],
  auth: { in: 'header', name: 'Authorization', scheme: 'Bearer' },
  authAlternatives: [],
  env: ['TOGETHER_API_KEY', 'TOGETHERAI_API_KEY'],
  signed: false,
  bucketScope: 'account',
  protocol: { name: 'openai', pathPrefix: '/v1' },
  repeatable: computingRoutes('/v1', '/rerank'),
  streamEndMark: STREAM_END,
  errors: [
    // Prompt and answer together exceed the model's context.
    { status: 403, outcome: 'bad-request' },
    { status: 402, outcome: 'quota-exhausted', window: 'month' },
    ...STREAM_ERRORS,
  ],
  probe: { method: 'GET', path: '/v1/models', everyMs: 300_000, dailyBudget: 48 },
};

export const togetherFacts: ProviderFacts = {
  knownLimits: [
    { tier: 'dynamic', amount: 'requests and tokens: adapts to usage', per: 'second', asOf: '2026' },
  ],
  poolTerms: null,
  notes: [
    '403 here means prompt + max_tokens exceed the context length: never treat it as an auth failure.',
    '402 = monthly spending limit.',
    'Limits are dynamic; do not store numbers.',
  ],
  sources: [
    'https://docs.together.ai/docs/error-codes',
    'togethercomputer/together-typescript:src/client.ts',
    'public client code, repositories not recorded',
  ],
  fromMemory: ['probe', 'which routes may be repeated', '[DONE] at the end of streams'],
};
