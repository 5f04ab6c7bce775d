import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import type { Socket } from 'node:net';
import { connect } from 'node:net';
import { describe, expect, it } from 'vitest';
import { WebSocket } from 'ws';
import type { Action } from '#keymux/testing/script.js';
import { echo, ok, redirect, refuse, reset, silence, stream } from '#keymux/testing/script.js';
import { createCertificate } from '#keymux/testing/self-signed-certificate.js';
import type { Simulator } from '#keymux/testing/simulator-api.js';
import { startSimulator } from '#keymux/testing/simulator.js';
import { bearer } from './http-client.js';

function simulating(...first: Action[]): Promise<Simulator> {
  return startSimulator({ keys: { 'sk-one': { name: 'one', first } } });
}

/** A `ws` client that keeps what comes. */
class Feed {
  readonly socket: WebSocket;
  readonly messages: string[] = [];
  readonly #waiting = new Set<() => void>();

  constructor(simulator: Simulator, options: { key?: string; ca?: string } = {}) {
    this.socket = new WebSocket(`${simulator.webSocketOrigin}/feed`, {
      headers: bearer(options.key ?? 'sk-one'),
      ...(options.ca === undefined ? {} : { ca: options.ca }),
    });
    this.socket.on('message', (data: Buffer) => {
      this.messages.push(data.toString('utf8'));
      for (const check of this.#waiting) check();
    });
  }

  received(count: number): Promise<void> {
    return new Promise((resolve) => {
      const check = (): void => {
        if (this.messages.length < count) return;
        this.#waiting.delete(check);
        resolve();
      };
      this.#waiting.add(check);
      check();
    });
  }

  async closed(): Promise<{ code: number; reason: string }> {
    const [code, reason] = (await once(this.socket, 'close')) as [number, Buffer];
    return { code, reason: reason.toString('utf8') };
  }

  parsed(): unknown[] {
    return this.messages.map((message) => JSON.parse(message) as unknown);
  }
}

describe('a WebSocket', () => {
  it('is greeted, and hears its messages again, whatever their length', async () => {
    await using simulator = await simulating();
    const feed = new Feed(simulator);
    await feed.received(1);
    const texts = ['hello', 'm'.repeat(200), 'ü'.repeat(40_000)];
    for (const text of texts) feed.socket.send(text);
    await feed.received(4);
    expect(feed.parsed()).toEqual([
      { type: 'ready', key: 'one' },
      ...texts.map((data) => ({ type: 'echo', key: 'one', data })),
    ]);
    expect(simulator.requests[0]).toMatchObject({ webSocket: true, key: 'one', path: '/feed', status: 101 });
    const closed = feed.closed();
    feed.socket.close(1000);
    expect(await closed).toMatchObject({ code: 1000 });
    await simulator.waitFor(({ requests }) => requests[0]?.endedAt !== undefined);
    expect(simulator.requests[0]?.aborted).toBe(false);
  });

  it('answers pings and puts fragments together', async () => {
    await using simulator = await simulating(echo());
    const feed = new Feed(simulator);
    await feed.received(1);
    const pong = once(feed.socket, 'pong');
    feed.socket.ping('are you there');
    expect(String((await pong)[0])).toBe('are you there');
    feed.socket.pong();
    feed.socket.send('one ', { fin: false });
    feed.socket.send('message', { fin: true });
    await feed.received(2);
    expect(feed.parsed()[1]).toMatchObject({ data: 'one message' });
    feed.socket.terminate();
  });

  it('ticks at the pace that is asked for', async () => {
    await using simulator = await simulating(ok({ everyMs: 5 }));
    const feed = new Feed(simulator);
    await feed.received(4);
    expect(feed.parsed().slice(1, 4)).toEqual([1, 2, 3].map((n) => ({ type: 'tick', key: 'one', n })));
    feed.socket.terminate();
    await simulator.waitFor(({ requests }) => requests[0]?.endedAt !== undefined);
  });

  it('sends given messages and ends well', async () => {
    await using simulator = await simulating(stream({ events: ['a', 'b'], everyMs: 1 }));
    const feed = new Feed(simulator);
    expect(await feed.closed()).toEqual({ code: 1000, reason: 'the feed is over' });
    expect(feed.messages.slice(1)).toEqual(['a', 'b']);
  });

  it('may be cut', async () => {
    await using simulator = await simulating(
      stream({ ends: 'cut', after: 1 }),
      stream({ ends: 'cut', everyMs: 1 }),
    );
    const feed = new Feed(simulator);
    expect(await feed.closed()).toMatchObject({ code: 1006 });
    expect(feed.messages).toHaveLength(2);
    const other = new Feed(simulator);
    await other.closed();
    expect(other.messages).toHaveLength(4);
  });

  it('may stall', async () => {
    await using simulator = await simulating(stream({ ends: 'stalled', after: 1, everyMs: 1 }));
    const feed = new Feed(simulator);
    await feed.received(2);
    feed.socket.send('are you there');
    await feed.received(3);
    expect(feed.parsed()[2]).toMatchObject({ type: 'echo' });
    feed.socket.terminate();
  });

  it('closes when its key is revoked, and only then', async () => {
    await using simulator = await startSimulator({ keys: { a: { name: 'a' }, b: { name: 'b' } } });
    const [first, second] = [new Feed(simulator, { key: 'a' }), new Feed(simulator, { key: 'b' })];
    await Promise.all([first.received(1), second.received(1)]);
    const closed = first.closed();
    simulator.key('a').revoke();
    simulator.key('a').revoke();
    expect(await closed).toEqual({ code: 1008, reason: 'the key was revoked' });
    expect(second.socket.readyState).toBe(WebSocket.OPEN);
    second.socket.terminate();
  });

  it('works for a key that is unknown but welcome', async () => {
    await using simulator = await startSimulator({ unknownKey: ok() });
    const feed = new Feed(simulator);
    await feed.received(1);
    expect(feed.parsed()).toEqual([{ type: 'ready', key: 'unknown' }]);
    feed.socket.terminate();
  });

  it('works over TLS', async () => {
    const tls = createCertificate();
    await using simulator = await startSimulator({ tls, keys: { 'sk-one': { name: 'one' } } });
    expect(simulator.webSocketOrigin).toMatch(/^wss:/);
    const feed = new Feed(simulator, { ca: tls.cert });
    await feed.received(1);
    feed.socket.terminate();
  });

  it('ends when the simulator closes', async () => {
    const simulator = await simulating(ok({ everyMs: 5 }));
    const feed = new Feed(simulator);
    feed.socket.on('error', () => undefined);
    await feed.received(2);
    const closed = feed.closed();
    await simulator.close();
    expect(await closed).toMatchObject({ code: 1006 });
  });
});

describe('a handshake', () => {
  it.each([
    [refuse(429, { retryAfterSeconds: 3 }), 429],
    [redirect('/elsewhere'), 302],
  ])('may be answered in HTTP: %o', async (action, status) => {
    await using simulator = await simulating(action);
    const feed = new Feed(simulator);
    const [, response] = (await once(feed.socket, 'unexpected-response')) as [
      unknown,
      { statusCode: number },
    ];
    expect(response.statusCode).toBe(status);
    await simulator.waitFor(({ requests }) => requests[0]?.endedAt !== undefined);
    expect(simulator.requests[0]).toMatchObject({ status, webSocket: true, executed: false, aborted: false });
  });

  it('is charged to the limits', async () => {
    await using simulator = await startSimulator({
      keys: { 'sk-one': { limits: [{ requests: 0, perMs: 1_000 }] } },
    });
    const feed = new Feed(simulator);
    await once(feed.socket, 'unexpected-response');
    expect(simulator.overshoots).toHaveLength(1);
  });

  it('may break', async () => {
    await using simulator = await simulating(reset());
    const feed = new Feed(simulator);
    const [error] = (await once(feed.socket, 'error')) as [Error];
    expect(error).toMatchObject({ code: 'ECONNRESET' });
  });

  it('may never be answered; a client that leaves is noticed', async () => {
    await using simulator = await simulating(silence());
    const feed = new Feed(simulator);
    feed.socket.on('error', () => undefined);
    await simulator.waitFor(({ requests }) => requests.length === 1);
    feed.socket.terminate();
    await simulator.waitFor(({ requests }) => requests[0]?.endedAt !== undefined);
    expect(simulator.requests[0]).toMatchObject({ aborted: true, status: undefined });
  });
});

describe('frames on the wire', () => {
  async function openRaw(
    simulator: Simulator,
    behind: Buffer = Buffer.alloc(0),
  ): Promise<{ socket: Socket; data: () => string }> {
    const socket = connect(simulator.port, '127.0.0.1');
    let received = Buffer.alloc(0);
    const isOpen = new Promise<void>((resolve) =>
      socket.on('data', (chunk: Buffer) => {
        received = Buffer.concat([received, chunk]);
        if (received.includes('ready')) resolve();
      }),
    );
    const head = `GET / HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer sk-one\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: ${randomBytes(16).toString('base64')}\r\n\r\n`;
    socket.write(Buffer.concat([Buffer.from(head), behind]));
    await isOpen;
    return { socket, data: () => received.toString('latin1') };
  }

  function masked(opcode: number, text: string): Buffer {
    return Buffer.concat([Buffer.from([0x80 | opcode, 0x80 | text.length, 0, 0, 0, 0]), Buffer.from(text)]);
  }

  it('are read when they come together with the handshake, or byte by byte', async () => {
    await using simulator = await simulating();
    const { socket, data } = await openRaw(simulator, masked(1, 'early'));
    for (const byte of masked(1, 'slow')) {
      socket.write(Buffer.from([byte]));
      await new Promise((resolve) => setImmediate(resolve));
    }
    await expect.poll(data).toMatch(/"early".*"slow"/s);
    socket.destroy();
  });

  it('have to be masked', async () => {
    await using simulator = await simulating();
    const { socket, data } = await openRaw(simulator);
    socket.write(Buffer.from([0x81, 1, 0x61]));
    await once(socket, 'close');
    expect(data()).toContain('\x88');
    expect(data()).toContain('mask');
  });

  it.each([
    ['in one frame', Buffer.from([0x81, 0xff, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0])],
    [
      'in many',
      Buffer.concat(
        Array.from({ length: 17 }, () =>
          Buffer.concat([
            Buffer.from([0x01, 0xff, 0, 0, 0, 0, 0, 0x10, 0, 0, 0, 0, 0, 0]),
            Buffer.alloc(0x100000),
          ]),
        ),
      ),
    ],
  ])('must not carry too big a message, %s', async (_how, bytes) => {
    await using simulator = await simulating();
    const { socket, data } = await openRaw(simulator);
    socket.on('error', () => undefined);
    socket.write(bytes);
    await once(socket, 'close');
    expect(data()).toContain('too big');
  });

  it('end with the connection of a client that just leaves', async () => {
    await using simulator = await simulating();
    const { socket } = await openRaw(simulator);
    socket.end();
    await simulator.waitFor(({ requests }) => requests[0]?.endedAt !== undefined);
  });
});
