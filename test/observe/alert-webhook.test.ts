import { Secret } from '#keymux/core/secret.js';
import type { Undelivered } from '#keymux/observe/alert-outbox.js';
import type { AlertPayload } from '#keymux/observe/alert-payload.js';
import { sendToWebhook } from '#keymux/observe/alert-webhook.js';
import { describe, expect, it } from 'vitest';
import { startReceiver } from './alert-receiver.js';

const PAYLOAD = { id: 'x' } as AlertPayload;

async function faultOf(url: string, send: typeof fetch = fetch): Promise<Undelivered | undefined> {
  const webhook = { url: new Secret(url), format: 'json', option: 'alerts[0].webhook' } as const;
  return sendToWebhook(webhook, PAYLOAD, send, new AbortController().signal).then(
    () => undefined,
    (error: unknown) => error as Undelivered,
  );
}

describe('sending to a webhook', () => {
  it('ends after five seconds without an answer', async () => {
    const { url, received } = await startReceiver(() => {});
    expect(await faultOf(url)).toMatchObject({
      message: 'it did not answer within 5 s',
      retry: { mayRetry: true },
    });
    expect(received).toHaveLength(1);
  });

  it('does not wait for the end of an answer', async () => {
    const { url } = await startReceiver((response) => {
      response.writeHead(200);
      response.write('the beginning of a body that never ends');
    });
    expect(await faultOf(url)).toBeUndefined();
  });

  it.each([
    ['7', 7_000],
    ['86400', 60_000],
    ['Wed, 21 Oct 2026 07:28:00 GMT', undefined],
    ['-1', undefined],
  ])('takes `Retry-After: %s` for %s ms', async (text, afterMs) => {
    const { url } = await startReceiver(
      (response) => void response.writeHead(503, { 'retry-after': text }).end(),
    );
    expect((await faultOf(url))!.retry).toEqual({
      mayRetry: true,
      ...(afterMs === undefined ? {} : { afterMs }),
    });
  });

  it.each([
    [400, false],
    [401, false],
    [408, true],
    [410, false],
    [429, true],
    [500, true],
  ])('that answers %s may be tried again: %s', async (status, mayRetry) => {
    const { url } = await startReceiver((response) => void response.writeHead(status).end());
    expect(await faultOf(url)).toMatchObject({ message: `it answered ${status}`, retry: { mayRetry } });
  });

  it('repeats nothing that an error says but its code', async () => {
    const failing =
      (error: unknown): typeof fetch =>
      async () => {
        throw error as Error;
      };
    const refused = new TypeError('CANARY', {
      cause: Object.assign(new Error('CANARY'), { code: 'ECONNREFUSED' }),
    });
    expect((await faultOf('https://hooks.example', failing(refused)))!.message).toBe(
      'it cannot be reached (ECONNREFUSED)',
    );
    for (const error of [new Error('CANARY'), 'CANARY', new Error('x', { cause: { code: 'a CANARY' } })])
      expect((await faultOf('https://hooks.example', failing(error)))!.message).toBe('it cannot be reached');
  });
});
