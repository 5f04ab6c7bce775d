/** Addresses of Redis: what is valid, and what of them people may read. The store's client makes a connection of them. */

const SCHEME = /^rediss?(?:\+(?:sentinel|cluster))?:\/\//;
/** User and password, then hosts, then the path. Nothing is left for a query. */
const PARTS =
  /^(?<scheme>[a-z+]+):\/\/(?:(?<user>[^@/?#,]*)@)?(?<hosts>[^@/?#]*)(?:\/(?<path>[^?#@]*))?(?<rest>[^]*)$/;
const HOST = /^(?:[A-Za-z0-9_.-]+|\[[0-9A-Fa-f:.]+\])(?::(?<port>\d{1,5}))?$/;
const PATHS = {
  single: /^\d{0,5}$/,
  sentinel: /^[A-Za-z0-9_.-]+(?:\/\d{0,5})?$/,
  cluster: /^0?$/,
} as const;

export function looksLikeRedisAddress(text: string): boolean {
  return SCHEME.test(text);
}

/** What is wrong with an address, without any of its text, which may hold a password; undefined if nothing is. */
export function redisAddressFault(text: string): string | undefined {
  if (!SCHEME.test(text)) {
    return 'must begin with redis://, rediss://, redis+sentinel://, rediss+sentinel://, redis+cluster:// or rediss+cluster://';
  }
  const parts = PARTS.exec(text)?.groups;
  if (parts === undefined || /[^!-~]/.test(text)) {
    return 'must hold no blanks and no letters outside ASCII; write them as codes such as %20';
  }
  const { scheme = '', user, hosts = '', path = '', rest = '' } = parts;
  if (rest !== '') {
    return 'must end after the path; write `@`, `/`, `?`, `#`, `,` and `%` in a user or password as %40, %2F, %3F, %23, %2C and %25';
  }
  if (user !== undefined && !isDecodable(user)) return 'holds a `%` that no code follows; write it as %25';
  const kind = kindOf(scheme);
  const list = hosts.split(',');
  if (!list.every(isHost)) return 'must name a host, or host and port, such as `redis://redis.internal:6379`';
  if (kind === 'single' && list.length > 1) {
    return 'names several hosts; that is for redis+sentinel:// and redis+cluster://';
  }
  if (PATHS[kind].test(path)) return undefined;
  if (kind === 'sentinel')
    return 'must name the master after the hosts, such as `redis+sentinel://host:26379/mymaster`';
  return kind === 'cluster'
    ? 'must have no path: a cluster has one database'
    : 'must have the number of a database, or nothing, after the host';
}

/** Scheme, hosts and path: the address without user and password. */
export function redisAddressToShow(text: string): string {
  const { scheme = '', hosts = '', path = '' } = PARTS.exec(text)?.groups ?? {};
  return `${scheme}://${hosts}${path === '' ? '' : `/${path}`}`;
}

export function hasPassword(text: string): boolean {
  return (PARTS.exec(text)?.groups?.['user'] ?? '').includes(':');
}

export function usesTls(text: string): boolean {
  return text.startsWith('rediss');
}

function kindOf(scheme: string): keyof typeof PATHS {
  if (scheme.endsWith('+sentinel')) return 'sentinel';
  return scheme.endsWith('+cluster') ? 'cluster' : 'single';
}

function isHost(text: string): boolean {
  const match = HOST.exec(text);
  if (match === null) return false;
  const port = match.groups?.['port'];
  return port === undefined || (Number(port) >= 1 && Number(port) <= 65_535);
}

function isDecodable(text: string): boolean {
  try {
    return decodeURIComponent(text) !== '\0';
  } catch {
    return false;
  }
}
