import { KeymuxError } from '../core/errors.js';
import type { Lease } from './lease.js';
import type { Pool, Shut } from './pool.js';

/** What the application gets when every key is out, in the form in which a provider would say it. */
export interface Refusal {
  /**
   * 429 where waiting helps, 503 where the provider is in trouble, 401 where no key is accepted, 502 where an answer
   * came, but not the whole of it.
   */
  readonly status: 401 | 429 | 502 | 503;
  readonly statusText: string;
  readonly headers: Readonly<Record<string, string>>;
  /** JSON. */
  readonly body: string;
  readonly retryAt?: number;
  readonly error: KeymuxError;
}

const STATUS_TEXT = {
  401: 'Unauthorized',
  429: 'Too Many Requests',
  502: 'Bad Gateway',
  503: 'Service Unavailable',
} as const;
/** Client libraries that retry by themselves would only multiply the attempts already made here. */
const NO_RETRY = { 'x-should-retry': 'false' };

export function isRefusal(value: object): value is Refusal {
  return 'statusText' in value && 'error' in value;
}

/** `unfit`: ids of providers that could not have answered anyway. */
export function refusalFor(
  pool: Pool,
  shut: Shut,
  now: number,
  unfit: ReadonlySet<string> = NOBODY,
): Refusal {
  const error = exhaustedError(pool, shut, now, unfit);
  const status = statusFor(pool, now, unfit);
  const retryAt = status === 401 ? undefined : shut.retryAt;
  return {
    status,
    statusText: STATUS_TEXT[status],
    headers: {
      ...NO_RETRY,
      ...(retryAt === undefined
        ? {}
        : { 'retry-after': String(Math.max(1, Math.ceil((retryAt - now) / 1000))) }),
    },
    body: bodyFor(error),
    ...(retryAt === undefined ? {} : { retryAt }),
    error,
  };
}

/** In place of an answer that was collected and is not whole. `evidence` says what is wrong with it. */
export function cutRefusal({ keyId, member }: Lease, evidence: string): Refusal {
  const { id } = member.provider;
  const error = new KeymuxError(
    'KEYMUX_ANSWER_INCOMPLETE',
    `An answer of ${id} was cut off: ${evidence} (key ${keyId}). The request may have been carried out.`,
    {
      fix: `Send it again if that does no harm; \`providers.${id}.retry.repeatable\` lets keymux do so.`,
    },
  );
  return { status: 502, statusText: STATUS_TEXT[502], headers: NO_RETRY, body: bodyFor(error), error };
}

/** While no key may be taken, since nobody could tell of it later. */
export function unauditedRefusal(error: KeymuxError): Refusal {
  return { status: 503, statusText: STATUS_TEXT[503], headers: NO_RETRY, body: bodyFor(error), error };
}

function bodyFor(error: KeymuxError): string {
  return JSON.stringify({
    error: { message: `${error.message} ${error.fix}`, type: 'keymux', code: error.code, param: null },
  });
}

const NOBODY: ReadonlySet<string> = new Set();

function fitObstacles(pool: Pool, now: number, unfit: ReadonlySet<string>): ReturnType<Pool['obstacles']> {
  return pool.obstacles(now).filter(({ contender }) => !unfit.has(contender.member.provider.id));
}

function statusFor(pool: Pool, now: number, unfit: ReadonlySet<string>): Refusal['status'] {
  const obstacles = fitObstacles(pool, now, unfit).map(({ obstacle }) => obstacle);
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
export function exhaustedError(
  pool: Pool,
  shut: Shut,
  now: number,
  unfit: ReadonlySet<string> = NOBODY,
): KeymuxError {
  const reasons = fitObstacles(pool, now, unfit).map(
    ({ contender, obstacle }) => `${contender.member.keyId}: ${obstacle?.because ?? 'already tried'}`,
  );
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
