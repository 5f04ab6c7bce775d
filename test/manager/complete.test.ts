import { gzipSync } from 'node:zlib';
import type { ServerResponse } from 'node:http';
import { Lease } from '#keymux/manager/lease.js';
import type { KeyManager } from '#keymux/manager/key-manager.js';
import { STALL_EVIDENCE } from '#keymux/manager/stall.js';
import { describe, expect, it } from 'vitest';
import { acmeManager } from './acme.js';
import { byKey, serveProvider } from './provider-server.js';
import type { Seen } from './provider-server.js';

const EVENTS = { 'content-type': 'text/event-stream' };
const POST = { method: 'POST', body: '{}' };
const COMPLETE = { commit: 'complete', endMark: '^data: \\[DONE\\]' };

async function collecting(
  stream: object,
  answer: (seen: Seen, response: ServerResponse, number: number) => void,
  provider: object = {},
) {
  const server = await serveProvider(answer);
  const manager = acmeManager({ baseUrl: server.origin, provider: { stream, ...provider } });
  return { server, manager };
}

const inFlight = (manager: KeyManager) => manager.inspect().keys.map((key) => key.inFlight);
const strikes = (manager: KeyManager) => {
  const { member } = manager.poolOf('acme').contenders[0]!;
  return manager.table.strikes(member.rows.provider);
};

describe('an answer that is collected', () => {
  it('is delivered as it came once the whole of it is there', async () => {
    const { manager } = await collecting(COMPLETE, (_, response) => {
      response.writeHead(200, EVENTS);
      response.write('data: 1\n\n');
      setImmediate(() => response.end('data: [DONE]\n\n: bye\n\n'));
    });
    const response = await manager.fetch('acme', '/x', POST);
    expect(response.status).toBe(200);
    expect(response.headers.get('x-keymux-provider')).toBeNull();
    expect(await response.text()).toBe('data: 1\n\ndata: [DONE]\n\n: bye\n\n');
    expect(inFlight(manager)).toEqual([0, 0]);
  });

  it('and lacks its end mark is asked for again where that is safe, and then succeeds', async () => {
    const { manager, server } = await collecting(COMPLETE, (_, response, number) => {
      response.writeHead(200, EVENTS).end(number === 1 ? 'data: 1\n\n' : 'data: 1\n\ndata: [DONE]\n\n');
    });
    expect(await (await manager.fetch('acme', '/x')).text()).toContain('[DONE]');
    expect(server.keys()).toEqual(['key-one', 'key-two']);
    expect(manager.inspect().keys.map(({ state }) => state)).toEqual(['unproven', 'ready']);
  });

  it('and lacks its end mark is never a success: a request that must not be repeated is told', async () => {
    const { manager, server } = await collecting(COMPLETE, (_, response) => {
      // The model talks about the mark, which is not the mark.
      response.writeHead(200, EVENTS).end('data: 1\n\ndata: "say data: [DONE] to end"\n\n');
    });
    const response = await manager.fetch('acme', '/x', POST);
    expect(server.seen).toHaveLength(1);
    expect(response.status).toBe(502);
    expect(response.headers.get('x-should-retry')).toBe('false');
    const { error } = (await response.json()) as { error: { message: string; code: string } };
    expect(error.message).toContain('An answer of acme was cut off');
    expect(error.message).toContain('end mark');
    expect(strikes(manager)).toBe(1);
    expect(inFlight(manager)).toEqual([0, 0]);
  });

  it('is cut each time it is asked for is told as well', async () => {
    const { manager, server } = await collecting(COMPLETE, (_, response) => {
      response.writeHead(200, EVENTS).end('data: 1\n\n');
    });
    expect((await manager.fetch('acme', '/x')).status).toBe(502);
    expect(server.seen).toHaveLength(3);
  });

  it('is cut and cannot be asked for again, as every limit is spent, is told and not delivered', async () => {
    const limits = [{ requests: 1, per: 'minute' }];
    const answer = (_: Seen, response: ServerResponse): void => {
      response.writeHead(200, EVENTS).end('data: 1\n\n');
    };
    const { manager, server } = await collecting(COMPLETE, answer, { limits });
    const response = await manager.fetch('acme', '/x');
    expect(response.status).toBe(502);
    expect(await response.text()).not.toContain('data: 1');
    expect(server.keys()).toEqual(['key-one', 'key-two']);
  });

  it.each(['first-event', 'complete'])('refuses as with any other policy (%s)', async (commit) => {
    const { manager, server } = await collecting({ ...COMPLETE, commit }, byKey({ 'key-one': 429 }));
    expect(await (await manager.fetch('acme', '/x', POST)).json()).toEqual({ status: 200 });
    expect(server.keys()).toEqual(['key-one', 'key-two']);
  });

  it('is judged by its error rules', async () => {
    const errors = [{ status: 200, json: '$.note', outcome: 'rate-limited' }];
    const { manager, server } = await collecting(
      COMPLETE,
      (_, response, number) => {
        response.writeHead(200, { 'content-type': 'application/json' });
        response.end(number === 1 ? '{"note":"slow"}' : '{"ok":true}');
      },
      { errors },
    );
    expect(await (await manager.fetch('acme', '/x', POST)).json()).toEqual({ ok: true });
    expect(server.keys()).toEqual(['key-one', 'key-two']);
  });

  it('may have no body, or none to expect', async () => {
    const { manager } = await collecting(COMPLETE, ({ method }, response) => {
      response.writeHead(method === 'HEAD' ? 200 : 204, EVENTS).end();
    });
    expect((await manager.fetch('acme', '/x', { method: 'HEAD' })).status).toBe(200);
    expect((await manager.fetch('acme', '/x')).status).toBe(204);
    expect(inFlight(manager)).toEqual([0, 0]);
  });

  it('is read though packed: fetch has unpacked it', async () => {
    const { manager } = await collecting(COMPLETE, (_, response) => {
      response.writeHead(200, { ...EVENTS, 'content-encoding': 'gzip' });
      response.end(gzipSync('data: [DONE]\n\n'));
    });
    expect(await (await manager.fetch('acme', '/x', POST)).text()).toBe('data: [DONE]\n\n');
  });

  it.each([
    ['breaks off', { commit: 'complete' }, 'terminated'],
    ['stalls', { commit: 'complete', idleMs: 60 }, 'paused for more than 60 ms'],
    ['is too long', { commit: 'complete', maxBytes: 5 }, 'longer than the 5 bytes'],
  ])('and %s is an error, or is asked for again', async (what, stream, message) => {
    const { manager, server } = await collecting(stream, ({ method }, response, number) => {
      response.writeHead(200, { 'content-type': 'text/plain' });
      if (method === 'GET' && number > 1) return void response.end('all');
      response.write('begins well', () => {
        if (what === 'breaks off') setImmediate(() => response.destroy());
      });
    });
    expect(await (await manager.fetch('acme', '/x')).text()).toBe('all');
    expect(server.seen).toHaveLength(2);
    await expect(manager.fetch('acme', '/x', POST)).rejects.toThrow(message);
    expect(server.seen).toHaveLength(3);
    await expect.poll(() => inFlight(manager)).toEqual([0, 0]);
    expect(manager.inspect().keys.map(({ state }) => state)).not.toContain('resting');
  });

  it('whose caller goes away meanwhile is given up, and nobody is blamed', async () => {
    const controller = new AbortController();
    const { manager } = await collecting({ ...COMPLETE, idleMs: 5_000 }, (_, response) => {
      response.writeHead(200, EVENTS).write('data: 1\n\n', () => controller.abort(new Error('enough')));
    });
    const answer = manager.fetch('acme', '/x', { signal: controller.signal });
    await expect(answer).rejects.toThrow('enough');
    expect(strikes(manager)).toBe(0);
    expect(inFlight(manager)).toEqual([0, 0]);
  });
});

