/** Addresses of Redis: what is valid, what they mean, and what of them people may read. */

export interface RedisEndpoint {
  readonly host: string;
  readonly port: number;
}

export interface RedisLogin {
  readonly username?: string | undefined;
  readonly password?: string | undefined;
}

export interface RedisAddress {
  readonly kind: 'single' | 'sentinel' | 'cluster';
  readonly isTls: boolean;
  /** At least one; of the sentinels, or of some nodes of the cluster. */
  readonly endpoints: readonly [RedisEndpoint, ...RedisEndpoint[]];
  /** The name of the master that the sentinels watch; empty elsewhere. */
  readonly master: string;
  readonly database: number;
  readonly login: RedisLogin;
  /** The address without user and password. */
  readonly shown: string;
}

/** What is wrong with an address, without any of its text, which may hold a password. */
export interface RedisAddressFault {
  /** Goes on after "The address" or the like. */
  readonly fault: string;
}

const SCHEME = /^redis(?<tls>s?)(?:\+(?<kind>sentinel|cluster))?:\/\//;
/** User and password, then hosts, then the path. Nothing is left for a query. */
const PARTS =
  /^(?:(?<user>[^@/?#,:]*)(?::(?<password>[^@/?#,]*))?@)?(?<hosts>[^@/?#]*)(?:\/(?<path>[^?#@]*))?(?<rest>[^]*)$/;
const HOST = /^(?:\[(?<v6>[0-9A-Fa-f:.]+)\]|(?<name>[A-Za-z0-9_.-]+))(?::(?<port>\d{1,5}))?$/;
const PATHS = {
  single: /^(?<database>\d{0,5})$/,
  sentinel: /^(?<master>[A-Za-z0-9_.-]+)(?:\/(?<database>\d{0,5}))?$/,
  cluster: /^(?<database>0?)$/,
} as const;
const PATH_FAULTS = {
  single: 'must have the number of a database, or nothing, after the host',
  sentinel: 'must name the master after the hosts, such as `redis+sentinel://host:26379/mymaster`',
  cluster: 'must have no path: a cluster has one database',
} as const;
const PORT = 6379;
const SENTINEL_PORT = 26_379;

export function looksLikeRedisAddress(text: string): boolean {
  return SCHEME.test(text);
}

/**
 * `redis://[user:password@]host[:port][/database]`, `redis+sentinel://…@host:port,host:port/master[/database]`,
 * `redis+cluster://…@host:port,host:port`; each with `rediss` for TLS. User and password are percent-encoded.
 */
export function parseRedisAddress(text: string): RedisAddress | RedisAddressFault {
  const scheme = SCHEME.exec(text);
  if (scheme === null) {
    return {
      fault:
        'must begin with redis://, rediss://, redis+sentinel://, rediss+sentinel://, redis+cluster:// or rediss+cluster://',
    };
  }
  const parts = PARTS.exec(text.slice(scheme[0].length))?.groups;
  if (parts === undefined || /[^!-~]/.test(text)) {
    return { fault: 'must hold no blanks and no letters outside ASCII; write them as codes such as %20' };
  }
  const { user, password, hosts = '', path = '', rest = '' } = parts;
  if (rest !== '') {
    return {
      fault:
        'must end after the path; write `@`, `/`, `?`, `#`, `,` and `%` in a user or password as %40, %2F, %3F, %23, %2C and %25',
    };
  }
  const login = loginOf(user, password);
  if (login === undefined) return { fault: 'holds a `%` that no code follows; write it as %25' };
  const kind = (scheme.groups?.['kind'] ?? 'single') as RedisAddress['kind'];
  const [first, ...others] = hosts.split(',').map((host) => endpointOf(host, kind));
  if (first === undefined || !others.every((endpoint) => endpoint !== undefined)) {
    return { fault: 'must name a host, or host and port, such as `redis://redis.internal:6379`' };
  }
  if (kind === 'single' && others.length > 0) {
    return { fault: 'names several hosts; that is for redis+sentinel:// and redis+cluster://' };
  }
  const place = PATHS[kind].exec(path)?.groups;
  if (place === undefined) return { fault: PATH_FAULTS[kind] };
  return {
    kind,
    isTls: scheme.groups?.['tls'] === 's',
    endpoints: [first, ...others],
    master: place['master'] ?? '',
    database: Number(place['database'] ?? 0),
    login,
    shown: `${scheme[0]}${hosts}${path === '' ? '' : `/${path}`}`,
  };
}

function endpointOf(text: string, kind: RedisAddress['kind']): RedisEndpoint | undefined {
  const parts = HOST.exec(text)?.groups;
  if (parts === undefined) return undefined;
  const port = Number(parts['port'] ?? (kind === 'sentinel' ? SENTINEL_PORT : PORT));
  if (port < 1 || port > 65_535) return undefined;
  return { host: String(parts['v6'] ?? parts['name']), port };
}

function loginOf(user: string | undefined, password: string | undefined): RedisLogin | undefined {
  try {
    return { username: decode(user), password: decode(password) };
  } catch {
    return undefined;
  }
}

function decode(text: string | undefined): string | undefined {
  return text === undefined || text === '' ? undefined : decodeURIComponent(text);
}
