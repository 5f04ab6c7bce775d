/** OpenAI's words, as in developers.openai.com/docs/guides/error-codes and its client's source. */
import { formatEvent } from './event-stream.js';
import type { RefusalKind } from './script.js';
import type { Flavour, FlavourRequest, LimitState } from './simulator-flavour.js';
import { bearer, genericSuccess, modelOf, retryAfterHeader } from './simulator-flavour.js';

interface OpenAiError {
  readonly status: number;
  readonly message: string;
  readonly type: string;
  readonly code: string | null;
}

function openAiError(
  kind: RefusalKind,
  request: FlavourRequest,
  status?: number,
  limit?: LimitState,
): OpenAiError {
  const model = modelOf(request, 'gpt-simulated');
  switch (kind) {
    case 'rate-limited': {
      const used =
        limit === undefined ? '' : `: Limit ${limit.requests}, Used ${limit.requests}, Requested 1`;
      const wait = limit === undefined ? '' : ` Please try again in ${goDuration(limit.resetMs)}.`;
      const message = `Rate limit reached for ${model} on requests per min (RPM)${used}.${wait}`;
      return { status: 429, message, type: 'requests', code: 'rate_limit_exceeded' };
    }
    case 'quota-exhausted': {
      const message = 'You exceeded your current quota, please check your plan and billing details.';
      return { status: 429, message, type: 'insufficient_quota', code: 'insufficient_quota' };
    }
    case 'rejected': {
      const message = `Incorrect API key provided: ${starred(request.keyText)}. You can find your API key at https://platform.openai.com/account/api-keys.`;
      return { status: 401, message, type: 'invalid_request_error', code: 'invalid_api_key' };
    }
    case 'restricted': {
      const message = `Project does not have access to model ${model}`;
      return { status: 403, message, type: 'invalid_request_error', code: 'model_not_found' };
    }
    case 'overloaded': {
      const message = 'The server is currently overloaded with other requests. Please try again later.';
      return { status: 503, message, type: 'server_error', code: null };
    }
    case 'bad-request':
      return status === 404
        ? {
            status,
            message: `The model ${model} does not exist or you do not have access to it.`,
            type: 'invalid_request_error',
            code: 'model_not_found',
          }
        : { status: 400, message: 'Invalid request.', type: 'invalid_request_error', code: null };
  }
}

function starred(keyText: string): string {
  return `${'*'.repeat(8)}${keyText.slice(-4)}`;
}

/** As Go prints a duration: `20ms`, `1.5s`, `6m0s`. */
function goDuration(ms: number): string {
  const whole = Math.max(1, Math.ceil(ms));
  if (whole < 1_000) return `${whole}ms`;
  const minutes = Math.floor(whole / 60_000);
  const seconds = (whole - minutes * 60_000) / 1_000;
  return minutes === 0 ? `${seconds}s` : `${minutes}m${seconds}s`;
}

export const openai: Flavour = {
  auth: [bearer],
  success(request) {
    const model = modelOf(request, 'gpt-simulated');
    if (request.path === '/v1/models') {
      return {
        object: 'list',
        data: [{ id: model, object: 'model', created: 1_700_000_000, owned_by: 'simulator' }],
      };
    }
    if (request.path !== '/v1/chat/completions') return genericSuccess(request);
    const message = { role: 'assistant', content: `served by ${request.keyName}`, refusal: null };
    return {
      id: `chatcmpl-${request.n}`,
      object: 'chat.completion',
      created: 1_700_000_000,
      model,
      choices: [{ index: 0, message, logprobs: null, finish_reason: 'stop' }],
      usage: { prompt_tokens: 5, completion_tokens: 3, total_tokens: 8 },
    };
  },
  events(request) {
    if (request.path !== '/v1/chat/completions') return undefined;
    const chunk = (delta: object, finish: string | null): string =>
      formatEvent({
        id: `chatcmpl-${request.n}`,
        object: 'chat.completion.chunk',
        created: 1_700_000_000,
        model: modelOf(request, 'gpt-simulated'),
        choices: [{ index: 0, delta, finish_reason: finish }],
      });
    return [
      chunk({ role: 'assistant', content: '' }, null),
      ...['served ', 'by ', request.keyName].map((content) => chunk({ content }, null)),
      chunk({}, 'stop'),
      formatEvent('[DONE]'),
    ];
  },
  refusal(kind, request, status, limit) {
    const { message, type, code, status: usual } = openAiError(kind, request, status, limit);
    return { status: status ?? usual, body: { error: { message, type, param: null, code } } };
  },
  errorEvent(kind, request) {
    const { message, type, code } = openAiError(kind, request);
    return formatEvent({ error: { message, type, param: null, code } });
  },
  limitHeaders: ({ requests, remaining, resetMs }) => ({
    'x-ratelimit-limit-requests': String(requests),
    'x-ratelimit-remaining-requests': String(remaining),
    'x-ratelimit-reset-requests': goDuration(resetMs),
  }),
  retryHeaders: (waitMs) => ({ 'retry-after-ms': String(Math.ceil(waitMs)), ...retryAfterHeader(waitMs) }),
};
