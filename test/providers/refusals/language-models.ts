import {
  MINUTE,
  NOW,
  TO_MIDNIGHT_UTC,
  TO_MIDNIGHT_PACIFIC,
  apiKeyInvalid,
  of,
  type Refusal,
  type Case,
} from './refusal.js';

const event = (data: unknown, name?: string): Pick<Case, 'status' | 'headers' | 'body'> => ({
  status: 200,
  headers: { 'content-type': 'text/event-stream; charset=utf-8' },
  body: `${name === undefined ? '' : `event: ${name}\n`}data: ${JSON.stringify(data)}\n\n`,
});
const failed = (error: object) =>
  event({ type: 'response.failed', response: { id: 'resp_1', error } }, 'response.failed');

const google = (details: readonly object[], message = 'Resource has been exhausted') => ({
  error: { code: 429, message, status: 'RESOURCE_EXHAUSTED', details },
});
const quotaFailure = (quotaId: string) => ({
  '@type': 'type.googleapis.com/google.rpc.QuotaFailure',
  violations: [{ quotaMetric: 'generate_content_free_tier_requests', quotaId }],
});

/** The errors of streams that all providers share which are compatible with OpenAI. */
const streamErrors: readonly Case[] = [
  {
    ...event({ error: { message: 'You exceeded your current quota', code: 'insufficient_quota' } }),
    kind: 'quota-exhausted',
    scope: 'bucket',
  },
  {
    ...event({ error: { message: 'No credit', type: 'insufficient_quota', code: null } }),
    kind: 'quota-exhausted',
    scope: 'bucket',
  },
  {
    ...event({ error: { message: 'Please try again in 2s.', code: 'rate_limit_exceeded' } }, 'error'),
    kind: 'rate-limited',
    scope: 'bucket',
    waitMs: 2_000,
  },
  { ...event({ error: { type: 'tokens', code: null } }), kind: 'rate-limited', scope: 'bucket' },
  { ...event({ error: { code: 'invalid_api_key' } }), kind: 'rejected' },
  { ...event({ error: { code: 503, message: 'Over capacity' } }, 'error'), kind: 'overloaded' },
  { ...event({ error: { type: 'server_error', code: null } }), kind: 'overloaded' },
  {
    ...event({ error: { type: 'invalid_request_error', message: 'The prompt is too long.' } }),
    kind: 'bad-request',
  },
  // A comment, a ping and the role of the answer come first.
  {
    ...event({}),
    body: `: keep-alive\n\nevent: ping\ndata: {}\n\ndata: {"choices":[{"delta":{"role":"assistant"}}]}\n\n${event({ error: { code: 'server_error' } }, 'error').body as string}`,
    kind: 'overloaded',
  },
];

