/**
 * A request to one provider, as another one of the same protocol gets it. Pure: texts and bytes go in and come out.
 * No key of the first provider is left in what comes out.
 */
import type { AuthPlacement, Protocol, ProviderDefinition } from '../core/provider.js';

export type Partner = Pick<ProviderDefinition, 'baseUrl' | 'auth' | 'authAlternatives' | 'protocol'>;

export interface Crossed {
  readonly from: Partner;
  readonly to: Partner;
  /** The key of `to`. */
  readonly apiKey: string;
  /** Whether a text is a key of `from`. */
  readonly isOwnKey: (text: string) => boolean;
}

/** Credentials that clients send whatever the provider is, and what the next hop has to say anew. */
const ALWAYS_DROPPED = [
  'authorization',
  'proxy-authorization',
  'cookie',
  'x-api-key',
  'api-key',
  'x-goog-api-key',
];
/** Headers that mean something to one provider only, by protocol. */
const OWN_HEADERS: ReadonlyMap<string, readonly string[]> = new Map([
  // The last two are how OpenRouter is told of the application.
  ['openai', ['openai-organization', 'openai-project', 'http-referer', 'x-title']],
]);

/** Names in lower case. */
export function headersLeftBehind(from: Partner): Set<string> {
  const auths = [from.auth, ...from.authAlternatives];
  const ofAuth = auths.flatMap((auth) => (auth.in === 'header' ? [auth.name.toLowerCase()] : []));
  const { name = '' } = from.protocol ?? {};
  return new Set([...ALWAYS_DROPPED, ...(OWN_HEADERS.get(name) ?? []), ...ofAuth]);
}

/** The header in which the key goes, if it goes into one. Its name in lower case. */
export function keyHeader(auth: AuthPlacement, apiKey: string): Record<string, string> {
  switch (auth.in) {
    case 'header':
      return { [auth.name.toLowerCase()]: auth.scheme === undefined ? apiKey : `${auth.scheme} ${apiKey}` };
    case 'basic': {
      const pair = auth.field === 'username' ? `${apiKey}:` : `:${apiKey}`;
      return { authorization: `Basic ${Buffer.from(pair).toString('base64')}` };
    }
    case 'query':
    case 'path':
      return {};
  }
}

/** The path with another prefix; undefined where it does not have this one. */
export function relocate(path: string, prefix: string, newPrefix: string): string | undefined {
  if (!path.startsWith(prefix)) return undefined;
  const rest = path.slice(prefix.length);
  return rest === '' || rest.startsWith('/') || rest.startsWith('?') ? newPrefix + rest : undefined;
}

/**
 * Path and query for the other provider, its key in them if it goes there: into the path as the first segment after
 * the prefix. Undefined where the path does not begin with the prefix.
 */
export function crossedPath(path: string, { from, to, apiKey, isOwnKey }: Crossed): string | undefined {
  const rest = relocate(path, prefixOf(from.protocol), '');
  if (rest === undefined) return undefined;
  const [pathname = '', ...queries] = rest.split('?');
  const kept = pathname.split('/').filter((segment) => !isKey(segment, isOwnKey));
  // A slash goes with each segment.
  const segments = kept[0] === '' ? kept.slice(1) : kept;
  if (to.auth.in === 'path') segments.unshift(encodeURIComponent(apiKey));
  const parameters = parametersWithout(queries.join('?'), from, isOwnKey);
  if (to.auth.in === 'query')
    parameters.push(`${encodeURIComponent(to.auth.name)}=${encodeURIComponent(apiKey)}`);
  const newPath = `${prefixOf(to.protocol)}${segments.map((segment) => `/${segment}`).join('')}`;
  return `${newPath === '' ? '/' : newPath}${parameters.length === 0 ? '' : `?${parameters.join('&')}`}`;
}

export function prefixOf(protocol: Protocol | undefined): string {
  return protocol?.pathPrefix ?? '';
}

function parametersWithout(query: string, from: Partner, isOwnKey: (text: string) => boolean): string[] {
  const names = new Set(
    [from.auth, ...from.authAlternatives].flatMap((auth) => (auth.in === 'query' ? [auth.name] : [])),
  );
  return query.split('&').filter((parameter) => {
    const [name = '', ...value] = parameter.split('=');
    return parameter !== '' && !names.has(decode(name)) && !isKey(value.join('='), isOwnKey);
  });
}

function isKey(text: string, isOwnKey: (text: string) => boolean): boolean {
  return isOwnKey(text) || isOwnKey(decode(text));
}

function decode(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

/** The model that a JSON body names. `opaque`: there is a body, and no telling what it names. */
export function modelOf(body: Uint8Array | undefined): { readonly name: string } | 'none' | 'opaque' {
  if (body === undefined || body.length === 0) return 'none';
  const content = jsonObjectOf(body);
  if (content === undefined) return 'opaque';
  const { model } = content;
  return typeof model === 'string' ? { name: model } : 'none';
}

/** The body with another model; as it is where it is no JSON object that names one. */
export function withModel(body: Uint8Array, model: string): Uint8Array {
  const content = jsonObjectOf(body);
  if (typeof content?.['model'] !== 'string' || content['model'] === model) return body;
  return new TextEncoder().encode(JSON.stringify({ ...content, model }));
}

function jsonObjectOf(body: Uint8Array): Readonly<Record<string, unknown>> | undefined {
  try {
    const value: unknown = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(body));
    if (typeof value !== 'object' || value === null) return undefined;
    // A batch, as JSON-RPC has it, names no model.
    return Array.isArray(value) ? {} : (value as Readonly<Record<string, unknown>>);
  } catch {
    return undefined;
  }
}
