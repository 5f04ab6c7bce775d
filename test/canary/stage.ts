/** Providers that answer with whatever they are asked, keys included, and a folder for a manager's files. */
import { createServer } from 'node:http';
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { onTestFinished } from 'vitest';
import { leaksIn } from './canary.js';
import type { Canary } from './canary.js';

/** What came in at a server: request line, headers and body. */
export interface Arrival {
  readonly head: string;
  readonly body: string;
}

export interface Provider {
  readonly origin: string;
  readonly arrivals: readonly Arrival[];
  /** Names of the canaries that arrived there, in their order. */
  seen(canaries: readonly Canary[]): string[];
}

/** `answer` gets the key that the request brought, as it is written there. */
export type Answer = (request: IncomingMessage, response: ServerResponse, arrival: Arrival) => void;

/** A server on a real socket; default: it answers 200 and says nothing. */
export async function startProvider(
  answer: Answer = (_, response) => void response.end('{}'),
): Promise<Provider> {
  const arrivals: Arrival[] = [];
  const server = createServer((request, response) => {
    void text(request).then(
      (body) => {
        const head = [`${request.method} ${request.url}`, ...request.rawHeaders].join('\n');
        arrivals.push({ head, body });
        answer(request, response, { head, body });
      },
      () => {},
    );
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  onTestFinished(() => {
    server.closeAllConnections();
    server.close();
  });
  return {
    origin: `http://127.0.0.1:${String((server.address() as AddressInfo).port)}`,
    arrivals,
    seen: (canaries) =>
      arrivals.flatMap(({ head }) => {
        const leaks = leaksIn(head, canaries);
        return leaks.slice(0, 1).map(({ canary }) => canary);
      }),
  };
}

/**
 * Refuses a canary with this status, and repeats it where providers do: in the body, in headers that keymux reads and
 * in others. Every other key gets what `good` says.
 */
export function refusing(canary: Canary, status: number): Answer {
  return (_request, response, { head }) => {
    if (leaksIn(head, [canary]).length === 0) {
      response.setHeader('content-type', 'application/json').end('{"ok":true}');
      return;
    }
    const shown = `Incorrect API key provided: ${canary.text}. You can find your key in your account.`;
    response.writeHead(status, {
      'content-type': 'application/json',
      'retry-after': '60',
      'x-ratelimit-remaining-requests': canary.text,
      'x-ratelimit-reset-requests': encodeURIComponent(canary.text),
      'openai-organization': canary.text,
      'x-request-id': canary.text,
      'www-authenticate': `Bearer realm="${encodeURIComponent(canary.text)}"`,
    });
    response.end(
      JSON.stringify({ error: { message: shown, code: canary.text, type: canary.text }, key: canary.text }),
    );
  };
}

export function temporaryFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'keymux-canary-'));
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

/** Answers 200 and repeats the canary in headers, as it is and encoded, and in a `location` elsewhere. */
export function mirroring({ text }: Canary): Answer {
  const form = new URLSearchParams({ '': text }).toString().slice(1);
  return (_request, response) => {
    response.writeHead(200, {
      'content-type': 'application/json',
      'x-request-id': text,
      'x-used-key': text,
      'x-used-address': `/v1/x?apikey=${encodeURIComponent(text)}`,
      'x-used-form': `apikey=${form}`,
      link: `<https://a.example/?key=${encodeURIComponent(text)}>; rel="next"`,
      location: `https://elsewhere.example/?key=${encodeURIComponent(text)}`,
      'set-cookie': [`key=${encodeURIComponent(text)}`, 'b=2'],
    });
    response.end('{"ok":true}');
  };
}
