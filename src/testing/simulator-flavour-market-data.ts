/** The words of Alpha Vantage and Finnhub, as quoted in their clients and in finnhub.io/docs/api/rate-limit. */
import { formatEvent } from './event-stream.js';
import type { RefusalKind } from './script.js';
import type { Flavour, FlavourRequest, LimitState } from './simulator-flavour.js';
import { genericSuccess } from './simulator-flavour.js';

const PREMIUM = 'You may subscribe to any of the premium plans at https://www.alphavantage.co/premium/';

function alphaVantageBody(kind: RefusalKind, request: FlavourRequest, limit?: LimitState): object {
  switch (kind) {
    case 'rate-limited':
      return limit !== undefined && limit.perMs >= 60_000
        ? {
            Note: `Thank you for using Alpha Vantage! Our standard API call frequency is ${limit.requests} calls per minute and 500 calls per day.`,
          }
        : {
            Information: `Thank you for using Alpha Vantage! Please consider spreading out your free API requests more sparingly (1 request per second). ${PREMIUM} to lift the free key rate limit (25 requests per day), raise the per-second burst limit, and instantly unlock all premium endpoints`,
          };
    case 'quota-exhausted':
      return {
        Information: `We have detected your API key as ${request.keyText} and our standard API rate limit is 25 requests per day. ${PREMIUM} to instantly remove all daily rate limits.`,
      };
    case 'rejected':
      return {
        'Error Message':
          'the parameter apikey is invalid or missing. Please claim your free API key on (https://www.alphavantage.co/support/#api-key). It should take less than 20 seconds.',
      };
    case 'restricted':
      return { Information: `Thank you for using Alpha Vantage! This is a premium endpoint. ${PREMIUM}` };
    case 'overloaded':
      return { message: 'Service Unavailable' };
    case 'bad-request':
      return {
        'Error Message': `Invalid API call. Please retry or visit the documentation (https://www.alphavantage.co/documentation/) for ${request.query.get('function') ?? 'this function'}.`,
      };
  }
}

export const alphaVantage: Flavour = {
  auth: [{ in: 'query', name: 'apikey' }],
  success(request) {
    if (request.query.get('function') !== 'GLOBAL_QUOTE') return genericSuccess(request);
    const symbol = request.query.get('symbol') ?? 'IBM';
    return { 'Global Quote': { '01. symbol': symbol, '05. price': '100.0000', '06. volume': '1000' } };
  },
  refusal: (kind, request, status, limit) => ({
    status: status ?? (kind === 'overloaded' ? 503 : 200),
    body: alphaVantageBody(kind, request, limit),
  }),
  errorEvent: (kind, request) => formatEvent(alphaVantageBody(kind, request)),
  limitHeaders: () => ({}),
};

const FINNHUB_ERRORS: Readonly<Record<RefusalKind, readonly [number, string]>> = {
  'rate-limited': [429, 'API limit reached. Please try again later. Remaining Limit: 0'],
  'quota-exhausted': [429, 'API limit reached. Please try again later. Remaining Limit: 0'],
  rejected: [401, 'Invalid API key'],
  restricted: [403, "You don't have access to this resource."],
  overloaded: [503, 'Service Unavailable'],
  'bad-request': [422, 'Wrong parameters.'],
};

export const finnhub: Flavour = {
  auth: [
    { in: 'header', name: 'x-finnhub-token' },
    { in: 'query', name: 'token' },
  ],
  success: (request) =>
    request.path.endsWith('/quote')
      ? { c: 100, d: 1, dp: 1, h: 101, l: 98, o: 99, pc: 99, t: 1_700_000_000 }
      : genericSuccess(request),
  refusal(kind, _request, status) {
    const [usual, error] = FINNHUB_ERRORS[kind];
    return { status: status ?? usual, body: { error } };
  },
  errorEvent: (kind) => formatEvent({ error: FINNHUB_ERRORS[kind][1] }),
  limitHeaders: ({ requests, remaining, resetMs }) => ({
    'x-ratelimit-limit': String(requests),
    'x-ratelimit-remaining': String(remaining),
    'x-ratelimit-reset': String(Math.ceil((Date.now() + resetMs) / 1_000)),
  }),
};
