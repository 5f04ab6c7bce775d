import { KeymuxError } from '../core/errors.js';
import type { Pool, Shut } from './pool.js';

/** What the application gets when every key is out, in the form in which a provider would say it. */
export interface Refusal {
  /** 429 where waiting helps, 503 where the provider is in trouble, 401 where no key is accepted. */
  readonly status: 401 | 429 | 503;
  readonly statusText: string;
  readonly headers: Readonly<Record<string, string>>;
  /** JSON. */
  readonly body: string;
  readonly retryAt?: number;
  readonly error: KeymuxError;
}

const STATUS_TEXT = { 401: 'Unauthorized', 429: 'Too Many Requests', 503: 'Service Unavailable' } as const;

export function isRefusal(value: object): value is Refusal {
  return 'statusText' in value && 'error' in value;
}

export function refusalFor(pool: Pool, shut: Shut, now: number): Refusal {
  const error = exhaustedError(pool, shut, now);
  const status = statusFor(pool, now);
  const retryAt = status === 401 ? undefined : shut.retryAt;
  const body = JSON.stringify({
    error: { message: `${error.message} ${error.fix}`, type: 'keymux', code: error.code, param: null },
  });
  return {
    status,
    statusText: STATUS_TEXT[status],
    headers: {
      // Client libraries that retry by themselves would only multiply the attempts already made here.
      'x-should-retry': 'false',
      ...(retryAt === undefined
        ? {}
        : { 'retry-after': String(Math.max(1, Math.ceil((retryAt - now) / 1000))) }),
    },
    body,
    ...(retryAt === undefined ? {} : { retryAt }),
    error,
  };
}

function statusFor(pool: Pool, now: number): Refusal['status'] {
  const obstacles = pool.obstacles(now).map(({ obstacle }) => obstacle);
  const waitHelps = obstacles.some(
    (obstacle) =>
      obstacle === undefined ||
      obstacle.kind === 'no-permits' ||
      obstacle.kind === 'slow-start' ||
      obstacle.kind === 'bucket-resting' ||
      (obstacle.kind === 'key-resting' && !obstacle.because.startsWith('rejected')),
  );
  if (waitHelps) return 429;
  return obstacles.some((obstacle) => obstacle?.kind.startsWith('provider') === true) ? 503 : 401;
}

/** Says which keys are out and why; the same words for the library and for the wire. */
export function exhaustedError(pool: Pool, shut: Shut, now: number): KeymuxError {
  const reasons = pool
    .obstacles(now)
    .map(({ contender, obstacle }) => `${contender.member.keyId}: ${obstacle?.because ?? 'already tried'}`);
  const what =
    reasons.length === 0
      ? `The service "${pool.service}" has no key.`
      : `Every key of "${pool.service}" is out (${reasons.join('; ')}).`;
  const { retryAt } = shut;
  return new KeymuxError('KEYMUX_NO_USABLE_KEY', what, {
    fix:
      retryAt === undefined
        ? 'Add a working key, or enable one: `keymux keys list` shows them all.'
        : `The next one returns in ${Math.max(1, Math.ceil((retryAt - now) / 1000))} s; add a key if that is too late.`,
    ...(retryAt === undefined ? {} : { retryAt }),
  });
}
