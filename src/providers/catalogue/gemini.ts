import type { CatalogueEntry, ProviderFacts } from '../catalogue-entry.js';

export const gemini: CatalogueEntry = {
  id: 'gemini',
  name: 'Google Gemini API',
  baseUrl: 'https://generativelanguage.googleapis.com',
  origins: ['https://generativelanguage.googleapis.com'],
  auth: { in: 'header', name: 'x-goog-api-key' },
  authAlternatives: [
    { in: 'query', name: 'key' },
    { in: 'header', name: 'Authorization', scheme: 'Bearer' },
  ],
  env: ['GEMINI_API_KEY', 'GOOGLE_API_KEY', 'GOOGLE_GENERATIVE_AI_API_KEY'],
  signed: false,
  bucketScope: 'project',
  protocol: { name: 'openai', pathPrefix: '/v1beta/openai' },
  repeatable: [
    'POST /v1beta/openai/chat/completions',
    'POST /v1beta/openai/embeddings',
    ...['generateContent', 'streamGenerateContent', 'countTokens', 'embedContent'].flatMap((call) => [
      `POST /v1beta/models/*:${call}`,
      `POST /v1/models/*:${call}`,
    ]),
  ],
  streamEndMark: '"(finishReason|blockReason)"|data: ?\\[DONE\\]',
  errors: [
    { status: 400, json: '$.error.details[*].reason', match: '^API_KEY_INVALID$', outcome: 'rejected' },
    { status: 400, json: '$.error.message', match: 'API key not valid|API key expired', outcome: 'rejected' },
    { status: 403, json: '$.error.message', match: 'reported as leaked', outcome: 'rejected' },
    // Money and the owner's own cap come as 429 too.
    {
      status: 429,
      json: '$.error.message',
      match: 'prepay(ment)? credit',
      outcome: 'quota-exhausted',
    },
    {
      status: 429,
      json: '$.error.message',
      match: 'monthly spending cap',
      outcome: 'quota-exhausted',
      window: 'month',
    },
    // No allowance for this model at all, so that other models of the key must not suffer.
    { status: 429, json: '$.error.message', match: 'limit:\\s*0(?!\\d|\\.\\d)', outcome: 'restricted' },
    {
      status: 429,
      json: '$.error.details[*].violations[*].quotaId',
      match: 'PerDay|Daily',
      outcome: 'quota-exhausted',
      window: 'day',
    },
    {
      status: 429,
      json: '$.error.details[*].violations[*].quotaId',
      match: 'PerMinute',
      outcome: 'rate-limited',
      window: 'minute',
    },
    { status: 499, outcome: 'overloaded' },
    // An error in the midst of a stream that began well; read by googleapis/js-genai.
    { status: 200, sse: '$.error.code', match: '^429$', outcome: 'rate-limited' },
    { status: 200, sse: '$.error.code', match: '^5\\d\\d$', outcome: 'overloaded' },
  ],
  reset: { at: '00:00', timeZone: 'America/Los_Angeles' },
  probe: { method: 'GET', path: '/v1beta/models', everyMs: 300_000, dailyBudget: 48 },
};

export const geminiFacts: ProviderFacts = {
  knownLimits: [
    {
      tier: 'by tier and model',
      amount: 'RPM, TPM, RPD: shown in AI Studio only',
      per: 'minute/day',
      asOf: '2026',
    },
  ],
  poolTerms: null,
  notes: [
    'A bad, revoked or EXPIRED key is HTTP 400, not 401; 403 = a live Google key without access to this API.',
    'No rate headers and no Retry-After: the wait is in the BODY.',
    'Limits are per PROJECT and per model, so several keys of one project add nothing.',
    'RPD resets at midnight Pacific (DST!).',
    'Official CLI treats a retryDelay over 5 minutes as exhausted and 499 like 429.',
    'If both GOOGLE_API_KEY and GEMINI_API_KEY are set, the SDK uses GOOGLE_API_KEY.',
    'The daily 429 still carries a short retryDelay, so test quotaId first.',
  ],
  sources: [
    'https://ai.google.dev/gemini-api/docs/rate-limits',
    'google-gemini/gemini-cli:packages/core/src/utils/googleQuotaErrors.ts (2026-08-21)',
    'googleapis/js-genai:src/node/node_client.ts',
    'Mirrowel/LLM-API-Key-Proxy:src/rotator_library/error_handler.py',
    'trufflesecurity/trufflehog:pkg/detectors/googlegemini/googlegemini.go',
    'https://dev.to/cynora/gemini-api-free-tier-429-per-minute-vs-per-day-limits-measured-on-four-models-mpc',
    'https://www.developersdigest.tech/errors/api/deepseek-api/402-insufficient-balance (402 list)',
    'public client code, repositories not recorded',
    'googleapis/js-genai:src/_api_client.ts',
  ],
  fromMemory: ['absence of Retry-After'],
};
