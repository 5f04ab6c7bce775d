import { KeymuxError } from '../../core/errors.js';
import { Silence } from '../../core/silence.js';
import { RedisReplyError } from './client.js';

interface Explanation {
  readonly problem: string;
  readonly fix: string;
}

const MEANWHILE = 'Requests go on with what was leased, then with the fair share.';

/** By the first word of the server's refusal. */
const REFUSALS: Readonly<Record<string, Explanation>> = {
  OOM: {
    problem: 'it is out of memory',
    fix: 'Raise its maxmemory or remove what fills it; keep `maxmemory-policy noeviction`.',
  },
  READONLY: {
    problem: 'it is a replica, which takes no writes',
    fix: 'Point the store to the master, or to the sentinels.',
  },
  LOADING: { problem: 'it is still loading its data', fix: 'Wait; it is used as soon as it has started.' },
  BUSY: { problem: 'it is busy with a script of somebody else', fix: 'Run SCRIPT KILL there.' },
  NOAUTH: {
    problem: 'it asks for a login',
    fix: 'Put user and password into the address of the store.',
  },
  WRONGPASS: {
    problem: 'it refuses the user or the password',
    fix: 'Correct user and password in the address of the store.',
  },
  NOPERM: {
    problem: 'the user may not do what the store needs',
    fix: 'Give the user the rights that docs/operations.md lists.',
  },
  CLUSTERDOWN: { problem: 'its cluster is down', fix: 'See that each slot has a master that runs.' },
  TRYAGAIN: { problem: 'its cluster is moving slots', fix: 'Wait until that is done.' },
  MASTERDOWN: { problem: 'it is a replica without its master', fix: 'Wait for the failover, or end it.' },
  NOREPLICAS: {
    problem: 'it has too few replicas to take writes',
    fix: 'Bring the replicas back, or lower min-replicas-to-write.',
  },
  MISCONF: { problem: 'it cannot save its data, and takes no writes', fix: 'See to its disk and its log.' },
  UNBLOCKED: { problem: 'it is failing over', fix: 'Wait for the failover.' },
};

/** What went wrong with a server, in words. */
export function explain(error: unknown): Explanation {
  if (error instanceof RedisReplyError) {
    return (
      REFUSALS[error.code] ?? {
        problem: `it answers "${error.message}"`,
        fix: 'See whether the server is Redis 7 or Valkey, or newer.',
      }
    );
  }
  const text = messageOf(error);
  if (/ECONNREFUSED/.test(text)) {
    return { problem: 'it refuses connections', fix: 'Start the server, or correct host and port.' };
  }
  if (error instanceof Silence || (error instanceof KeymuxError && error.code === 'KEYMUX_TIMEOUT')) {
    return { problem: 'it timed out', fix: 'See whether the server is frozen, overloaded or cut off.' };
  }
  // A login that was refused tells best itself what to do.
  if (error instanceof KeymuxError && error.cause instanceof RedisReplyError) return explain(error.cause);
  return { problem: text, fix: 'See that the server runs, and that this host reaches it.' };
}

/** What every method of the store rejects with where the server cannot be used. */
export function unavailable(address: string, error: unknown): KeymuxError {
  const { problem, fix } = explain(error);
  return new KeymuxError(
    'KEYMUX_STORE_UNAVAILABLE',
    `The Redis store ${address} cannot be used: ${problem}.`,
    {
      fix: `${MEANWHILE} ${fix}`,
      cause: error,
    },
  );
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message.replace(/\.$/, '') : String(error);
}
