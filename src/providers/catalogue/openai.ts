import type { CatalogueEntry, ProviderFacts } from '../catalogue-entry.js';
import { computingRoutes, STREAM_END, STREAM_ERRORS } from '../openai-compatible.js';

export const openai: CatalogueEntry = {
  id: 'openai',
  name: 'OpenAI',
  baseUrl: 'https://api.openai.com',
  origins: ['https://api.openai.com'],
  auth: { in: 'header', name: 'Authorization', scheme: 'Bearer' },
  authAlternatives: [],
  env: ['OPENAI_API_KEY'],
  signed: false,
  bucketScope: 'organization',
  protocol: { name: 'openai', pathPrefix: '/v1' },
  ownerHeader: 'openai-organization',
  repeatable: computingRoutes(
    '/v1',
    '/moderations',
    '/audio/speech',
    '/audio/transcriptions',
    '/audio/translations',
  ),
  streamEndMark: STREAM_END,
  errors: [
    // No money and too fast are both 429; waiting helps against one of them only.
    {
      status: 429,
      json: '$.error.code',
      match: '^(insufficient_quota|billing_not_active|credit_balance_exhausted)$',
      outcome: 'quota-exhausted',
    },
    { status: 429, json: '$.error.type', match: '^insufficient_quota$', outcome: 'quota-exhausted' },
    {
      status: 429,
      json: '$.error.message',
      match: 'exceeded your current quota',
      outcome: 'quota-exhausted',
    },
    {
      status: [400, 401, 403],
      json: '$.error.code',
      match: '^billing_not_active$',
      outcome: 'quota-exhausted',
    },
    {
      status: [400, 403],
      json: '$.error.code',
      match: '^account_deactivated$',
      outcome: 'rejected',
      scope: 'bucket',
    },
    // The key lives, and is of no use from here.
    { status: 401, json: '$.error.message', match: 'IP not authorized', outcome: 'restricted', scope: 'key' },
    {
      status: 401,
      json: '$.error.message',
      match: 'must be a member of an organization',
      outcome: 'restricted',
      scope: 'key',
    },
    {
      status: 403,
      json: '$.error.code',
      match: '^unsupported_country_region_territory$',
      outcome: 'restricted',
      scope: 'egress',
    },
    { status: 409, outcome: 'overloaded' },
    {
      status: 200,
      sse: '$.response.error.code',
      match: 'insufficient_quota|usage_limit_reached',
      outcome: 'quota-exhausted',
    },
    {
      status: 200,
      sse: '$.response.error.type',
      match: 'insufficient_quota|usage_limit_reached',
      outcome: 'quota-exhausted',
    },
    { status: 200, sse: '$.response.error.code', match: 'rate_limit_exceeded', outcome: 'rate-limited' },
    { status: 200, sse: '$.response.error.code', match: 'server_error', outcome: 'overloaded' },
    // The event `error` of a response has its code at the top.
    { status: 200, sse: '$.code', match: '^insufficient_quota$', outcome: 'quota-exhausted' },
    { status: 200, sse: '$.code', match: '^rate_limit_exceeded$', outcome: 'rate-limited' },
    { status: 200, sse: '$.code', match: '^server_error$', outcome: 'overloaded' },
    ...STREAM_ERRORS,
  ],
  probe: { method: 'GET', path: '/v1/models', everyMs: 300_000, dailyBudget: 48 },
};

export const openaiFacts: ProviderFacts = {
  knownLimits: [
    {
      tier: 'by usage tier and model',
      amount: 'requests and tokens: not tabulated; see account limits page',
      per: 'minute',
      asOf: '2026',
    },
  ],
  poolTerms: null,
  notes: [
    'Two 429s with opposite meaning: error.code rate_limit_exceeded (wait) vs insufficient_quota (no money; waiting never helps).',
    '"reset" headers are the time until the bucket is FULL, not the time to wait for one slot.',
    'Extra families exist (x-ratelimit-*-tokens_usage_based).',
    '401 "IP not authorized" and "must be a member of an organization" are not a dead key; 403 = unsupported country.',
    '503 "slow down".',
    'Keys in one organization/project share limits and credit.',
    'OPENAI_ADMIN_KEY holds a key of another kind (administration only) and is left alone.',
  ],
  sources: [
    'https://developers.openai.com/docs/guides/error-codes',
    'https://developers.openai.com/api/docs/guides/rate-limits',
    'https://community.openai.com/t/how-to-get-rate-limit-reset-time-for-response-api/1268905',
    'openai/openai-node:src/client.ts (2026-08-21)',
    'openai/openai-openapi:openapi.yaml',
    'Calcium-Ion/new-api:service/channel.go',
    'trufflesecurity/trufflehog:pkg/detectors/openai/openai.go (GET /v1/me)',
    'public client code, repositories not recorded',
    'https://developers.openai.com/api/reference/overview',
    'openai/openai-node:src/core/streaming.ts',
  ],
  fromMemory: ['/v1/models costs nothing'],
};
