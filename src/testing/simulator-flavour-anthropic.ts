/** Anthropic's words, as in platform.claude.com/docs/en/api/errors and recorded answers. */
import { formatEvent } from './event-stream.js';
import type { RefusalKind } from './script.js';
import type { Flavour, FlavourRefusal, FlavourRequest } from './simulator-flavour.js';
import { bearer, genericSuccess, modelOf, retryAfterHeader } from './simulator-flavour.js';

const ANTHROPIC_ERRORS: Readonly<Record<RefusalKind, readonly [number, string, string]>> = {
  'rate-limited': [429, 'rate_limit_error', "This request would exceed your organization's rate limit."],
  // Spent credit really is a 400 here, so that the status alone would blame the request.
  'quota-exhausted': [
    400,
    'invalid_request_error',
    'Your credit balance is too low to access the Anthropic API. Please go to Plans & Billing to upgrade or purchase credits.',
  ],
  rejected: [401, 'authentication_error', 'invalid x-api-key'],
  restricted: [
    403,
    'permission_error',
    'Your API key does not have permission to use the specified resource.',
  ],
  overloaded: [529, 'overloaded_error', 'Overloaded'],
  'bad-request': [400, 'invalid_request_error', 'The request is invalid.'],
};

function anthropicError(kind: RefusalKind, n: number, status?: number): FlavourRefusal {
  const [usual, usualType, usualMessage] = ANTHROPIC_ERRORS[kind];
  const [type, message] =
    status === 402
      ? ['billing_error', 'There is a problem with your billing.']
      : status === 404
        ? ['not_found_error', 'The requested resource was not found.']
        : status !== undefined && status >= 500 && status !== 529
          ? ['api_error', 'Internal server error']
          : [usualType, usualMessage];
  return {
    status: status ?? usual,
    body: { type: 'error', error: { type, message }, request_id: `req_simulated_${n}` },
  };
}

function anthropicMessage(request: FlavourRequest, content: readonly object[], stop: string | null): object {
  return {
    id: `msg_${request.n}`,
    type: 'message',
    role: 'assistant',
    model: modelOf(request, 'claude-simulated'),
    content,
    stop_reason: stop,
    stop_sequence: null,
    usage: { input_tokens: 5, output_tokens: stop === null ? 1 : 3 },
  };
}

export const anthropic: Flavour = {
  auth: [{ in: 'header', name: 'x-api-key' }, bearer],
  success(request) {
    if (request.path === '/v1/models') {
      return {
        data: [{ type: 'model', id: 'claude-simulated', display_name: 'Simulated' }],
        has_more: false,
      };
    }
    if (request.path !== '/v1/messages') return genericSuccess(request);
    return anthropicMessage(request, [{ type: 'text', text: `served by ${request.keyName}` }], 'end_turn');
  },
  events(request) {
    if (request.path !== '/v1/messages') return undefined;
    const named = (data: { type: string } & Record<string, unknown>): string => formatEvent(data, data.type);
    const delta = (text: string): string =>
      named({ type: 'content_block_delta', index: 0, delta: { type: 'text_delta', text } });
    return [
      named({ type: 'message_start', message: anthropicMessage(request, [], null) }),
      named({ type: 'content_block_start', index: 0, content_block: { type: 'text', text: '' } }),
      ...['served ', 'by ', request.keyName].map(delta),
      named({ type: 'content_block_stop', index: 0 }),
      named({
        type: 'message_delta',
        delta: { stop_reason: 'end_turn', stop_sequence: null },
        usage: { output_tokens: 3 },
      }),
      named({ type: 'message_stop' }),
    ];
  },
  refusal: (kind, request, status) => anthropicError(kind, request.n, status),
  errorEvent: (kind, request) => formatEvent(anthropicError(kind, request.n).body, 'error'),
  limitHeaders: ({ requests, remaining, resetMs }) => ({
    'anthropic-ratelimit-requests-limit': String(requests),
    'anthropic-ratelimit-requests-remaining': String(remaining),
    'anthropic-ratelimit-requests-reset': new Date(Date.now() + resetMs).toISOString(),
  }),
  retryHeaders: retryAfterHeader,
};