export const LANGUAGE_MODELS: readonly Refusal[] = [
  ...of(
    'openai',
    ...streamErrors,
    {
      status: 429,
      headers: { 'retry-after': '20', 'retry-after-ms': '19500' },
      body: {
        error: {
          message: 'Rate limit reached for gpt-4o. Please try again in 20s.',
          type: 'requests',
          code: 'rate_limit_exceeded',
        },
      },
      kind: 'rate-limited',
      scope: 'bucket',
      waitMs: 19_500,
    },
    {
      status: 429,
      headers: {
        'x-ratelimit-remaining-requests': '0',
        'x-ratelimit-reset-requests': '6m0s',
        'x-ratelimit-remaining-tokens': '900',
        'x-ratelimit-reset-tokens': '8h',
      },
      body: { error: { code: 'rate_limit_exceeded' } },
      kind: 'rate-limited',
      scope: 'bucket',
      waitMs: 6 * MINUTE,
    },
    {
      status: 429,
      headers: { 'x-ratelimit-reset-requests': '1s' },
      body: {
        error: {
          message: 'You exceeded your current quota, please check your plan.',
          type: 'insufficient_quota',
          code: 'insufficient_quota',
        },
      },
      kind: 'quota-exhausted',
      scope: 'bucket',
    },
    {
      status: 429,
      body: { error: { message: 'No credit', type: 'billing', code: 'credit_balance_exhausted' } },
      kind: 'quota-exhausted',
      scope: 'bucket',
    },
    {
      status: 429,
      body: { error: { type: 'insufficient_quota', code: null } },
      kind: 'quota-exhausted',
      scope: 'bucket',
    },
    {
      status: 429,
      body: { error: { message: 'You exceeded your current quota.' } },
      kind: 'quota-exhausted',
      scope: 'bucket',
    },
    {
      status: 403,
      body: { error: { code: 'billing_not_active' } },
      kind: 'quota-exhausted',
      scope: 'bucket',
    },
    { status: 403, body: { error: { code: 'account_deactivated' } }, kind: 'rejected', scope: 'bucket' },
    {
      status: 401,
      body: { error: { code: 'invalid_api_key', message: 'Incorrect API key provided: sk-CANARY.' } },
      kind: 'rejected',
    },
    { status: 401, body: { error: { message: 'IP not authorized' } }, kind: 'restricted', scope: 'key' },
    {
      status: 401,
      body: { error: { message: 'You must be a member of an organization to use the API' } },
      kind: 'restricted',
      scope: 'key',
    },
    {
      status: 403,
      body: { error: { code: 'unsupported_country_region_territory' } },
      kind: 'restricted',
      scope: 'egress',
    },
    { status: 409, body: { error: { message: 'Conflict' } }, kind: 'overloaded' },
    {
      ...failed({ code: 'insufficient_quota', message: 'No credit' }),
      kind: 'quota-exhausted',
      scope: 'bucket',
    },
    { ...failed({ code: 'x', type: 'usage_limit_reached' }), kind: 'quota-exhausted', scope: 'bucket' },
    {
      ...failed({ code: 'rate_limit_exceeded', message: 'Please try again in 1.5s.' }),
      kind: 'rate-limited',
      scope: 'bucket',
      waitMs: 1_500,
    },
    { ...failed({ code: 'server_error' }), kind: 'overloaded' },
    {
      ...event({ type: 'error', code: 'insufficient_quota', message: 'No credit' }, 'error'),
      kind: 'quota-exhausted',
      scope: 'bucket',
    },
    {
      ...event({ type: 'error', code: 'rate_limit_exceeded', message: 'Slow down' }, 'error'),
      kind: 'rate-limited',
      scope: 'bucket',
    },
    { ...event({ type: 'error', code: 'server_error', message: 'Oops' }, 'error'), kind: 'overloaded' },
  ),
  ...of(
    'anthropic',
    {
      status: 429,
      headers: { 'retry-after': '41' },
      body: {
        type: 'error',
        error: { type: 'rate_limit_error', message: 'This request would exceed your rate limit.' },
      },
      kind: 'rate-limited',
      scope: 'bucket',
      waitMs: 41_000,
    },
    {
      status: 429,
      headers: {
        'anthropic-ratelimit-requests-remaining': '49',
        'anthropic-ratelimit-requests-reset': '2025-07-15T12:00:02Z',
        'anthropic-ratelimit-input-tokens-remaining': '0',
        'anthropic-ratelimit-input-tokens-reset': '2025-07-15T12:00:33Z',
      },
      body: { type: 'error', error: { type: 'rate_limit_error' } },
      kind: 'rate-limited',
      scope: 'bucket',
      waitMs: 33_000,
    },
    {
      status: 400,
      body: {
        type: 'error',
        error: {
          type: 'invalid_request_error',
          message: 'Your credit balance is too low to access the Anthropic API.',
        },
      },
      kind: 'quota-exhausted',
      scope: 'bucket',
    },
    {
      status: 400,
      body: {
        error: {
          message:
            'You have reached your specified API usage limits. You will regain access on 2025-08-01 at 00:00 UTC.',
        },
      },
      kind: 'quota-exhausted',
      scope: 'bucket',
      waitMs: Date.UTC(2025, 7, 1) - NOW,
    },
    {
      status: 429,
      body: { error: { message: 'Extra usage is required for long context requests.' } },
      kind: 'bad-request',
    },
    { status: 409, body: { error: { type: 'api_error' } }, kind: 'overloaded' },
    {
      status: 529,
      body: { type: 'error', error: { type: 'overloaded_error', message: 'Overloaded' } },
      kind: 'overloaded',
      scope: 'provider',
    },
    {
      ...event({ type: 'error', error: { type: 'overloaded_error', message: 'Overloaded' } }, 'error'),
      kind: 'overloaded',
    },
    {
      ...event({}),
      body: `event: message_start\ndata: {"type":"message_start","message":{}}\n\nevent: ping\ndata: {"type": "ping"}\n\n${event({ type: 'error', error: { type: 'overloaded_error' } }, 'error').body as string}`,
      kind: 'overloaded',
    },
    {
      ...event({ type: 'error', error: { type: 'invalid_request_error', message: 'Too long' } }, 'error'),
      kind: 'bad-request',
    },
    {
      ...event({ type: 'error', error: { type: 'rate_limit_error' } }, 'error'),
      kind: 'rate-limited',
      scope: 'bucket',
    },
  ),
  ...of(
    'gemini',
    { status: 400, body: apiKeyInvalid, kind: 'rejected' },
    { status: 400, body: [apiKeyInvalid], kind: 'rejected' },
    {
      status: 400,
      body: { error: { code: 400, message: 'API key expired. Please renew the API key.' } },
      kind: 'rejected',
    },
    {
      status: 400,
      body: { error: { code: 400, message: 'Invalid value at contents' } },
      kind: 'bad-request',
    },
    {
      status: 403,
      body: { error: { message: 'Your API key was reported as leaked. Please use another API key.' } },
      kind: 'rejected',
    },
    {
      status: 403,
      body: { error: { status: 'PERMISSION_DENIED', details: [{ reason: 'API_KEY_SERVICE_BLOCKED' }] } },
      kind: 'restricted',
    },
    {
      status: 429,
      body: google([], 'Your prepayment credits are depleted. Please go to AI Studio.'),
      kind: 'quota-exhausted',
      scope: 'bucket',
    },
    {
      status: 429,
      body: google([], 'Your project has exceeded its monthly spending cap.'),
      kind: 'quota-exhausted',
      scope: 'bucket',
      waitMs: Date.UTC(2025, 7, 1, 7) - NOW,
    },
    {
      status: 429,
      body: google(
        [quotaFailure('GenerateRequestsPerDayPerProjectPerModel-FreeTier'), { retryDelay: '34.07s' }],
        'You exceeded your current quota, limit: 0, model: pro',
      ),
      kind: 'restricted',
      scope: 'route',
    },
    {
      status: 429,
      body: google(
        [quotaFailure('GenerateRequestsPerDayPerProjectPerModel-FreeTier'), { retryDelay: '34.07s' }],
        'limit: 50',
      ),
      kind: 'quota-exhausted',
      scope: 'bucket',
      waitMs: TO_MIDNIGHT_PACIFIC,
    },
    {
      status: 429,
      body: google([quotaFailure('GenerateRequestsPerMinutePerProjectPerModel'), { retryDelay: '34.07s' }]),
      kind: 'rate-limited',
      scope: 'bucket',
      waitMs: 34_070,
    },
    {
      status: 429,
      body: google([{ retryDelay: { seconds: '123' } }]),
      kind: 'rate-limited',
      scope: 'bucket',
      waitMs: 123_000,
    },
    { status: 499, body: { error: { status: 'CANCELLED' } }, kind: 'overloaded' },
    {
      ...event({ error: { code: 429, message: 'Please retry in 3s.', status: 'RESOURCE_EXHAUSTED' } }),
      kind: 'rate-limited',
      scope: 'bucket',
      waitMs: 3_000,
    },
    { ...event({ error: { code: 503, status: 'UNAVAILABLE' } }), kind: 'overloaded' },
  ),
  ...of(
    'groq',
    ...streamErrors,
    {
      status: 429,
      body: {
        error: {
          message:
            'Rate limit reached on requests per day (RPD): Limit 1000, Used 1000. Please try again in 1m26.4s.',
        },
      },
      kind: 'quota-exhausted',
      scope: 'bucket',
      waitMs: 86_400,
    },
    {
      status: 400,
      body: { error: { message: 'Your organization has been restricted.' } },
      kind: 'rejected',
      scope: 'bucket',
    },
    { status: 409, kind: 'overloaded' },
  ),
  ...of('mistral', ...streamErrors, {
    status: 429,
    headers: { 'x-ratelimit-limit-req-minute': '0' },
    body: { type: 'rate_limited', code: '1300' },
    kind: 'restricted',
    scope: 'key',
  }),
  ...of(
    'openrouter',
    {
      status: 402,
      headers: { 'retry-after': '5' },
      body: { error: { code: 402, metadata: { limit_source: 'openrouter_in_flight_budget' } } },
      kind: 'rate-limited',
      scope: 'bucket',
      waitMs: 5_000,
    },
    {
      status: 402,
      body: { error: { code: 402, metadata: { limit_source: 'openrouter_key_limit' } } },
      kind: 'quota-exhausted',
      scope: 'key',
    },
    {
      status: 402,
      body: { error: { code: 402, metadata: { limit_source: 'openrouter_credits' } } },
      kind: 'quota-exhausted',
      scope: 'bucket',
    },
    { status: 403, body: { error: { code: 403, message: 'Flagged' } }, kind: 'bad-request' },
    {
      status: 429,
      headers: { 'x-ratelimit-remaining': '0', 'x-ratelimit-reset': String(NOW + TO_MIDNIGHT_UTC) },
      body: { error: { code: 429, message: 'Rate limit exceeded: free-models-per-day' } },
      kind: 'quota-exhausted',
      scope: 'bucket',
      waitMs: TO_MIDNIGHT_UTC,
    },
    {
      status: 429,
      body: { error: { code: 429, metadata: { provider_code: 'rate_limited' } } },
      kind: 'rate-limited',
      scope: 'route',
    },
    { status: 200, body: { error: { code: 429 } }, kind: 'rate-limited', scope: 'bucket' },
    { status: 200, body: { error: { code: 402 } }, kind: 'quota-exhausted', scope: 'bucket' },
    { status: 200, body: { error: { code: 401 } }, kind: 'rejected' },
    { status: 200, body: { error: { code: 502 } }, kind: 'overloaded' },
    { status: 200, body: { error: { code: 400 } }, kind: 'bad-request' },
    {
      ...event({ error: { code: 429 }, choices: [{ finish_reason: 'error' }] }),
      kind: 'rate-limited',
      scope: 'bucket',
    },
    { ...event({ error: { code: 402 } }), kind: 'quota-exhausted', scope: 'bucket' },
    { ...event({ error: { code: 503 } }), kind: 'overloaded' },
  ),
  ...of('deepseek', ...streamErrors, {
    status: 402,
    body: { error: { message: 'Insufficient Balance' } },
    kind: 'quota-exhausted',
    scope: 'bucket',
  }),
  ...of(
    'xai',
    ...streamErrors,
    {
      status: 400,
      body: { code: 'Client specified an invalid argument', error: 'Incorrect API key provided' },
      kind: 'rejected',
    },
    {
      status: 429,
      body: {
        code: 'Some resource has been exhausted',
        error: 'Your team 1 has either used all available credits or reached its monthly spending limit.',
      },
      kind: 'quota-exhausted',
      scope: 'bucket',
    },
    {
      status: 403,
      body: { error: "Your newly created team doesn't have any credits or licenses yet." },
      kind: 'quota-exhausted',
      scope: 'bucket',
    },
    {
      status: 403,
      body: { error: 'Your team has used all available credits or reached its monthly spending limit.' },
      kind: 'quota-exhausted',
      scope: 'bucket',
    },
  ),
  ...of(
    'cohere',
    {
      status: 402,
      body: { message: 'Maximum billing reached for this API key' },
      kind: 'quota-exhausted',
      scope: 'bucket',
    },
    {
      status: 429,
      body: { message: 'You are using a Trial key, which is limited to 1000 API calls / month.' },
      kind: 'quota-exhausted',
      scope: 'bucket',
    },
    { status: 401, body: { message: 'invalid api token' }, kind: 'rejected' },
  ),
  ...of(
    'together',
    ...streamErrors,
    { status: 403, body: { error: { message: 'Input is longer than the context' } }, kind: 'bad-request' },
    { status: 402, body: { error: { message: 'Spending limit' } }, kind: 'quota-exhausted', scope: 'bucket' },
  ),
  ...of(
    'perplexity',
    ...streamErrors,
    {
      status: 401,
      body: { error: { type: 'insufficient_quota', message: 'You exceeded your current quota' } },
      kind: 'quota-exhausted',
      scope: 'bucket',
    },
    { status: 401, body: '<html>401 Authorization Required</html>', kind: 'rejected' },
    { status: 409, kind: 'overloaded' },
  ),
  ...of(
    'azure_openai',
    ...streamErrors,
    {
      status: 429,
      body: {
        error: {
          code: '429',
          message: 'Requests have exceeded the token rate limit. Please retry after 12 seconds.',
        },
      },
      kind: 'rate-limited',
      scope: 'bucket',
      waitMs: 12_000,
    },
    { status: 409, kind: 'overloaded' },
  ),
];
