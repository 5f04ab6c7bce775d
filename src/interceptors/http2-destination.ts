/** Where the streams of an HTTP/2 session go: what it connects to, whatever a request says. */
import type { ConnectionFacts } from './connection-trust.js';

export interface Destination {
  /** As `new URL(…).origin` writes it; undefined where the arguments do not tell. */
  readonly origin: string | undefined;
  /** The origin of a request that names none: `servername` takes the place of the host there. */
  readonly namedOrigin: string | undefined;
  readonly facts: ConnectionFacts;
}

type Fields = Readonly<Record<string, unknown>>;

/** From the arguments of `http2.connect`, which lets its options win over its first argument. */
export function destinationOf([authority, options]: readonly unknown[]): Destination {
  const url = (typeof authority === 'string' ? new URL(authority) : authority) as Fields;
  const own = (typeof options === 'object' && options !== null ? options : {}) as Fields;
  const protocol = url['protocol'] || own['protocol'] || 'https:';
  const port = url['port'] !== '' ? url['port'] : url['protocol'] === 'http:' ? 80 : 443;
  const host = url['hostname'] || url['host'] || 'localhost';
  const facts: ConnectionFacts = {
    hasSocketPath: Boolean(own['path'] ?? own['socketPath']),
    hasOwnConnector: typeof own['createConnection'] === 'function' || Boolean(own['socket']),
    hasLookup: own['lookup'] !== undefined,
    rejectUnauthorized: own['rejectUnauthorized'],
    hasIdentityCheck: own['checkServerIdentity'] !== undefined,
    servername: own['servername'],
  };
  const isElsewhere = facts.hasSocketPath === true;
  return {
    origin: isElsewhere ? undefined : originOf(protocol, own['host'] ?? host, own['port'] ?? port),
    namedOrigin: originOf(protocol, own['servername'] || host, port),
    facts,
  };
}

/** The origin that `:authority` or `host` names; `undefined` for what is none. */
export function namedOrigin(authority: string, protocol: string): string | undefined {
  const text = `${protocol}//${authority}`;
  return URL.canParse(text) ? new URL(text).origin : undefined;
}

function originOf(protocol: unknown, host: unknown, port: unknown): string | undefined {
  if (typeof protocol !== 'string' || typeof host !== 'string') return undefined;
  const name = host.includes(':') && !host.startsWith('[') ? `[${host}]` : host;
  return namedOrigin(`${name}:${String(port)}`, protocol);
}
