import { MINUTE, NOW, TO_MIDNIGHT_UTC, apiKeyInvalid, of, type Refusal } from './refusal.js';

const etherscan = (result: string) => ({ status: '0', message: 'NOTOK', result });

export const OTHERS: readonly Refusal[] = [
  ...of(
    'github',
    {
      status: 403,
      headers: { 'x-ratelimit-remaining': '0', 'x-ratelimit-reset': String(NOW / 1000 + 1800) },
      body: { message: 'API rate limit exceeded for user ID 1.' },
      kind: 'rate-limited',
      scope: 'bucket',
      waitMs: 30 * MINUTE,
    },
    {
      status: 403,
      headers: { 'retry-after': '60', 'x-ratelimit-remaining': '4990' },
      kind: 'rate-limited',
      scope: 'bucket',
      waitMs: MINUTE,
    },
    {
      status: 403,
      headers: { 'x-ratelimit-remaining': '4990', 'x-ratelimit-reset': String(NOW / 1000 + 1800) },
      body: {
        message: 'You have exceeded a secondary rate limit. Please wait a few minutes before you try again.',
      },
      kind: 'rate-limited',
      scope: 'bucket',
      waitMs: MINUTE,
    },
    {
      status: 403,
      headers: { 'x-ratelimit-remaining': '4990' },
      body: { message: 'Resource not accessible by integration' },
      kind: 'restricted',
    },
    { status: 401, body: { message: 'Bad credentials' }, kind: 'rejected' },
    {
      status: 200,
      headers: { 'x-ratelimit-remaining': '0', 'x-ratelimit-reset': String(NOW / 1000 + 1800) },
      body: { errors: [{ type: 'RATE_LIMITED', message: 'API rate limit exceeded' }] },
      kind: 'rate-limited',
      scope: 'bucket',
      waitMs: 30 * MINUTE,
    },
  ),
  ...of(
    'serpapi',
    {
      status: 429,
      body: { error: 'Your account has run out of searches.' },
      kind: 'quota-exhausted',
      scope: 'bucket',
    },
    { status: 200, body: { error: "Google hasn't returned any results for this query." }, kind: 'success' },
    { status: 403, body: { error: 'Account deleted' }, kind: 'rejected' },
  ),
  ...of('tavily', {
    status: 432,
    body: { detail: { error: "This request exceeds your plan's set usage limit." } },
    kind: 'quota-exhausted',
    scope: 'bucket',
  }),
  ...of(
    'brave_search',
    { status: 422, body: { error: { code: 'SUBSCRIPTION_TOKEN_INVALID' } }, kind: 'rejected' },
    {
      status: 422,
      body: { error: { meta: { errors: [{ loc: ['header', 'x-subscription-token'] }] } } },
      kind: 'rejected',
    },
    { status: 422, body: { error: { code: 'VALIDATION' } }, kind: 'bad-request' },
    {
      status: 429,
      headers: { 'x-ratelimit-remaining': '1, 0', 'x-ratelimit-reset': '1, 1419704' },
      body: { error: { code: 'RATE_LIMITED' } },
      kind: 'quota-exhausted',
      scope: 'bucket',
      waitMs: 1_419_704_000,
    },
    // A plan without a monthly limit.
    {
      status: 429,
      headers: {
        'x-ratelimit-limit': '50, 0',
        'x-ratelimit-remaining': '0, 0',
        'x-ratelimit-reset': '1, 1419704',
      },
      body: { error: { code: 'RATE_LIMITED' } },
      kind: 'rate-limited',
      scope: 'bucket',
      waitMs: 1_000,
    },
    {
      status: 429,
      headers: { 'x-ratelimit-remaining': '0, 1000', 'x-ratelimit-reset': '1, 1419704' },
      body: { error: { code: 'RATE_LIMITED' } },
      kind: 'rate-limited',
      scope: 'bucket',
      waitMs: 1_000,
    },
  ),
  ...of(
    'google_maps',
    { status: 200, body: { status: 'OVER_QUERY_LIMIT', results: [] }, kind: 'rate-limited', scope: 'bucket' },
    {
      status: 200,
      body: { status: 'REQUEST_DENIED', error_message: 'The provided API key is invalid.' },
      kind: 'rejected',
    },
    { status: 200, body: { status: 'OVER_DAILY_LIMIT' }, kind: 'quota-exhausted', scope: 'bucket' },
    {
      status: 200,
      body: {
        status: 'REQUEST_DENIED',
        error_message: 'This API project is not authorized to use this API.',
      },
      kind: 'restricted',
      scope: 'key',
    },
    { status: 200, body: { status: 'UNKNOWN_ERROR' }, kind: 'overloaded' },
    { status: 200, body: { status: 'ZERO_RESULTS', results: [] }, kind: 'success' },
    { status: 400, body: apiKeyInvalid, kind: 'rejected' },
  ),
  ...of(
    'openweather',
    {
      status: 429,
      body: {
        cod: 429,
        message:
          'Your account is temporary blocked due to exceeding of requests limitation of your subscription type.',
      },
      kind: 'quota-exhausted',
      scope: 'bucket',
    },
    {
      status: 401,
      body: { cod: '401', message: 'Please note that using One Call 3.0 requires a separate subscription.' },
      kind: 'restricted',
    },
    { status: 401, body: { cod: 401, message: 'Invalid API key.' }, kind: 'rejected' },
  ),
  ...of(
    'etherscan',
    {
      status: 200,
      body: etherscan('Max calls per sec rate limit reached (3/sec)'),
      kind: 'rate-limited',
      scope: 'bucket',
      waitMs: 1_000,
    },
    {
      status: 200,
      body: etherscan('Max daily rate limit reached'),
      kind: 'quota-exhausted',
      scope: 'bucket',
    },
    {
      status: 200,
      body: etherscan('Too many invalid api key attempts, please try again later'),
      kind: 'rate-limited',
      scope: 'egress',
      waitMs: MINUTE,
    },
    { status: 200, body: etherscan('Missing/Invalid API Key'), kind: 'rejected' },
    {
      status: 200,
      body: { status: '1', message: 'OK-Missing/Invalid API Key, rate limit of 1/5sec applied', result: '1' },
      kind: 'rejected',
    },
    {
      status: 200,
      body: etherscan('Sorry, it looks like you are trying to access an API PRO endpoint.'),
      kind: 'restricted',
    },
    { status: 200, body: { status: '0', message: 'No transactions found', result: [] }, kind: 'success' },
  ),
  ...of(
    'alchemy',
    {
      status: 429,
      body: { error: { code: 429, message: 'Monthly capacity limit exceeded.' } },
      kind: 'quota-exhausted',
      scope: 'bucket',
    },
    {
      status: 200,
      body: { jsonrpc: '2.0', id: 1, error: { code: 429, message: 'compute units per second' } },
      kind: 'rate-limited',
      scope: 'bucket',
    },
  ),
  ...of(
    'infura',
    {
      status: 402,
      body: { error: { code: 402, event: -33000 } },
      kind: 'quota-exhausted',
      scope: 'bucket',
      waitMs: TO_MIDNIGHT_UTC,
    },
    {
      status: 200,
      body: {
        error: {
          code: -32005,
          message: 'daily request count exceeded, request rate limited',
          data: { rate: { backoff_seconds: 30 } },
        },
      },
      kind: 'rate-limited',
      scope: 'bucket',
      waitMs: 30_000,
    },
    {
      status: 429,
      body: { error: { code: -32005, message: 'daily request count exceeded, request rate limited' } },
      kind: 'rate-limited',
      scope: 'bucket',
    },
  ),
  ...of(
    'stripe',
    { status: 402, body: { error: { type: 'card_error', code: 'card_declined' } }, kind: 'bad-request' },
    { status: 429, body: { error: { code: 'lock_timeout' } }, kind: 'overloaded', scope: 'request' },
    { status: 400, body: { error: { code: 'rate_limit' } }, kind: 'rate-limited', scope: 'bucket' },
    { status: 409, body: { error: { type: 'idempotency_error' } }, kind: 'overloaded', scope: 'request' },
  ),
  ...of(
    'sendgrid',
    {
      status: 401,
      body: { errors: [{ message: 'Maximum credits exceeded' }] },
      kind: 'quota-exhausted',
      scope: 'bucket',
    },
    {
      status: 401,
      body: { errors: [{ message: 'The provided authorization grant is invalid, expired, or revoked' }] },
      kind: 'rejected',
    },
  ),
];
