/** Streams of a client that knows nothing of keymux. */
import { once } from 'node:events';
import type { ClientHttp2Session, ClientHttp2Stream, IncomingHttpHeaders } from 'node:http2';
import http2 from 'node:http2';
import { onTestFinished } from 'vitest';

type Headers = Record<string, unknown>;

export function connect(
  origin: string,
  options: http2.ClientSessionOptions & object = {},
): ClientHttp2Session {
  const session = http2.connect(origin, options);
  session.on('error', () => {});
  onTestFinished(() => session.destroy());
  return session;
}

export function send(session: ClientHttp2Session, headers: Headers | unknown[] = {}): ClientHttp2Stream {
  const own = Array.isArray(headers) ? headers : { authorization: 'Bearer key-limited', ...headers };
  return session.request(own as http2.OutgoingHttpHeaders);
}

export async function answerTo(
  stream: ClientHttp2Stream,
): Promise<IncomingHttpHeaders & { ':status'?: number }> {
  const [headers] = (await once(stream, 'response')) as [IncomingHttpHeaders];
  stream.resume();
  if (!stream.closed) await once(stream, 'close');
  return headers;
}

export async function ask(
  session: ClientHttp2Session,
  headers?: Headers | unknown[],
): Promise<number | undefined> {
  return (await answerTo(send(session, headers)))[':status'];
}
