/** Errors of others, which quote keys. */
import type { Canary } from './canary.js';

/** As clients of HTTP word it: with the address, the request and all that it was sent with. */
export function clientError({ text }: Canary, origin: string): Error {
  const address = `${origin}/v1/x?apikey=${encodeURIComponent(text)}`;
  return Object.assign(new TypeError(`Failed to parse URL from ${address} (Bearer ${text})`), {
    code: 'ERR_INVALID_URL',
    input: address,
    config: { url: address, headers: { authorization: `Bearer ${text}` } },
    request: { path: address, _header: `GET ${address} HTTP/1.1\r\nx-api-key: ${text}\r\n` },
    response: { status: 401, headers: { 'x-api-key': text }, body: text },
    cause: new Error(`Invalid URL: ${address}`),
  });
}
