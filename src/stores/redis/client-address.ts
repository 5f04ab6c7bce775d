import { KeymuxError } from '../../core/errors.js';

export interface Endpoint {
  readonly host: string;
  readonly port: number;
}

export interface Login {
  readonly username?: string | undefined;
  readonly password?: string | undefined;
}

export interface RedisAddress {
  readonly kind: 'single' | 'sentinel' | 'cluster';
  readonly isTls: boolean;
  /** At least one; of the sentinels, or of some nodes of the cluster. */
  readonly endpoints: readonly [Endpoint, ...Endpoint[]];
  /** The name of the master that the sentinels watch; empty elsewhere. */
  readonly master: string;
  readonly database: number;
  readonly login: Login;
  /** The address without user and password. */
  readonly shown: string;
}

const PARTS =
  /^redis(?<tls>s?)(?:\+(?<kind>sentinel|cluster))?:\/\/(?:(?<user>[^@/?#,:]*)(?::(?<password>[^@/?#,]*))?@)?(?<hosts>[^@/?#]+)(?:\/(?<path>[^?#@]*))?$/;
interface AddressParts {
  readonly tls: string;
  readonly kind?: RedisAddress['kind'];
  readonly user?: string;
  readonly password?: string;
  readonly hosts: string;
  readonly path?: string;
}

const HOST = /^(?:\[(?<v6>[0-9A-Fa-f:.]+)\]|(?<name>[A-Za-z0-9_.-]+))(?::(?<port>\d{1,5}))?$/;
const PATHS = {
  single: /^(?<database>\d{0,5})$/,
  sentinel: /^(?<master>[A-Za-z0-9_.-]+)(?:\/(?<database>\d{0,5}))?$/,
  cluster: /^(?<database>0?)$/,
} as const;
const PORT = 6379;
const SENTINEL_PORT = 26_379;

/**
 * `redis://[user:password@]host[:port][/database]`, `redis+sentinel://…@host:port,host:port/master[/database]`,
 * `redis+cluster://…@host:port,host:port`; each with `rediss` for TLS. User and password are percent-encoded.
 * @throws `KEYMUX_CONFIG_INVALID`, with nothing of the address in it
 */
export function parseAddress(url: string): RedisAddress {
  const parts = (PARTS.exec(url)?.groups ?? refuse('is not one of Redis')) as unknown as AddressParts;
  const { kind = 'single', path = '' } = parts;
  const hosts = parts.hosts.split(',');
  const [first, ...others] = hosts.map((host) => endpointOf(host, kind));
  if (first === undefined || (kind === 'single' && others.length > 0))
    return refuse('names several hosts, but neither +sentinel nor +cluster');
  const place = PATHS[kind].exec(path)?.groups ?? refuse(`has a path that is not one of ${kind} servers`);
  return {
    kind,
    isTls: parts.tls !== '',
    endpoints: [first, ...others],
    master: place['master'] ?? '',
    database: Number(place['database'] ?? 0),
    login: { username: decode(parts.user), password: decode(parts.password) },
    shown: `${url.slice(0, url.indexOf('://'))}://${hosts.join(',')}${path === '' ? '' : `/${path}`}`,
  };
}

function endpointOf(text: string, kind: RedisAddress['kind']): Endpoint {
  const parts = HOST.exec(text)?.groups ?? refuse('has a host that is none');
  const port = Number(parts['port'] ?? (kind === 'sentinel' ? SENTINEL_PORT : PORT));
  if (port < 1 || port > 65_535) refuse('has a port that is none');
  return { host: String(parts['v6'] ?? parts['name']), port };
}

function decode(text: string | undefined): string | undefined {
  if (text === undefined || text === '') return undefined;
  try {
    return decodeURIComponent(text);
  } catch {
    return refuse('has a user or password with a `%` that no code follows');
  }
}

function refuse(fault: string): never {
  throw new KeymuxError('KEYMUX_CONFIG_INVALID', `The address of the Redis store ${fault}.`, {
    fix: 'Write it as redis://user:password@host:6379, redis+sentinel://host:26379,host:26379/master or redis+cluster://host:6379,host:6379 (rediss for TLS), with `@`, `/`, `?`, `#`, `,` and `%` of a password as %40, %2F, %3F, %23, %2C and %25.',
  });
}
