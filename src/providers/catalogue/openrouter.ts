import type { CatalogueEntry, ProviderFacts } from '../catalogue-entry.js';
import { computingRoutes, STREAM_END } from '../openai-compatible.js';

export const openrouter: CatalogueEntry = {
  id: 'openrouter',
  name: 'OpenRouter',
  baseUrl: 'https://openrouter.ai',
  origins: ['https://openrouter.ai'],
  auth: { in: 'header', name: 'Authorization', scheme: 'Bearer' },
  authAlternatives: [],
  env: ['OPENROUTER_API_KEY'],
  signed: false,
  bucketScope: 'account',
  protocol: { name: 'openai', pathPrefix: '/api/v1' },
  repeatable: computingRoutes('/api/v1', '/messages'),
  streamEndMark: STREAM_END,
  errors: [
    {
      status: 402,
      json: '$.error.metadata.limit_source',
      match: 'in_flight_budget',
      outcome: 'rate-limited',
    },
    {
      status: 402,
      json: '$.error.metadata.limit_source',
      match: 'key_limit',
      outcome: 'quota-exhausted',
      scope: 'key',
    },
    // Moderation or a guardrail: about the content, not the key.
    { status: 403, outcome: 'bad-request' },
    { status: 429, json: '$.error.message', match: 'per-day', outcome: 'quota-exhausted', window: 'day' },
    // The model's own provider refuses, whatever the key.
    { status: 429, json: '$.error.metadata.provider_code', outcome: 'rate-limited', scope: 'route' },
    { status: 200, json: '$.error.code', match: '^429$', outcome: 'rate-limited' },
    { status: 200, json: '$.error.code', match: '^402$', outcome: 'quota-exhausted' },
    { status: 200, json: '$.error.code', match: '^401$', outcome: 'rejected' },
    { status: 200, json: '$.error.code', match: '^(408|5\\d\\d)$', outcome: 'overloaded' },
    { status: 200, json: '$.error.code', match: '^4\\d\\d$', outcome: 'bad-request' },
    { status: 200, sse: '$.error.code', match: '^429$', outcome: 'rate-limited' },
    { status: 200, sse: '$.error.code', match: '^402$', outcome: 'quota-exhausted' },
    { status: 200, sse: '$.error.code', match: '^(408|5\\d\\d)$', outcome: 'overloaded' },
  ],
  reset: { at: '00:00', timeZone: 'UTC' },
  probe: { method: 'GET', path: '/api/v1/key', everyMs: 300_000, dailyBudget: 48 },
};

export const openrouterFacts: ProviderFacts = {
  knownLimits: [
    { tier: 'free models', requests: 20, per: 'minute', asOf: '2026-08-22' },
    { tier: 'free models, <10 credits bought', requests: 50, per: 'day', asOf: '2026-08-22' },
    { tier: 'free models, >=10 credits bought', requests: 1_000, per: 'day', asOf: '2026-08-22' },
  ],
  poolTerms: 'Docs: making additional accounts or API keys will not affect your rate limits.',
  notes: [
    'HTTP status is only an error before the model starts; afterwards 200 with error in body or SSE.',
    "402 splits on error.metadata.limit_source: openrouter_in_flight_budget is TRANSIENT (has Retry-After), openrouter_key_limit = this key's cap, openrouter_credits = account.",
    '429 may come from upstream: error.metadata.provider_code.',
    'Success responses carry no rate headers.',
    '403 = guardrail/moderation, not the key.',
    'GET /api/v1/key returns limit_remaining, limit_reset, usage_daily (UTC day), free_model_daily_requests{used,limit,remaining}.',
  ],
  sources: [
    'OpenRouterTeam/docs:api_reference/limits.mdx',
    'OpenRouterTeam/docs:api_reference/errors-and-debugging.mdx',
    'OpenRouterTeam/docs:snippets/exports/constants.mdx (2026-08-22)',
    'trufflesecurity/trufflehog:pkg/detectors/openrouter/openrouter.go',
    'public client code, repositories not recorded',
  ],
  fromMemory: ['which routes may be repeated', '[DONE] at the end of streams'],
};
