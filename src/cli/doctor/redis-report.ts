/** What a Redis says of itself, judged. Decides only; `redis-checks.ts` asks. */
import { failed, passed, warned } from './check.js';
import type { Check } from './check.js';

/** What was seen of one Redis. */
export interface RedisSeen {
  /** The text of INFO; undefined where the user may not ask for it. */
  readonly info: string | undefined;
  /** Round trips of a script. Milliseconds. */
  readonly latenciesMs: readonly number[];
  /** The clock of Redis minus that of this machine. Milliseconds. */
  readonly clockOffsetMs: number;
  /** Commands that the user may not run and that keymux needs. */
  readonly denied: readonly string[];
}

const OLDEST_REDIS = 7;
const MEBIBYTE = 1_048_576;
/** A request waits 40 ms for the store; half of that leaves room for a bad moment. */
const SLOW_MS = 20;
/** HTTP dates and resets of the day are told by this clock. */
const LARGEST_OFFSET_MS = 60_000;
/** Above this share of its connections the next hosts may be refused. */
const CROWDED = 0.8;

export function redisChecksOf(seen: RedisSeen): Check[] {
  const checks = [rightsCheck(seen), latencyCheck(seen), clockCheck(seen)];
  if (seen.info === undefined) {
    checks.push(
      warned(
        'redis-info',
        'The user may not run INFO: version, persistence and memory were not looked at.',
        'Grant `+info`, or look at them yourself: docs/operations.md tells what is needed.',
      ),
    );
    return checks;
  }
  const fields = fieldsOf(seen.info);
  return [
    ...checks,
    versionCheck(fields),
    roleCheck(fields),
    persistenceCheck(fields),
    memoryCheck(fields),
    connectionsCheck(fields),
  ];
}

type Fields = ReadonlyMap<string, string>;

function fieldsOf(info: string): Fields {
  return new Map(
    [...info.matchAll(/^([a-z0-9_]+):(.*?)\r?$/gm)].map(([, name = '', value = '']) => [name, value]),
  );
}

function rightsCheck({ denied }: RedisSeen): Check {
  if (denied.length === 0) return passed('redis-rights', 'the user may run every command that is needed');
  return failed(
    'redis-rights',
    `The user may not run ${denied.join(', ')} on names of this prefix.`,
    'Grant the rights that docs/operations.md names; `ACL LOG` tells what was refused.',
  );
}

function latencyCheck({ latenciesMs }: RedisSeen): Check {
  const sorted = latenciesMs.toSorted((a, b) => a - b);
  const medianMs = sorted[Math.floor(sorted.length / 2)] ?? 0;
  const text = `${medianMs.toFixed(1)} ms for a round trip`;
  if (medianMs <= SLOW_MS) return passed('redis-latency', text);
  return warned(
    'redis-latency',
    `${text}: near the 40 ms after which the store counts as lost.`,
    'Run Redis near the hosts that use it, and look for slow commands (`SLOWLOG GET`) and busy neighbours.',
  );
}

function clockCheck({ clockOffsetMs }: RedisSeen): Check {
  const text = `its clock and this machine's are ${Math.round(Math.abs(clockOffsetMs))} ms apart`;
  if (Math.abs(clockOffsetMs) <= LARGEST_OFFSET_MS) return passed('redis-clock', text);
  return warned(
    'redis-clock',
    `${text}. Limits are not harmed; deadlines that a provider states as a date may be.`,
    'Let both follow a time server (chrony, systemd-timesyncd).',
  );
}

function versionCheck(fields: Fields): Check {
  const valkey = fields.get('valkey_version');
  const version = valkey ?? fields.get('redis_version') ?? 'unknown';
  const name = valkey === undefined ? 'Redis' : 'Valkey';
  if (Number.parseInt(version, 10) >= OLDEST_REDIS) return passed('redis-version', `${name} ${version}`);
  return failed('redis-version', `${name} ${version} is too old.`, 'Use Redis 7 or Valkey 7.2, or later.');
}

function roleCheck(fields: Fields): Check {
  if (fields.get('role') !== 'slave') return passed('redis-role', 'it takes writes');
  return failed(
    'redis-role',
    'It is a replica, which takes no writes.',
    'Name the master, or its sentinels: redis+sentinel://host:26379/name.',
  );
}

function persistenceCheck(fields: Fields): Check {
  if (fields.get('aof_enabled') === '1') return passed('redis-persistence', 'the append-only file is on');
  return warned(
    'redis-persistence',
    'The append-only file is off: a restart loses the counters, and requests are held back until all is told anew.',
    'Set `appendonly yes` and `appendfsync everysec` in redis.conf (`CONFIG SET appendonly yes` for now).',
  );
}

function memoryCheck(fields: Fields): Check {
  const policy = fields.get('maxmemory_policy') ?? '';
  const most = Number(fields.get('maxmemory') ?? 0);
  const used = Number(fields.get('used_memory') ?? 0);
  const megabytes = (bytes: number): string => `${Math.ceil(bytes / MEBIBYTE)} MiB`;
  if (most === 0) return passed('redis-memory', `${megabytes(used)} used, no limit`);
  const text = `${megabytes(used)} of ${megabytes(most)} used`;
  if (policy !== 'noeviction') {
    return failed(
      'redis-memory',
      `maxmemory-policy is ${policy}: where memory is short, counters are thrown away and limits are exceeded.`,
      'Set `maxmemory-policy noeviction`, or give keymux a Redis of its own.',
    );
  }
  if (used <= most * CROWDED) return passed('redis-memory', `${text}, nothing is evicted`);
  return warned('redis-memory', `${text}; when it is full, nothing can be leased.`, 'Raise `maxmemory`.');
}

function connectionsCheck(fields: Fields): Check {
  const open = Number(fields.get('connected_clients') ?? 0);
  const most = Number(fields.get('maxclients') ?? Number.POSITIVE_INFINITY);
  const text = `${open} of ${most} connections are in use`;
  if (open <= most * CROWDED) return passed('redis-connections', text);
  return warned(
    'redis-connections',
    `${text}; each process needs two.`,
    'Raise `maxclients`, and the limit of open files of the server.',
  );
}
