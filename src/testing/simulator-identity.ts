/** Whose request is it: finds the key where the provider expects it, and hides keys in what is recorded. */
import type { IncomingHttpHeaders } from 'node:http';
import type { AuthPlacement } from '../core/provider.js';

/** The name of each key by its text; the longest text first, as a key may be part of a longer one. */
export type KeyNames = ReadonlyMap<string, string>;

/** The key that a request presents in the first of these places that holds one; `undefined` if none does. */
export function presentedKey(
  headers: IncomingHttpHeaders,
  url: URL,
  placements: readonly AuthPlacement[],
  names: KeyNames,
): string | undefined {
  for (const placement of placements) {
    const text = keyAt(headers, url, placement, names);
    if (text !== undefined && text !== '') return text;
  }
  return undefined;
}

function keyAt(
  headers: IncomingHttpHeaders,
  url: URL,
  placement: AuthPlacement,
  names: KeyNames,
): string | undefined {
  switch (placement.in) {
    case 'query':
      return url.searchParams.get(placement.name) ?? undefined;
    case 'path':
      return keyInPath(url.pathname, names);
    case 'basic': {
      const pair = decodedBasic(headers.authorization);
      const colon = pair?.indexOf(':') ?? -1;
      if (pair === undefined || colon < 0) return pair;
      return placement.field === 'username' ? pair.slice(0, colon) : pair.slice(colon + 1);
    }
    case 'header': {
      const value = headers[placement.name.toLowerCase()];
      const text = Array.isArray(value) ? value[0] : value;
      if (text === undefined || placement.scheme === undefined) return text;
      const prefix = `${placement.scheme} `;
      return text.toLowerCase().startsWith(prefix.toLowerCase())
        ? text.slice(prefix.length).trim()
        : undefined;
    }
  }
}

/** Paths such as `/v3/<key>` and `/bot<key>/send`. */
function keyInPath(pathname: string, names: KeyNames): string | undefined {
  const path = decoded(pathname);
  return [...names.keys()].find((text) => path.includes(text));
}

function decodedBasic(authorization: string | undefined): string | undefined {
  const encoded = /^basic +(\S+)$/i.exec(authorization ?? '')?.[1];
  return encoded === undefined ? undefined : Buffer.from(encoded, 'base64').toString('utf8');
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

/** A text with each key replaced by `<name>`, also where it is percent-encoded; `stranger` is an unknown key. */
export function maskKeys(text: string, names: KeyNames, stranger?: string): string {
  let masked = text;
  for (const [key, name] of names) masked = replaceKey(masked, key, `<${name}>`);
  return stranger === undefined || names.has(stranger) ? masked : replaceKey(masked, stranger, '<unknown>');
}

function replaceKey(text: string, key: string, label: string): string {
  return text.replaceAll(key, label).replaceAll(encodeURIComponent(key), label);
}

/** The headers as they are recorded: names in lower case, several values joined, keys as `<name>`. */
export function maskedHeaders(
  headers: IncomingHttpHeaders,
  names: KeyNames,
  stranger?: string,
): Record<string, string> {
  const masked: Record<string, string> = {};
  for (const [name, value] of Object.entries(headers)) {
    const joined = Array.isArray(value) ? value.join(', ') : (value ?? '');
    const basic = name === 'authorization' ? decodedBasic(joined) : undefined;
    masked[name] = maskKeys(basic === undefined ? joined : `Basic ${basic}`, names, stranger);
  }
  return masked;
}

/** The names of all keys whose text occurs anywhere in a request line and headers, wherever they were put. */
export function keysCarried(headers: IncomingHttpHeaders, target: string, names: KeyNames): string[] {
  const head = `${target}\n${decoded(target)}\n${Object.values(headers).flat().join('\n')}\n${decodedBasic(headers.authorization) ?? ''}`;
  return [...names].filter(([key]) => head.includes(key)).map(([, name]) => name);
}
