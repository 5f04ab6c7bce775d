/** The gateway's server before a forwarder that only tells what reached it, and bytes as a client may send them. */
import type { IncomingMessage, ServerResponse } from 'node:http';
import net from 'node:net';
import type { Socket } from 'node:net';
import type { Caller } from '#keymux/gateway/access.js';
import type { Forwarding } from '#keymux/gateway/forwarding.js';
import type { ListeningAddress } from '#keymux/gateway/listening.js';
import type { OwnRequest } from '#keymux/gateway/own-routes.js';
import { createServer } from '#keymux/gateway/server.js';
import type { ListeningOptions } from '#keymux/gateway/server-options.js';
import type { GatewayServer } from '#keymux/gateway/server.js';
import type { ForwardTarget } from '#keymux/gateway/target.js';
import { createAccess } from '#keymux/gateway/token-access.js';
import { readTokens } from '#keymux/gateway/tokens.js';
import { KeyManager } from '#keymux/manager/key-manager.js';
import type { KeyManagerOptions } from '#keymux/manager/options.js';
import { onTestFinished } from 'vitest';

export const CANARY = 'canary-5d20ab-key-of-a-provider';
export const TOKENS = {
  use: 'kmx_use_canary-5d20ab-aaaaaaaaaaaaaaaaaaaaaaaa',
  read: 'kmx_read_canary-5d20ab-bbbbbbbbbbbbbbbbbbbbbbbb',
  admin: 'kmx_admin_canary-5d20ab-cccccccccccccccccccccc',
};

const CONFIG: NonNullable<KeyManagerOptions['config']> = {
  store: { type: 'memory' },
  services: { data: { providers: ['acme', 'other'] } },
  providers: {
    acme: {
      baseUrl: 'http://127.0.0.1:9',
      auth: { in: 'query', name: 'apikey' },
      keys: [{ id: 'main', value: 'env:ACME' }],
    },
    other: {
      baseUrl: 'http://127.0.0.1:9',
      auth: { in: 'header', name: 'X-Other-Key' },
      keys: [{ id: 'main', value: 'env:OTHER' }],
    },
    pathly: {
      baseUrl: 'http://127.0.0.1:9',
      auth: { in: 'path' },
      keys: [{ id: 'main', value: 'env:PATHLY' }],
    },
  },
};

export function testManager(config: Config = CONFIG): KeyManager {
  const env = { ACME: `${CANARY}-1`, OTHER: `${CANARY}-2`, PATHLY: `${CANARY}-3` };
  const manager = new KeyManager({ env, config });
  onTestFinished(() => manager.shutdown());
  return manager;
}

type Config = NonNullable<KeyManagerOptions['config']>;

interface Forwarded {
  readonly path: string;
  readonly body: string;
}

export interface Door {
  readonly address: ListeningAddress;
  readonly server: GatewayServer;
  readonly manager: KeyManager;
  /** What was let through to providers, once its body was whole. */
  readonly forwarded: Forwarded[];
  readonly upgraded: string[];
  readonly callers: Caller[];
  /** What the forwarder does instead of answering at once. */
  onForward: (request: IncomingMessage, response: ServerResponse) => void;
}

export async function openDoor(options: ListeningOptions = {}, config?: Config): Promise<Door> {
  const manager = testManager(config);
  const forwarded: Forwarded[] = [];
  const upgraded: string[] = [];
  const callers: Caller[] = [];
  const active = new Set<ServerResponse>();
  const onIdle = new Set<() => void>();
  const forwarding: Forwarding = {
    forward(request, response, target) {
      active.add(response);
      response.on('close', () => {
        active.delete(response);
        if (active.size === 0) for (const done of onIdle) done();
      });
      door.onForward(request, response);
      void collect(request, target, forwarded);
    },
    upgrade(_request, socket, _head, target) {
      upgraded.push(target.path);
      socket.end('HTTP/1.1 101 Switching Protocols\r\n\r\n');
    },
    async drain(graceMs) {
      if (active.size === 0) return;
      await new Promise<void>((resolve) => {
        onIdle.add(resolve);
        setTimeout(resolve, graceMs).unref();
      });
    },
    get size() {
      return active.size;
    },
  };
  const own = {
    handle({ response, caller, target }: OwnRequest) {
      callers.push(caller);
      response.end(JSON.stringify({ path: target.path, query: target.query.toString() }));
      return Promise.resolve();
    },
    close() {},
  };
  const access = createAccess(manager, readTokens(Object.values(TOKENS).join('\n'), 'test'));
  const server = createServer({ manager, access, own, forwarding }, { port: 0, ...options });
  const door: Door = {
    address: await server.listen(),
    server,
    manager,
    forwarded,
    upgraded,
    callers,
    onForward: (_request, response) => response.end('answered'),
  };
  onTestFinished(() => server.close(0));
  return door;
}

async function collect(request: IncomingMessage, { path }: ForwardTarget, into: Forwarded[]): Promise<void> {
  let body = '';
  try {
    for await (const chunk of request) body += String(chunk);
    into.push({ path, body });
  } catch {
    // The client went before its request was whole.
  }
}

export class RawClient {
  readonly socket: Socket;
  readonly closed: Promise<void>;
  text = '';

  constructor({ port }: ListeningAddress) {
    this.socket = net.connect(port, '127.0.0.1');
    this.socket.setEncoding('latin1').on('data', (text: string) => (this.text += text));
    this.socket.on('error', () => {});
    this.closed = new Promise((resolve) => void this.socket.once('close', () => resolve()));
    onTestFinished(() => void this.socket.destroy());
  }

  send(text: string): void {
    this.socket.write(text, 'latin1');
  }

  async saw(text: string): Promise<string> {
    while (!this.text.includes(text)) {
      if (this.socket.destroyed) throw new Error(`never saw ${text} in:\n${this.text}`);
      await Promise.race([new Promise((resolve) => this.socket.once('data', resolve)), this.closed]);
    }
    return this.text;
  }

  /** Everything until the server closed the connection. */
  async all(): Promise<string> {
    await this.closed;
    return this.text;
  }
}

/** Sends bytes, and waits until the server has closed the connection. */
export function exchange(door: Door, text: string): Promise<string> {
  const client = new RawClient(door.address);
  client.send(text);
  return client.all();
}

export function statusOf(answer: string): number {
  return Number(/^HTTP\/1\.1 (\d{3}) /.exec(answer)?.[1]);
}
