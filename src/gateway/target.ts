/** Where a request to the gateway is meant to go. */
import type { KeyManager } from '../manager/key-manager.js';
import type { Pool } from '../manager/pool.js';

/** A request to be sent to a provider with one of our keys. */
export interface ForwardTarget {
  readonly kind: 'forward';
  /** Name of the service or provider, as it stands in the path. */
  readonly name: string;
  readonly pool: Pool;
  /** Path and query behind the name, beginning with `/`, exactly as sent. */
  readonly path: string;
  /** Who asks, for the audit trail; set once that is known. */
  by?: string;
}

/** Something below `/-/`. */
export interface OwnTarget {
  readonly kind: 'own';
  /** Path behind `/-`, beginning with `/`, without query. */
  readonly path: string;
  readonly query: URLSearchParams;
}

export type Target = ForwardTarget | OwnTarget;

/** A path that names nothing. */
export interface UnknownTarget {
  readonly kind: 'unknown';
}

/** A path that another server may understand otherwise than we do. */
export interface OddTarget {
  readonly kind: 'odd';
  /** What is wrong with it, without the path: a key may stand there. */
  readonly why: string;
}

/** Visible ASCII but quotes, angle brackets, `#` and the backslash, which some servers take for a slash. */
const PLAIN_PATH = /^[!$-;=?-[\]^_a-z{|}~]+$/;
/** Clients are less careful there, and nobody finds a way by it. */
const PLAIN_QUERY = /^[!"$-~]*$/;
const BROKEN_ESCAPE = /%(?![0-9A-Fa-f]{2})/;
const ENCODED_CONTROL = /%(?:[01][0-9A-Fa-f]|7[Ff])/;
const NAME_ESCAPE = /%(?:2[EeFf]|5[Cc]|25)/;
const UNKNOWN: UnknownTarget = { kind: 'unknown' };

/** `url` as it stands in the request line. */
export function targetOf(manager: KeyManager, url: string): Target | UnknownTarget | OddTarget {
  const why = oddityOf(url);
  if (why !== undefined) return { kind: 'odd', why };
  const queryAt = url.indexOf('?');
  const path = queryAt === -1 ? url : url.slice(0, queryAt);
  const end = path.indexOf('/', 1);
  const name = path.slice(1, end === -1 ? undefined : end);
  const rest = end === -1 ? '/' : path.slice(end);
  if (name === '-') {
    return { kind: 'own', path: rest, query: new URLSearchParams(queryAt === -1 ? '' : url.slice(queryAt)) };
  }
  const known = name.includes('%') ? decodeURIComponent(name) : name;
  const pool = manager.findPool(known) ?? manager.poolOfProvider(known);
  if (pool === undefined) return UNKNOWN;
  return { kind: 'forward', name, pool, path: queryAt === -1 ? rest : rest + url.slice(queryAt) };
}

function oddityOf(url: string): string | undefined {
  if (!url.startsWith('/')) return 'names another server, or no path';
  const queryAt = url.indexOf('?');
  const path = queryAt === -1 ? url : url.slice(0, queryAt);
  if (!PLAIN_PATH.test(path) || !PLAIN_QUERY.test(url.slice(path.length)))
    return 'holds characters that must be written with percent signs';
  if (path.startsWith('//')) return 'begins with two slashes';
  const [, name = '', first] = path.split('/', 3);
  if (first === '' && path.length > name.length + 2) return 'has two slashes behind its first part';
  if (!path.includes('%') && !path.includes('/.')) return undefined;
  if (BROKEN_ESCAPE.test(path) || ENCODED_CONTROL.test(path))
    return 'holds a percent sign that stands for nothing';
  if (NAME_ESCAPE.test(name) || !isUtf8(name)) return 'hides dots or slashes in its first part';
  return hasDotStep(path) ? 'holds `.` or `..` as a part' : undefined;
}

/** Whoever decodes it once more than others must not find a way up. */
function hasDotStep(path: string): boolean {
  const open = path
    .replaceAll(/%25/g, '%')
    .replaceAll(/%2[Ee]/g, '.')
    .replaceAll(/%2[Ff]|%5[Cc]|\\/g, '/');
  return open.split('/').some((step) => step.replace(/;.*/, '') === '.' || step.replace(/;.*/, '') === '..');
}

function isUtf8(name: string): boolean {
  try {
    decodeURIComponent(name);
    return true;
  } catch {
    return false;
  }
}
