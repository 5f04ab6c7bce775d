/** What every API has that is compatible with OpenAI's: parts of the entries of the catalogue. */
import type { ErrorRule } from '../core/provider.js';

/**
 * Errors that come as an event, where a 200 has been promised already.
 * openai/openai-node:src/core/streaming.ts throws `error` of any event.
 */
export const STREAM_ERRORS: readonly ErrorRule[] = [
  {
    status: 200,
    sse: '$.error.code',
    match: '^(insufficient_quota|billing_not_active|billing_hard_limit_reached|402)$',
    outcome: 'quota-exhausted',
  },
  { status: 200, sse: '$.error.type', match: '^insufficient_quota$', outcome: 'quota-exhausted' },
  {
    status: 200,
    sse: '$.error.code',
    match: '^(rate_limit_exceeded|rate_limit_reached|429)$',
    outcome: 'rate-limited',
  },
  {
    status: 200,
    sse: '$.error.type',
    match: '^(rate_limit_error|rate_limit_exceeded|requests|tokens)$',
    outcome: 'rate-limited',
  },
  { status: 200, sse: '$.error.code', match: '^(invalid_api_key|401)$', outcome: 'rejected' },
  {
    status: 200,
    sse: '$.error.code',
    match: '^(server_error|internal_error|internal_server_error|service_unavailable|overloaded|408|5\\d\\d)$',
    outcome: 'overloaded',
  },
  {
    status: 200,
    sse: '$.error.type',
    match:
      '^(server_error|api_error|internal_error|internal_server_error|service_unavailable|overloaded_error|timeout_error)$',
    outcome: 'overloaded',
  },
  // Whatever it is, it is no success.
  { status: 200, sse: '$.error.message', match: '.', outcome: 'bad-request' },
];

/**
 * How their event streams end: of chat completions, of responses, of speech and pictures, and of what is compatible
 * with Anthropic's messages.
 */
export const STREAM_END =
  'data: ?\\[DONE\\]|event: ?(response\\.(completed|incomplete|failed)|(speech\\.audio|transcript\\.text)\\.done|image_(generation|edit)\\.completed|message_stop)';

/** Routes that compute an answer and keep nothing; those of responses and files keep what they make. */
export function computingRoutes(pathPrefix: string, ...more: readonly string[]): string[] {
  return ['/chat/completions', '/completions', '/embeddings', ...more].map(
    (route) => `POST ${pathPrefix}${route}`,
  );
}
