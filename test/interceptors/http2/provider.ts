/** A provider that speaks HTTP/2, and a manager that takes care of streams to it. */
import type { Http2Server, IncomingHttpHeaders, ServerHttp2Stream } from 'node:http2';
import http2 from 'node:http2';
import type { AddressInfo } from 'node:net';
import { installHttp2 } from '#keymux/interceptors/http2.js';
import { installUndici } from '#keymux/interceptors/undici.js';
import { KeyManager } from '#keymux/manager/key-manager.js';
import type { KeyManagerOptions } from '#keymux/manager/options.js';
import { createMemoryStore } from '#keymux/stores/memory.js';
import { createCertificate } from '#keymux/testing/self-signed-certificate.js';
import { onTestFinished } from 'vitest';

type Answer = (stream: ServerHttp2Stream, headers: IncomingHttpHeaders) => void;

export interface Provider {
  readonly origin: string;
  readonly port: number;
  /** The headers of each request, in the order of arrival. */
  readonly requests: readonly IncomingHttpHeaders[];
  /** The keys of `authorization: Bearer …`. */
  seen(): string[];
}

function status(code: number, body: object = {}): Answer {
  return (stream) => {
    stream.respond({ ':status': code, 'content-type': 'application/json' });
    stream.end(JSON.stringify(body));
  };
}

export const answers = {
  limited: status(429),
  /** For as long as others would be made to wait. */
  limitedBriefly: (stream: ServerHttp2Stream) => {
    stream.respond({ ':status': 429, 'retry-after': '1' }, { endStream: true });
  },
  revoked: status(401),
  good: status(200, { ok: true }),
  soft: status(200, { Note: 'call frequency' }),
  reset: (stream: ServerHttp2Stream) => stream.close(http2.constants.NGHTTP2_INTERNAL_ERROR),
  /** Breaks off after its beginning. */
  broken: (stream: ServerHttp2Stream) => {
    stream.respond({ ':status': 200 });
    stream.write('{', () => stream.destroy(new Error('enough')));
  },
  cookies: (stream: ServerHttp2Stream) => {
    stream.respond({ ':status': 403, 'set-cookie': ['a=1', 'b=2'] }, { endStream: true });
  },
  silent: () => {},
} satisfies Record<string, Answer>;

/** What keys get that `byKey` does not name: 200. */
export async function provider(byKey: Readonly<Record<string, Answer>>, isSecure = false): Promise<Provider> {
  const server: Http2Server = isSecure ? http2.createSecureServer(createCertificate()) : http2.createServer();
  const requests: IncomingHttpHeaders[] = [];
  const sessions = new Set<{ destroy(): void }>();
  server.on('session', (session) => sessions.add(session));
  server.on('stream', (stream, headers) => {
    requests.push(headers);
    stream.on('error', () => {});
    (byKey[keyOf(headers)] ?? answers.good)(stream, headers);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  onTestFinished(() => {
    for (const session of sessions) session.destroy();
    server.close();
  });
  const { port } = server.address() as AddressInfo;
  return {
    origin: `${isSecure ? 'https' : 'http'}://127.0.0.1:${port}`,
    port,
    requests,
    seen: () => requests.map(keyOf),
  };
}

function keyOf({ authorization = '' }: IncomingHttpHeaders): string {
  return authorization.slice('Bearer '.length);
}

export const KEYS = ['key-limited', 'key-revoked', 'key-good'];
export const BAD_BAD_GOOD = { 'key-limited': answers.limited, 'key-revoked': answers.revoked };

export function manage(
  origin: string,
  settings: { provider?: object; keys?: readonly string[]; manager?: KeyManagerOptions } = {},
): KeyManager {
  const config = {
    providers: { acme: { baseUrl: origin, env: ['ACME_API_KEY'], ...settings.provider } },
  } as NonNullable<KeyManagerOptions['config']>;
  const manager = new KeyManager(
    {
      env: { ACME_API_KEYS: (settings.keys ?? KEYS).join(',') },
      cwd: '/nonexistent',
      config,
      store: createMemoryStore({ now: () => performance.timeOrigin + performance.now(), onNotice: () => {} }),
      random: () => 0,
      drainMs: 1,
      ...settings.manager,
    },
    {
      integrate: (instance) => {
        const undos = [installHttp2(instance), installUndici(instance)];
        return () => {
          for (const undo of undos.reverse()) void undo();
        };
      },
    },
  );
  onTestFinished(() => manager.shutdown());
  return manager;
}
