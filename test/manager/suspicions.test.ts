import { once } from 'node:events';
import { createServer } from 'node:http';
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { SUCCESS } from '#keymux/core/outcome.js';
import { KeyManager } from '#keymux/manager/key-manager.js';
import { LeasedPermits, LocalPermits, isShortage } from '#keymux/manager/permits.js';
import { WaitingRoom } from '#keymux/manager/waiting-room.js';
import { outcomeOfError } from '#keymux/manager/outcome-of-error.js';
import { StateTable } from '#keymux/state/table.js';
import { describe, expect, it, onTestFinished } from 'vitest';
import { acmeConfig, acmeEnv, acmeManager, memoryStore } from './acme.js';
import { FaultyStore } from './faulty-store.js';

async function server(answer: (request: IncomingMessage, response: ServerResponse) => void) {
  const server = createServer(answer).listen(0, '127.0.0.1');
  await once(server, 'listening');
  onTestFinished(() => { server.closeAllConnections(); server.close(); });
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

describe('S', () => {
  it('S1 ready resolves though recovery is lazy', async () => {
    const manager = acmeManager({ seams: { recovery: 'lazy' } });
    const r = await Promise.race([manager.ready.then(() => 'ready'), new Promise((r) => setTimeout(() => r('hang'), 300))]);
    expect(r).toBe('ready');
  });
  it('S2 shutdown while opening', async () => {
    const store = new FaultyStore(memoryStore());
    const open = store.hold('open');
    const manager = acmeManager({ options: { store } });
    const listeners = process.listenerCount('exit');
    await manager.shutdown();
    open();
    await new Promise((r) => setTimeout(r, 50));
    expect(process.listenerCount('exit')).toBe(listeners);
  });
  it('S3 lease granted while shutting down', async () => {
    const store = new FaultyStore(memoryStore(), { shared: true });
    const manager = acmeManager({ keys: ['key-one'], provider: { limits: [{ requests: 5, per: 'minute' }] }, options: { store } });
    const go = store.hold('lease');
    const acquired = manager.acquire('acme').catch((e: unknown) => e);
    await new Promise(setImmediate);
    const down = manager.shutdown();
    go();
    expect(await acquired).toMatchObject({ code: 'KEYMUX_CLOSED' });
    await down;
    expect(manager.inspect().keys[0]?.inFlight).toBe(0);
  });
  it('S4 own overshoot when the store dies', async () => {
    const store = new FaultyStore(memoryStore(), { shared: true });
    const manager = acmeManager({ keys: ['key-one'], provider: { limits: [{ requests: 3, per: 'minute' }] }, options: { store, logger: { warn() {}, info() {} } } });
    for (let i = 0; i < 3; i++) { const lease = await manager.acquire('acme'); lease.report(SUCCESS); lease.end(); }
    store.fail('lease');
    await expect(manager.acquire('acme', { timeoutMs: 0 })).rejects.toMatchObject({ code: 'KEYMUX_NO_USABLE_KEY' });
  });
  it('S5 broken while peeking', async () => {
    const origin = await server((_, response) => {
      response.writeHead(200, { 'content-type': 'application/json', 'content-length': '1000' });
      response.write('{"a":');
      setTimeout(() => response.destroy(), 20);
    });
    const manager = acmeManager({ keys: ['key-one'], baseUrl: origin, provider: { errors: [{ status: 200, match: 'limit', outcome: 'rate-limited' }] } });
    await expect(manager.fetch('acme', '/x', { method: 'POST', body: 'x' })).rejects.toThrow();
    expect(manager.inspect().keys[0]?.inFlight).toBe(0);
  });
  it('S6 redirect to another origin', async () => {
    const seen: (string | undefined)[] = [];
    const other = await server((request, response) => { seen.push(request.headers['x-api-key'] as string); response.end('ok'); });
    const origin = await server((_, response) => { response.writeHead(302, { location: `${other}/steal` }); response.end(); });
    const manager = acmeManager({ keys: ['key-one'], baseUrl: origin });
    const r = await manager.fetch('acme', '/x'); await r.text();
    expect(seen).toEqual([undefined]);
  });
  it('S7 codes', () => {
    const provider = acmeManager().configuration.providers.get('acme')!;
    const of = (code: string) => outcomeOfError(Object.assign(new Error('x'), { code }), provider, 0).kind;
    expect(of('EAI_AGAIN')).toBe('network');
    expect(of('ENOENT')).not.toBe('network');
  });
  it('S8 abort mid-body ends lease', async () => {
    const origin = await server((_, response) => { response.writeHead(200); response.write('x'); });
    const manager = acmeManager({ keys: ['key-one'], baseUrl: origin });
    const r = await manager.fetch('acme', '/x');
    await r.body!.cancel();
    await expect.poll(() => manager.inspect().keys[0]?.inFlight, { timeout: 500 }).toBe(0);
  });
  it('S9 broken mid-body ends lease', async () => {
    const origin = await server((_, response) => { response.writeHead(200, { 'content-length': 100 }); response.write('x'); setTimeout(() => response.destroy(), 20); });
    const manager = acmeManager({ keys: ['key-one'], baseUrl: origin });
    const r = await manager.fetch('acme', '/x');
    await expect(r.text()).rejects.toThrow();
    await expect.poll(() => manager.inspect().keys[0]?.inFlight, { timeout: 500 }).toBe(0);
  });
  it('S10 inspect and explain do not turn the rotation', async () => {
    const manager = acmeManager({ services: { s: { providers: ['acme'], strategy: 'round-robin' } } });
    const used = [];
    for (let i = 0; i < 4; i++) { const next = manager.explain('s').next; await using l = await manager.acquire('s'); used.push(l.keyId); expect(l.keyId).toBe(next); }
    expect(used).toEqual(['acme/main', 'acme/2', 'acme/main', 'acme/2']);
  });
  it('S11 aborted signal in a waiting room', async () => {
    const room = new WaitingRoom(() => 0);
    const c = new AbortController(); c.abort();
    const r = await Promise.race([room.wait({ ticket: 1, takesAny: true, tryAt: 1e4, deadline: 1e4 }, c.signal).then(() => 'left'), new Promise((r) => setTimeout(() => r('hang'), 100))]);
    room.wakeAll();
    expect(r).toBe('left');
  });
  it('S12 serial failing', async () => {
    const store = new FaultyStore(memoryStore(), { shared: true });
    await store.open();
    const table = StateTable.create();
    const permits = new LeasedPermits(store, new LocalPermits(table), () => {});
    const bucket = { name: 'b', windows: [{ requests: 1000, perMs: 60_000 }] };
    const go = store.hold('lease');
    store.fail('lease', { asynchronously: true });
    const all = Promise.all(Array.from({ length: 5 }, () => permits.take(bucket, store.now())));
    go();
    await all;
    expect(store.leases.length).toBe(1);
  });
  it('S13 unspent batch comes back by itself', async () => {
    const store = new FaultyStore(memoryStore(), { shared: true });
    await store.open();
    const permits = new LeasedPermits(store, new LocalPermits(StateTable.create()), () => {});
    const bucket = { name: 'b', windows: [{ requests: 1000, perMs: 100 }, {requests: 1000, perMs: 1000}] };
    for (let i = 0; i < 4; i++) { const p = await permits.take(bucket, store.now()); if (!isShortage(p)) p.settle(store.now()); }
    await expect.poll(() => store.settlements.reduce((n, s) => n + s.returned, 0), { timeout: 1000 }).toBe(3);
  });
  it('S14 failed publish is retried', async () => {
    const store = new FaultyStore(memoryStore());
    const manager = acmeManager({ options: { store, logger: { warn() {}, info() {} } } });
    store.fail('publish', { times: 1 });
    manager.disable('acme/main');
    await expect.poll(() => (store.published.length), { timeout: 3000 }).toBe(2);
  });
  it('S15 same key, two providers', async () => {
    const p = (n: string) => ({ baseUrl: 'http://127.0.0.1:9', auth: { in: 'header', name: 'x' } as const, env: [n] });
    const manager = acmeManager({ options: { env: { A_API_KEY: 'same-key-12345', B_API_KEY: 'same-key-12345' }, config: { providers: { a: p('A_API_KEY'), b: { ...p('B_API_KEY'), baseUrl: 'http://127.0.0.1:10' } } } } });
    manager.report('a/main', 'rejected');
    expect(manager.inspect().keys.map((k) => [k.id, k.state])).toEqual([['a/main', 'rejected'], ['b/main', 'unproven']]);
  });
  it('S16 change before the store is open', async () => {
    const store = new FaultyStore(memoryStore());
    const open = store.hold('open');
    const manager = acmeManager({ options: { store, logger: { warn() {}, info() {} } } });
    manager.disable('acme/main');
    await new Promise(setImmediate);
    open();
    await manager.ready;
    await expect.poll(async () => (await store.open()).records.map((r) => r.disabled), { timeout: 3000 }).toEqual([true]);
  });
  it('S17 disabled while its permit is under way', async () => {
    const store = new FaultyStore(memoryStore(), { shared: true });
    const manager = acmeManager({ provider: { limits: [{ requests: 5, per: 'minute' }] }, options: { store } });
    const go = store.hold('lease');
    const acquired = manager.acquire('acme');
    await new Promise(setImmediate);
    manager.disable('acme/main');
    go();
    await using lease = await acquired;
    expect(lease.keyId).toBe('acme/2');
  });
  it('S18 late end after shutdown', async () => {
    const store = new FaultyStore(memoryStore(), { shared: true });
    const warnings: string[] = [];
    const manager = acmeManager({ keys: ['key-one'], provider: { limits: [{ requests: 5, per: 'minute' }] }, options: { store, drainMs: 10, logger: { warn: (m) => void warnings.push(m), info() {} } } });
    const lease = await manager.acquire('acme');
    await manager.shutdown();
    lease.end();
    await new Promise((r) => setTimeout(r, 60));
    expect(warnings).toEqual([]);
  });
  it('S19 aborted before', async () => {
    await expect(acmeManager().acquire('acme', { signal: AbortSignal.abort() })).rejects.toMatchObject({ code: 'KEYMUX_ABORTED' });
  });
  it('S20 abandoned places', async () => {
    let now = 1_800_000_000_000;
    const manager = acmeManager({ keys: ['key-one'], options: { clock: () => now, drainMs: 1 } });
    for (let i = 0; i < 4; i++) await manager.acquire('acme');
    await expect(manager.acquire('acme', { timeoutMs: 0 })).rejects.toThrow();
    now += 120_000;
    await using lease = await manager.acquire('acme', { timeoutMs: 0 });
    expect(lease.keyId).toBe('acme/main');
  });
  it('S21 own error does not speak for provider', async () => {
    let now = 1_800_000_000_000;
    const manager = acmeManager({ keys: ['key-one'], options: { clock: () => now } });
    for (let i = 0; i < 5; i++) manager.report('acme/main', 'overloaded');
    expect(manager.inspect().providers[0]?.circuit).toBe('open');
    now += 60_000;
    await expect(manager.run('acme', () => Promise.reject(new TypeError('own')))).rejects.toThrow('own');
    expect(manager.inspect().providers[0]?.circuit).toBe('half-open');
  });
  it('S22 one bucket asked once asynchronously', async () => {
    const store = new FaultyStore(memoryStore(), { shared: true });
    const manager = acmeManager({ provider: { limits: [{ requests: 1, per: 'minute' }], keys: [{ id: 'a', value: 'env:K1', bucket: 'x' }, { id: 'b', value: 'env:K2', bucket: 'x' }] }, options: { store, env: { K1: 'k-one-123456', K2: 'k-two-123456' } } });
    (await manager.acquire('acme')).end();
    store.leases.length = 0;
    const go = store.hold('lease');
    const r = manager.acquire('acme', { timeoutMs: 0 }).catch(() => 'out');
    await new Promise(setImmediate);
    go();
    await r;
    expect(store.leases.length).toBe(1);
  });
  it('S23 axios cancel', () => {
    const provider = acmeManager().configuration.providers.get('acme')!;
    const e = Object.assign(new Error('canceled'), { name: 'CanceledError', code: 'ERR_CANCELED' });
    expect(outcomeOfError(e, provider, 0).kind).toBe('aborted');
  });
  it('S24 waiting behind one with exclusions', async () => {
    void KeyManager; void acmeConfig; void acmeEnv;
    const manager = acmeManager();
    const pool = manager.findPool('acme')!;
    const now = manager.now();
    manager.report('acme/main', { kind: 'rate-limited', scope: 'key', executed: 'no', retryAt: now + 20_000 });
    manager.report('acme/2', { kind: 'rate-limited', scope: 'key', executed: 'no', retryAt: now + 20_000 });
    const main = pool.contenders[0]!.member;
    const c = new AbortController();
    const a = pool.acquire({ excluded: new Set([main]), waitUntil: now + 30_000, signal: c.signal });
    const b = pool.acquire({ excluded: new Set(), waitUntil: now + 30_000, signal: c.signal });
    await new Promise(setImmediate);
    manager.reset('acme/main');
    const r = await Promise.race([Promise.resolve(b).then((x) => ('keyId' in x ? x.keyId : 'shut')), new Promise((r) => setTimeout(() => r('stuck'), 500))]);
    c.abort(); await a; const l = await b; if ('keyId' in l) l.end();
    expect(r).toBe('acme/main');
  });
});
