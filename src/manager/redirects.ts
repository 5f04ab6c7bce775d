/**
 * Redirects, followed as `fetch` follows them (https://fetch.spec.whatwg.org/#http-redirect-fetch) with one difference:
 * a key is left behind at the border of its provider's origins, in whatever header it stands.
 */
import type { ProviderDefinition } from '../core/provider.js';

export type Send = (url: string, init: RequestInit) => Promise<Response>;

type Keyed = RequestInit & { readonly headers: Headers };

const REDIRECTS = new Set([301, 302, 303, 307, 308]);
const MOST_REDIRECTS = 20;
/** What `fetch` never takes to another origin. */
const CREDENTIAL_HEADERS = ['authorization', 'proxy-authorization', 'cookie', 'host'];
const BODY_HEADERS = [
  'content-encoding',
  'content-language',
  'content-length',
  'content-location',
  'content-type',
];

/** Sends a request that carries a key of `provider`. Rejects as `fetch` does. */
export async function sendKeyed(
  send: Send,
  url: string,
  init: Keyed,
  provider: ProviderDefinition,
): Promise<Response> {
  if (init.redirect === 'manual' || init.redirect === 'error') return send(url, init);
  let at = url;
  let request: Keyed = { ...init, redirect: 'manual' };
  for (let hops = 0; ; hops++) {
    const response = await send(at, request);
    const location = response.headers.get('location');
    if (!REDIRECTS.has(response.status) || location === null) return response;
    await response.body?.cancel().catch(() => {});
    if (hops === MOST_REDIRECTS) throw refused('redirect count exceeded');
    const target = targetOf(location, at);
    request = redirected(request, response.status, new URL(at), target, provider);
    at = target.href;
  }
}

function targetOf(location: string, base: string): URL {
  // The error of `new URL` would show the base, in which the key may stand.
  if (!URL.canParse(location, base)) throw refused('invalid redirect URL');
  const target = new URL(location, base);
  if (target.protocol !== 'http:' && target.protocol !== 'https:')
    throw refused('URL scheme must be a HTTP(S) scheme');
  return target;
}

function redirected(request: Keyed, status: number, from: URL, to: URL, provider: ProviderDefinition): Keyed {
  const method = (request.method ?? 'GET').toUpperCase();
  const headers = new Headers(request.headers);
  const dropsBody =
    status === 303
      ? method !== 'GET' && method !== 'HEAD'
      : (status === 301 || status === 302) && method === 'POST';
  if (!dropsBody && request.body instanceof ReadableStream) throw refused('a streaming body is sent once');
  if (to.origin !== from.origin && !provider.origins.includes(to.origin)) {
    const { auth } = provider;
    const own = auth.in === 'header' ? [auth.name] : [];
    for (const name of [...CREDENTIAL_HEADERS, ...own]) headers.delete(name);
  }
  if (!dropsBody) return { ...request, headers };
  for (const name of BODY_HEADERS) headers.delete(name);
  return { ...request, method: 'GET', headers, body: null };
}

function refused(why: string): TypeError {
  return new TypeError('fetch failed', { cause: new Error(why) });
}