describe('a provider that does not answer', () => {
  it('is given up after firstByteMs, and the request repeated where that is safe', async () => {
    const { manager, server } = await collecting({ firstByteMs: 80 }, ({ method }, response, number) => {
      if (method === 'GET' && number > 1) response.end('late');
    });
    expect(await (await manager.fetch('acme', '/x')).text()).toBe('late');
    await expect(manager.fetch('acme', '/x', POST)).rejects.toMatchObject({
      code: 'KEYMUX_TIMEOUT',
      message: expect.stringContaining('within 80 ms') as string,
      fix: expect.stringContaining('providers.acme.stream.firstByteMs') as string,
    });
    expect(server.seen).toHaveLength(3);
    expect(inFlight(manager)).toEqual([0, 0]);
  });
});

describe('an answer in the hands of the application', () => {
  it('that stalls ends with an error, and counts against the provider, not the key', async () => {
    const { manager } = await collecting({ idleMs: 60 }, (_, response) => {
      response.writeHead(200, EVENTS).write('data: 1\n\n');
    });
    const response = await manager.fetch('acme', '/x');
    await expect(response.text()).rejects.toMatchObject({ code: 'KEYMUX_TIMEOUT' });
    expect(strikes(manager)).toBe(1);
    expect(manager.inspect().keys[0]).toMatchObject({ state: 'ready', inFlight: 0 });
  });

  it('that breaks off time and again opens the circuit, though each one began well', async () => {
    const { manager } = await collecting({}, (_, response) => {
      response.writeHead(200, { 'content-length': '100' });
      response.write('begin', () => setImmediate(() => response.destroy()));
    });
    const evidence: unknown[] = [];
    manager.on('cooldown', (event) => evidence.push([event.subject, event.reason]));
    for (let i = 0; i < 5; i++) {
      expect(evidence).toEqual([]);
      await expect((await manager.fetch('acme', '/x')).text()).rejects.toThrow('terminated');
      await expect.poll(() => inFlight(manager)).toEqual([0, 0]);
    }
    expect(evidence).toEqual([['acme', 'network']]);
  });

  it('that the application gives up is nobody’s fault', async () => {
    const controller = new AbortController();
    const { manager } = await collecting({ idleMs: 5_000 }, (_, response) => {
      response.writeHead(200, EVENTS).write('data: 1\n\n');
    });
    const response = await manager.fetch('acme', '/x', { signal: controller.signal });
    controller.abort();
    await expect(response.text()).rejects.toMatchObject({ name: 'AbortError' });
    expect(strikes(manager)).toBe(0);
    await expect.poll(() => inFlight(manager)).toEqual([0, 0]);
  });

  it('is reported by an adapter that never saw its beginning', async () => {
    const { manager } = await collecting({}, () => {});
    const exchange = manager.exchange(manager.poolOf('acme'), {
      method: 'GET',
      path: '/x',
      hasIdempotencyKey: false,
      canReplay: () => true,
    });
    const lease = await exchange.first();
    if (!(lease instanceof Lease)) return expect.unreachable();
    exchange.broken(lease, STALL_EVIDENCE.idle);
    lease.end();
    expect(strikes(manager)).toBe(1);
  });
});
