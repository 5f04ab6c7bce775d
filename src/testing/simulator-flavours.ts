import { formatEvent } from './event-stream.js';
import type { RefusalKind } from './script.js';
import { anthropic } from './simulator-flavour-anthropic.js';
import { alphaVantage, finnhub } from './simulator-flavour-market-data.js';
import { openai } from './simulator-flavour-openai.js';
import type { Flavour } from './simulator-flavour.js';
import { bearer, genericSuccess, retryAfterHeader } from './simulator-flavour.js';

/** The flavours that the kit brings. */
export type FlavourName = 'generic' | 'openai' | 'anthropic' | 'alpha_vantage' | 'finnhub';

const GENERIC_STATUS: Readonly<Record<RefusalKind, number>> = {
  'rate-limited': 429,
  'quota-exhausted': 402,
  rejected: 401,
  restricted: 403,
  overloaded: 503,
  'bad-request': 400,
};

const generic: Flavour = {
  auth: [bearer],
  success: genericSuccess,
  refusal: (kind, request, status) => ({
    status: status ?? GENERIC_STATUS[kind],
    body: { error: { kind, message: `The request was refused: ${kind}`, key: request.keyName } },
  }),
  errorEvent: (kind) =>
    formatEvent({ error: { kind, message: `The request was refused: ${kind}` } }, 'error'),
  limitHeaders: ({ requests, remaining, resetMs }) => ({
    'x-ratelimit-limit': String(requests),
    'x-ratelimit-remaining': String(remaining),
    'x-ratelimit-reset': String(Math.ceil(resetMs / 1_000)),
  }),
  retryHeaders: retryAfterHeader,
};

/** The voices that come with the simulator. */
export const FLAVOURS: Readonly<Record<FlavourName, Flavour>> = {
  generic,
  openai,
  anthropic,
  alpha_vantage: alphaVantage,
  finnhub,
};
