/** Requests that two servers in a row may understand in two ways, or that a browser was made to send. Pure. */
import { isIP } from 'node:net';

export interface RequestFault {
  readonly status: 400 | 403 | 405 | 421 | 431;
  readonly message: string;
  readonly fix: string;
}

/** What a request says of itself, as `node:http` read it. */
export interface StatedRequest {
  readonly method: string;
  readonly httpVersion: string;
  /** Names and values in turn. */
  readonly rawHeaders: readonly string[];
}

/** Headers that say where a message ends or whom it is for: two of them are one too many. */
const SINGLE = new Set([
  'authorization',
  'content-length',
  'content-type',
  'expect',
  'host',
  'origin',
  'transfer-encoding',
  'x-keymux-token',
]);
/** What `Connection` may name; any other name would take an end-to-end header out of the request. */
const CONNECTION_OPTIONS = new Set([
  'close',
  'http2-settings',
  'keep-alive',
  'proxy-connection',
  'te',
  'trailer',
  'trailers',
  'upgrade',
]);
const LENGTH = /^\d{1,15}$/;
const FOLDED = /[\r\n\0]/;

/** Undefined: it may be looked at further. `maxHeaders`: how many there may be. */
export function messageFault(request: StatedRequest, maxHeaders: number): RequestFault | undefined {
  const { method, httpVersion, rawHeaders } = request;
  if (method === 'TRACE' || method === 'CONNECT') {
    return { status: 405, message: `${method} is not answered.`, fix: 'Use any other method.' };
  }
  if (rawHeaders.length > 2 * maxHeaders) {
    return { status: 431, message: `The request has more than ${maxHeaders} headers.`, fix: 'Send fewer.' };
  }
  const stated = new Map<string, string>();
  for (let at = 0; at < rawHeaders.length; at += 2) {
    const name = (rawHeaders[at] as string).toLowerCase();
    const value = rawHeaders[at + 1] as string;
    if (FOLDED.test(value)) return bad('A header goes over several lines.', 'Send each in one line.');
    if (name === 'connection' && !isPlainConnection(value))
      return bad(
        '`Connection` names headers that are not its own.',
        'Name `keep-alive`, `close` or `upgrade`.',
      );
    if (!SINGLE.has(name)) continue;
    if (stated.has(name)) return bad(`The header ${name} comes twice.`, 'Send it once.');
    stated.set(name, value);
  }
  return lengthFault(stated, httpVersion);
}

function isPlainConnection(value: string): boolean {
  if (value === 'keep-alive' || value === 'close') return true;
  return value.split(',').every((option) => CONNECTION_OPTIONS.has(option.trim().toLowerCase()));
}

function lengthFault(stated: ReadonlyMap<string, string>, httpVersion: string): RequestFault | undefined {
  const length = stated.get('content-length');
  const coding = stated.get('transfer-encoding');
  if (length !== undefined && coding !== undefined)
    return bad(
      'The request states its length twice.',
      'Send `Content-Length` or `Transfer-Encoding`, not both.',
    );
  if (length !== undefined && !LENGTH.test(length))
    return bad('`Content-Length` is no number.', 'Send the number of bytes, in digits.');
  if (coding !== undefined && (coding.toLowerCase() !== 'chunked' || httpVersion !== '1.1'))
    return bad('`Transfer-Encoding` is not understood.', 'Send `chunked`, with HTTP/1.1, or nothing.');
  return undefined;
}

function bad(message: string, fix: string): RequestFault {
  return { status: 400, message, fix };
}

/** Names under which this gateway may be asked for. */
export interface OwnNames {
  /** The address that the client connected to, as its socket says. */
  readonly localAddress: string | undefined;
  /** Further names, in lower case; `*.example.com` stands for all below. */
  readonly allowed: ReadonlySet<string>;
}

/** Keeps out pages of other sites, whose names were made to lead here (DNS rebinding). */
export function hostFault(host: string | undefined, names: OwnNames): RequestFault | undefined {
  const name = host === undefined ? undefined : hostNameOf(host);
  if (name === undefined)
    return bad('The request does not say which host it is for.', 'Send one `Host` header.');
  if (isLoopback(name) || name === plainAddress(names.localAddress) || isAllowed(name, names.allowed))
    return undefined;
  return {
    status: 421,
    message: 'The gateway is not known under this name.',
    fix: 'Ask it by its address, or start it with `--allow-host NAME`.',
  };
}

/** Without port; undefined where it is no host. */
function hostNameOf(host: string): string | undefined {
  const [, bracketed, plain] = /^(?:\[([0-9A-Fa-f:.]+)\]|([\w.-]+))(?::\d{1,5})?$/.exec(host) ?? [];
  if (bracketed !== undefined) return isIP(bracketed) === 6 ? bracketed.toLowerCase() : undefined;
  return plain?.toLowerCase().replace(/\.$/, '');
}

function plainAddress(address: string | undefined): string | undefined {
  return address
    ?.toLowerCase()
    .replace(/^::ffff:(?=\d+\.)/, '')
    .replace(/%.*/, '');
}

function isAllowed(name: string, allowed: ReadonlySet<string>): boolean {
  if (allowed.has(name)) return true;
  for (let dot = name.indexOf('.'); dot !== -1; dot = name.indexOf('.', dot + 1))
    if (allowed.has(`*${name.slice(dot)}`)) return true;
  return false;
}

/** Whether only this machine can be meant. */
export function isLoopback(host: string): boolean {
  return host === 'localhost' || host.endsWith('.localhost') || host === '::1' || isLoopbackV4(host);
}

function isLoopbackV4(host: string): boolean {
  return isIP(host) === 4 && host.startsWith('127.');
}

/** What a browser tells of a request below `/-/`. */
export interface BrowserFacts {
  readonly method: string;
  readonly host: string | undefined;
  readonly origin: string | undefined;
  /** `Sec-Fetch-Site`, `Sec-Fetch-Mode`. */
  readonly site: string | undefined;
  readonly mode: string | undefined;
  readonly isSecure: boolean;
}

/** Keeps pages of other sites out; a link to one of ours may be followed from anywhere. */
export function siteFault(facts: BrowserFacts): RequestFault | undefined {
  const { method, host, origin, site, mode, isSecure } = facts;
  const ownOrigin = `${isSecure ? 'https' : 'http'}://${host?.toLowerCase()}`;
  const isForeign = origin !== undefined && origin.toLowerCase() !== ownOrigin;
  const isVisit = mode === 'navigate' && (method === 'GET' || method === 'HEAD');
  const isCrossSite = site !== undefined && site !== 'same-origin' && site !== 'none' && !isVisit;
  if (!isForeign && !isCrossSite) return undefined;
  return {
    status: 403,
    message: 'Another site made the browser send this.',
    fix: 'Use the dashboard of the gateway itself, or a program.',
  };
}
