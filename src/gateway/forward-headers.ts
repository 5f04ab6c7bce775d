/** What of a request goes on to a provider, and what of its answer comes back. Pure. */
import type { IncomingHttpHeaders } from 'node:http';
import type { AuthPlacement, ProviderDefinition } from '../core/provider.js';
import { replaceKey } from '../core/written-key.js';

/** Names and values in turn, as `node:http` and undici take them. */
export type RawHeaders = string[];

/** RFC 9110, 7.6.1, and what is told of each connection anew. */
const HOP_BY_HOP = [
  'connection',
  'http2-settings',
  'keep-alive',
  'proxy-authenticate',
  'proxy-authorization',
  'proxy-connection',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
];
/** Where clients send a key, whatever the provider is. */
const TOKEN_HEADERS = ['authorization', 'x-api-key', 'api-key', 'x-goog-api-key'];
const OWN_PREFIX = 'x-keymux-';

const NOT_ANSWERED: ReadonlySet<string> = new Set([
  ...HOP_BY_HOP,
  // Speak of the provider's origin, which is not the one that the client asked.
  'alt-svc',
  'strict-transport-security',
]);

/** Where the token of a caller may stand; it goes to no provider. */
export interface TokenPlaces {
  /** Names in lower case, with all else that does not go on. */
  readonly headers: ReadonlySet<string>;
  /** Names of query parameters. */
  readonly parameters: ReadonlySet<string>;
}

/** For requests that any of these providers may get. */
export function tokenPlacesOf(providers: Iterable<ProviderDefinition>): TokenPlaces {
  const headers = new Set([...HOP_BY_HOP, ...TOKEN_HEADERS, 'host', 'expect']);
  const parameters = new Set<string>();
  for (const { auth, authAlternatives } of providers) {
    for (const placement of [auth, ...authAlternatives]) {
      if (placement.in === 'header') headers.add(placement.name.toLowerCase());
      if (placement.in === 'query') parameters.add(placement.name);
    }
  }
  return { headers, parameters };
}

/** The headers that go on, without any key. `raw` as `IncomingMessage.rawHeaders`. */
export function requestHeaders(raw: readonly string[], dropped: ReadonlySet<string>): RawHeaders {
  const nominated = nominatedIn(raw);
  const kept: RawHeaders = [];
  for (let at = 0; at < raw.length; at += 2) {
    const name = raw[at] as string;
    const lowerName = name.toLowerCase();
    if (dropped.has(lowerName) || lowerName.startsWith(OWN_PREFIX)) continue;
    if (nominated?.has(lowerName) === true) continue;
    kept.push(name, raw[at + 1] as string);
  }
  return kept;
}

function nominatedIn(raw: readonly string[]): ReadonlySet<string> | undefined {
  let nominated: Set<string> | undefined;
  for (let at = 0; at < raw.length; at += 2) {
    const name = raw[at] as string;
    if (name.length !== 'connection'.length || name.toLowerCase() !== 'connection') continue;
    nominated = nominate(raw[at + 1] as string, nominated);
  }
  return nominated;
}

/** Adds the names in a `Connection` header, which nearly always tells nothing but whether to keep it. */
function nominate(value: string, nominated: Set<string> | undefined): Set<string> | undefined {
  if (value === 'keep-alive' || value === 'close') return nominated;
  const names = nominated ?? new Set<string>();
  for (const name of value.split(',')) names.add(name.trim().toLowerCase());
  return names;
}

/** The path and query without the parameters in which a token may stand. */
export function withoutParameters(path: string, names: ReadonlySet<string>): string {
  const queryAt = path.indexOf('?');
  if (queryAt === -1 || names.size === 0) return path;
  const all = path.slice(queryAt + 1).split('&');
  const kept = all.filter((parameter) => !names.has(decoded(parameter.split('=', 1)[0] as string)));
  if (kept.length === all.length) return path;
  return kept.length === 0 ? path.slice(0, queryAt) : `${path.slice(0, queryAt)}?${kept.join('&')}`;
}

/** The path and query with the key, where that is where it goes. `{key}` in the path stands for it. */
export function pathWithKey(path: string, auth: AuthPlacement, apiKey: string): string {
  if (auth.in === 'path') return path.replace(/\{key\}|%7Bkey%7D/i, () => encodeURIComponent(apiKey));
  if (auth.in !== 'query') return path;
  const separator = path.includes('?') ? '&' : '?';
  return `${path}${separator}${encodeURIComponent(auth.name)}=${encodeURIComponent(apiKey)}`;
}

function decoded(text: string): string {
  if (!text.includes('%') && !text.includes('+')) return text;
  try {
    return decodeURIComponent(text.replaceAll('+', ' '));
  } catch {
    return text;
  }
}

/** What the caller is told with every answer. */
export interface Imprint {
  readonly requestId: string;
  /** `provider/key`, where a provider was asked. */
  readonly keyId?: string;
  readonly provider?: string;
}

export function imprintHeaders({ requestId, keyId, provider }: Imprint): RawHeaders {
  const headers: RawHeaders = ['x-request-id', requestId];
  if (keyId !== undefined) headers.push('x-keymux-key', keyId);
  if (provider !== undefined) headers.push('x-keymux-provider', provider);
  return headers;
}

/**
 * The headers of a provider's answer as the caller gets them. `key` is taken out of each; the provider's own
 * `x-request-id` has another name.
 */
export function answerHeaders(
  answered: IncomingHttpHeaders,
  extra: Readonly<Record<string, string>>,
  key: string,
  imprint: Imprint,
): RawHeaders {
  const { connection } = answered;
  const nominated = connection === undefined ? undefined : nominate(connection.toLowerCase(), undefined);
  const headers = imprintHeaders(imprint);
  for (const name in answered) {
    if (NOT_ANSWERED.has(name) || Object.hasOwn(extra, name) || name.startsWith(OWN_PREFIX)) continue;
    if (nominated?.has(name) === true) continue;
    const as = name === 'x-request-id' ? 'x-keymux-upstream-request-id' : name;
    const value = answered[name];
    if (typeof value === 'string') headers.push(as, withoutKey(value, key));
    else for (const one of value ?? []) headers.push(as, withoutKey(one, key));
  }
  for (const name of Object.keys(extra))
    if (!name.startsWith(OWN_PREFIX)) headers.push(name, extra[name] as string);
  return headers;
}

/** What others may see of a text in which a key may stand. */
export function withoutKey(text: string, key: string): string {
  return replaceKey(text, key, '{key}');
}

/** A subprotocol that carries a key, as in `openai-insecure-api-key.sk-…`. */
const TOKEN_PROTOCOL = 'api-key.';

/** The headers of a WebSocket's handshake without subprotocols that only carry the caller's token. */
export function withoutTokenProtocol(headers: RawHeaders): RawHeaders {
  const kept: RawHeaders = [];
  for (let at = 0; at < headers.length; at += 2) {
    const [name, value] = [headers[at] as string, headers[at + 1] as string];
    if (name.toLowerCase() !== 'sec-websocket-protocol' || !value.includes(TOKEN_PROTOCOL)) {
      kept.push(name, value);
      continue;
    }
    const protocols = value.split(',').map((protocol) => protocol.trim());
    const open = protocols.filter((protocol) => !protocol.includes(TOKEN_PROTOCOL));
    if (open.length > 0) kept.push(name, open.join(', '));
  }
  return kept;
}
