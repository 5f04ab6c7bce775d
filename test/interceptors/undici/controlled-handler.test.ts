/** The newer of undici's two handler interfaces, which undici 7 takes beside the older one. */
import { once } from 'node:events';
import { createRequire } from 'node:module';
import type { Socket } from 'node:net';
import type { Dispatcher } from 'undici';
import { describe, expect, it, onTestFinished } from 'vitest';
import { ok, refuse, reply, reset, silence } from '#keymux/testing/script.js';
import { BAD_BAD_GOOD, CAPTURED, bearer, managed, until } from '../managed.js';

const undici = createRequire(import.meta.url)('undici') as typeof import('undici');

type Controller = Dispatcher.DispatchController;

class Recorder implements Dispatcher.DispatchHandler {
  readonly events: string[] = [];
  controller: Controller | undefined;
  headers: Record<string, unknown> = {};
  text = '';
  error: (Error & { code?: string }) | undefined;
  pausesAtHead = false;
  socket: Socket | undefined;
  readonly over: Promise<void>;
  #end: () => void = () => {};

  constructor() {
    this.over = new Promise((resolve) => (this.#end = resolve));
  }

  onRequestStart(controller: Controller): void {
    this.controller = controller;
    this.events.push('start');
  }

  onRequestUpgrade(_controller: Controller, status: number, _headers: object, socket: Socket): void {
    this.socket = socket;
    this.events.push(`upgrade ${status}`);
    this.#end();
  }

  onResponseStart(controller: Controller, status: number, headers: Record<string, unknown>): void {
    this.events.push(String(status));
    this.headers = headers;
    if (this.pausesAtHead) controller.pause();
  }

  onResponseData(_controller: Controller, chunk: Buffer): void {
    this.text += chunk.toString();
  }

  onResponseEnd(): void {
    this.events.push('end');
    this.#end();
  }

  onResponseError(_controller: Controller, error: Error): void {
    this.error = error;
    this.events.push('error');
    this.#end();
  }
}

function dispatch(origin: string, options: object = {}, recorder = new Recorder()): Recorder {
  const client = new undici.Client(origin);
  onTestFinished(() => client.destroy());
  client.dispatch({ path: '/', method: 'GET', headers: bearer(), ...options }, recorder);
  return recorder;
}

describe('a handler with a controller', () => {
  it('sees one start and one good answer', async () => {
    const { origin, seen } = await managed({ keys: BAD_BAD_GOOD });
    const recorder = dispatch(origin);
    await recorder.over;
    expect(recorder.events).toEqual(['start', '200', 'end']);
    expect(JSON.parse(recorder.text)).toMatchObject({ key: 'key-good' });
    expect(seen()).toEqual(Object.keys(BAD_BAD_GOOD));
  });

  it('sees informational answers', async () => {
    const { origin } = await managed({ keys: { [CAPTURED]: { always: ok({ informational: 103 }) } } });
    const recorder = dispatch(origin);
    await recorder.over;
    expect(recorder.events).toEqual(['start', '103', '200', 'end']);
  });

  it('sees a refusal with true headers, made up or not', async () => {
    const { origin, simulator } = await managed({
      keys: { [CAPTURED]: { always: refuse(429, { retryAfterSeconds: 60 }) } },
    });
    for (const events of [
      ['start', '429', 'end'],
      ['start', '429', 'end'],
    ]) {
      const recorder = dispatch(origin);
      await recorder.over;
      expect(recorder.events).toEqual(events);
      expect(recorder.headers).toMatchObject({ 'x-should-retry': 'false' });
      expect(Number(recorder.headers['retry-after'])).toBeGreaterThan(50);
      const raw = recorder.controller?.rawHeaders as Buffer[];
      expect(raw.map(String)).toContain('x-should-retry');
    }
    expect(simulator.requests).toHaveLength(1);
  });

  it('sets the pace of an answer that was held back', async () => {
    const text = 'x'.repeat(200_000);
    const { origin } = await managed({
      keys: { [CAPTURED]: { always: reply(200, { body: { text } }) } },
      provider: { errors: [{ status: 200, json: '$.error', outcome: 'rate-limited' }] },
    });
    const recorder = new Recorder();
    recorder.pausesAtHead = true;
    dispatch(origin, {}, recorder);
    await until(() => recorder.events.includes('200'));
    expect(recorder.text).toBe('');
    expect(recorder.controller?.paused).toBe(true);
    recorder.controller?.resume();
    recorder.controller?.resume();
    await recorder.over;
    expect(JSON.parse(recorder.text)).toEqual({ text });
  });

  it('aborts an attempt', async () => {
    const { origin, simulator } = await managed({ keys: { [CAPTURED]: { always: silence() } } });
    const recorder = dispatch(origin);
    await simulator.waitFor(({ requests }) => requests.length === 1);
    const reason = new Error('enough');
    recorder.controller?.abort(reason);
    recorder.controller?.abort(new Error('too late'));
    await recorder.over;
    expect(recorder.error).toBe(reason);
    expect(recorder.controller).toMatchObject({ aborted: true, reason });
  });

  it('aborts between two attempts, with the error of undici where it gives none', async () => {
    const { origin, manager, simulator } = await managed({ keys: { [CAPTURED]: { always: refuse(503) } } });
    const recorder = dispatch(origin);
    await new Promise<void>((resolve) => void manager.on('failover', () => resolve()));
    await new Promise(setImmediate);
    // As older callers do, against the types.
    (recorder.controller as { abort(): void } | undefined)?.abort();
    await recorder.over;
    expect(recorder.error).toMatchObject({ name: 'AbortError', code: 'UND_ERR_ABORTED' });
    expect(simulator.requests).toHaveLength(1);
    expect(manager.inspect().keys[0]?.inFlight).toBe(0);
  });

  it('sees the error of a connection that breaks within an answer', async () => {
    const { origin, seen } = await managed({ keys: { [CAPTURED]: { always: reset('mid-body') } } });
    const recorder = dispatch(origin);
    await recorder.over;
    expect(recorder.events).toEqual(['start', '200', 'error']);
    expect(seen()).toHaveLength(1);
  });

  it('sees the answer of a connection that breaks while it is held back, if the request must not be repeated', async () => {
    const { origin, seen } = await managed({
      keys: { [CAPTURED]: { always: reset('mid-body') }, 'key-good': {} },
      provider: { errors: [{ status: 200, json: '$.error', outcome: 'rate-limited' }] },
    });
    const recorder = dispatch(origin, { method: 'POST', body: '{}' });
    await recorder.over;
    expect(recorder.events).toEqual(['start', '200', 'error']);
    expect(seen()).toHaveLength(1);
  });

  it('gets the socket of an upgrade', async () => {
    const { origin, seen, manager } = await managed({ keys: BAD_BAD_GOOD });
    const recorder = dispatch(origin, {
      headers: {
        ...bearer(),
        'sec-websocket-key': 'dGhlIHNhbXBsZSBub25jZQ==',
        'sec-websocket-version': '13',
      },
      upgrade: 'websocket',
    });
    await recorder.over;
    expect(recorder.events).toEqual(['start', 'upgrade 101']);
    expect(seen()).toEqual(Object.keys(BAD_BAD_GOOD));
    recorder.socket?.destroy();
    if (recorder.socket !== undefined) await once(recorder.socket, 'close');
    expect(manager.inspect().keys.map(({ inFlight }) => inFlight)).toEqual([0, 0, 0]);
  });
});
