import type { CatalogueEntry, ProviderFacts } from '../catalogue-entry.js';

export const anthropic: CatalogueEntry = {
  id: 'anthropic',
  name: 'Anthropic',
  baseUrl: 'https://api.anthropic.com',
  origins: ['https://api.anthropic.com'],
  auth: { in: 'header', name: 'x-api-key' },
  authAlternatives: [{ in: 'header', name: 'Authorization', scheme: 'Bearer' }],
  env: ['ANTHROPIC_API_KEY'],
  companionHeaders: { 'anthropic-version': '2023-06-01' },
  signed: false,
  bucketScope: 'organization',
  ownerHeader: 'anthropic-organization-id',
  repeatable: [
    'POST /v1/messages',
    'POST /v1/messages/count_tokens',
    'POST /v1/complete',
    'POST /v1/chat/completions',
  ],
  streamEndMark: 'event: ?message_stop|data: ?\\[DONE\\]',
  errors: [
    // A 400 may be about money, so it is read before the request is blamed.
    { status: 400, json: '$.error.message', match: 'credit balance is too low', outcome: 'quota-exhausted' },
    {
      status: [400, 429],
      json: '$.error.message',
      match: 'usage limit|spend limit',
      outcome: 'quota-exhausted',
      window: 'month',
    },
    {
      status: 429,
      json: '$.error.message',
      match: 'Extra usage is required for long context',
      outcome: 'bad-request',
    },
    { status: 409, outcome: 'overloaded' },
    {
      status: 200,
      sse: '$.error.type',
      match: '^(overloaded_error|api_error|timeout_error)$',
      outcome: 'overloaded',
    },
    { status: 200, sse: '$.error.type', match: '^rate_limit_error$', outcome: 'rate-limited' },
    { status: 200, sse: '$.error.message', match: '.', outcome: 'bad-request' },
  ],
  probe: { method: 'GET', path: '/v1/models', everyMs: 300_000, dailyBudget: 48 },
};

export const anthropicFacts: ProviderFacts = {
  knownLimits: [
    {
      tier: 'by tier and model class',
      amount:
        'requests, input tokens, output tokens: tiers Evaluation/Start/Build/Scale/Custom; numbers in the Console',
      per: 'minute',
      asOf: '2026',
    },
  ],
  poolTerms: null,
  notes: [
    'Exhausted credit may be 400 invalid_request_error ("Your credit balance is too low...") or 402; a self-set spend limit is a 400 (429 in the Claude Code workspace).',
    'A 400 must therefore be read before it is blamed on the request.',
    "529 overloaded_error is everybody's trouble: never penalise the key.",
    '429 "Extra usage is required for long context requests" is about the request: rotating is futile.',
    '403 permission_error. anthropic-organization-id tells which keys share one bucket.',
    'ANTHROPIC_AUTH_TOKEN holds an OAuth token, which goes elsewhere than a key, and is left alone.',
  ],
  sources: [
    'https://platform.claude.com/docs/es/api/errors.md',
    'https://support.claude.com/en/articles/8243635-our-approach-to-api-rate-limits',
    'https://docs.aws.amazon.com/claude-platform/latest/userguide/rate-limits.html',
    'https://rdrr.io/cran/tidyllm/src/tests/testthat/claude/api.anthropic.com/v1/messages-e050b5-POST.R (recorded headers)',
    'anthropics/anthropic-sdk-typescript:src/client.ts (2026-08-19)',
    'trufflesecurity/trufflehog:pkg/detectors/anthropic/anthropic.go',
    'metjm/claude-code-apikey-rotation-proxy:src/proxy.ts',
    'https://portkey.ai/error-library/account-billing-error-10155',
    'anthropics/anthropic-sdk-typescript:src/core/streaming.ts',
    'https://platform.claude.com/docs/en/cli-sdks-libraries/libraries/openai-sdk.md',
    'public client code, repositories not recorded',
  ],
  fromMemory: [],
};
