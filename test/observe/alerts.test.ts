import { hostname } from 'node:os';
import { inspect } from 'node:util';
import { setImmediate as turn } from 'node:timers/promises';
import type { KeyManager } from '#keymux/manager/key-manager.js';
import { createMemoryStore } from '#keymux/stores/memory.js';
import { SUCCESS } from '#keymux/core/outcome.js';
import { faultyStore } from '#keymux/testing/faulty-store.js';
import { refuse } from '#keymux/testing/script.js';
import type { KeyScript } from '#keymux/testing/script-key.js';
import { startSimulator } from '#keymux/testing/simulator.js';
import { describe, expect, it, onTestFinished } from 'vitest';
import { memoryStore } from '../manager/acme.js';
import { CANARY_PATH, startReceiver, told, watched } from './alert-receiver.js';

const soon = { timeout: 15_000, interval: 10 };
const CANARY_KEYS = ['CANARY-key-one-7d1f', 'CANARY-key-two-a83b'];

async function simulate(keys: Readonly<Record<string, KeyScript>>) {
  const simulator = await startSimulator({
    keys,
    auth: { in: 'header', name: 'x-api-key' },
  });
  onTestFinished(() => simulator.close());
  return simulator;
}

describe('a webhook', () => {
  it('is told that a key was refused, and that it is well again', async () => {
    const { url, alerts, received } = await startReceiverOf();
    const simulator = await simulate({ 'key-one': { always: refuse('rejected') }, 'key-two': {} });
    const { manager, watching } = watched({
      baseUrl: simulator.origin,
      alerts: [{ when: 'rejected', webhook: url }],
      watch: { dashboardUrl: 'http://127.0.0.1:4800/-/dashboard' },
    });
    const response = await manager.fetch('acme', '/x');
    expect(response.status).toBe(200);
    // The bad key was really hit, and the request went on with the good one.
    expect(simulator.requests.map(({ status }) => status)).toEqual([401, 200]);
    await expect.poll(() => told(alerts()), soon).toEqual(['rejected raised acme/main']);
    expect(received[0]!.headers).toMatchObject({
      'content-type': 'application/json',
      'user-agent': 'keymux',
    });
    const [raised] = alerts();
    expect(raised).toEqual({
      version: 1,
      id: 'rejected/acme/main',
      rule: 'rejected',
      when: 'rejected',
      subject: 'acme/main',
      state: 'raised',
      reminder: false,
      value: 1,
      threshold: 0,
      since: expect.stringMatching(/^\d{4}-\d\d-\d\dT[\d:.]+Z$/),
      at: expect.stringMatching(/^\d{4}-\d\d-\d\dT[\d:.]+Z$/),
      host: hostname(),
      pid: process.pid,
      message: 'acme refuses the key acme/main itself: it is invalid, expired or revoked.',
      fix: expect.stringContaining('Replace the key'),
      dashboard: 'http://127.0.0.1:4800/-/dashboard',
    });
    manager.reset('acme/main');
    await expect
      .poll(() => told(alerts()), soon)
      .toEqual(['rejected raised acme/main', 'rejected recovered acme/main']);
    expect(alerts()[1]).toMatchObject({ id: raised!.id, since: raised!.since, fix: 'Nothing needs doing.' });
    await expect.poll(() => watching.counts, soon).toEqual({ delivered: 2, failed: 0 });
  });

  it('is told of what lasts again, but not before its time', async () => {
    const { url, alerts } = await startReceiverOf();
    let now = 1_000_000;
    const { manager } = watched({
      alerts: [{ when: 'keys-left', below: 2, everyMs: 60_000, webhook: url }],
      watch: { now: () => now },
    });
    manager.disable('acme/main');
    await expect.poll(() => told(alerts()), soon).toEqual(['keys-left raised acme']);
    now += 60_000;
    await expect.poll(() => alerts().length, soon).toBe(2);
    expect(told(alerts())[1]).toBe('keys-left still raised acme');
    expect(alerts()[1]!.since).toBe(alerts()[0]!.since);
    now += 59_000;
    manager.enable('acme/main');
    await expect.poll(() => alerts().length, soon).toBe(3);
    expect(told(alerts())[2]).toBe('keys-left recovered acme');
  });

  it('of Slack gets a text, in which nothing of ours is markup', async () => {
    const { url, received } = await startReceiverOf();
    const { manager } = watched({
      alerts: [{ when: 'keys-left', name: 'few', webhook: url, format: 'slack' }],
      watch: { dashboardUrl: 'http://127.0.0.1:4800/?a=1&b=2' },
    });
    manager.disable('acme/main');
    manager.disable('acme/2');
    await expect.poll(() => received.length, soon).toBe(1);
    const { text } = JSON.parse(received[0]!.body) as { text: string };
    expect(text.split('\n')).toEqual([
      '*Alert few raised: acme has 0 usable keys of 2.*',
      '`keymux explain acme` says what keeps the others; add a key, or see to those.',
      expect.stringMatching(/^_since \S+Z on \S+_$/),
      '<http://127.0.0.1:4800/?a=1&amp;b=2|Dashboard>',
    ]);
    manager.enable('acme/main');
    await expect.poll(() => received.length, soon).toBe(2);
    expect(JSON.parse(received[1]!.body).text).toMatch(
      /^\*Alert few recovered: acme has 1 usable key of 2\.\*\n_since/,
    );
  });

  it('that hangs slows no request', async () => {
    const { url, received } = await startReceiver(() => {});
    const simulator = await simulate({ 'key-one': { always: refuse('rejected') }, 'key-two': {} });
    const { manager, watching } = watched({
      baseUrl: simulator.origin,
      alerts: [{ when: 'rejected', webhook: url }],
    });
    await (await manager.fetch('acme', '/x')).text();
    await expect.poll(() => received.length, soon).toBe(1);
    // It has the message and does not answer, while these are served.
    for (let i = 0; i < 50; i += 1) expect((await manager.fetch('acme', '/x')).status).toBe(200);
    expect(watching.counts).toEqual({ delivered: 0, failed: 0 });
    expect(received).toHaveLength(1);
  });

  it('that refuses for a while gets the message all the same, once', async () => {
    const { url, alerts } = await startReceiverOf((response, before) => {
      if (before === 0) response.writeHead(503).end();
      else if (before === 1) response.writeHead(429, { 'retry-after': '0' }).end();
      else if (before === 2) response.destroy();
      else response.writeHead(200).end('ok');
    });
    const { manager, watching, log } = watched({
      alerts: [{ when: 'keys-left', below: 2, webhook: url }],
    });
    manager.disable('acme/main');
    await expect.poll(() => watching.counts, soon).toEqual({ delivered: 1, failed: 0 });
    expect(new Set(alerts().map((alert) => JSON.stringify(alert))).size).toBe(1);
    expect(alerts()).toHaveLength(4);
    expect(log).toEqual([]);
  });

  it('that refuses for good is told of once, and told of again when it takes messages', async () => {
    const { url, received } = await startReceiver(
      (response, before) => void response.writeHead(before < 2 ? 404 : 200).end(),
    );
    const { manager, watching, log } = watched({
      alerts: [{ when: 'keys-left', below: 2, everyMs: 1, webhook: url }],
    });
    manager.disable('acme/main');
    await expect.poll(() => watching.counts.delivered, soon).toBeGreaterThan(0);
    expect(watching.counts.failed).toBe(2);
    expect(received.length).toBeGreaterThan(2);
    expect(log).toEqual([
      'keymux: An alert could not be told to alerts[0].webhook: it answered 404. Requests are not affected.',
      'keymux: Alerts arrive at alerts[0].webhook again.',
    ]);
  });

  it('that cannot be reached is given up after five attempts, and that is told', async () => {
    const attempts: unknown[] = [];
    const { manager, watching, log } = watched({
      alerts: [{ when: 'keys-left', below: 2, webhook: `http://127.0.0.1:9${CANARY_PATH}` }],
      watch: {
        firstPauseMs: 1,
        fetch: (input, init) => {
          attempts.push(input);
          return fetch(input, init);
        },
      },
    });
    manager.disable('acme/main');
    await expect.poll(() => watching.counts, soon).toEqual({ delivered: 0, failed: 1 });
    expect(attempts).toHaveLength(5);
    expect(log).toHaveLength(1);
    expect(log[0]).toMatch(/could not be told to alerts\[0\]\.webhook: it cannot be reached( \(\w+\))?\./);
  });

  it('sends nothing on to where it is redirected', async () => {
    const elsewhere = await startReceiverOf();
    const { url } = await startReceiver(
      (response) => void response.writeHead(307, { location: elsewhere.url }).end(),
    );
    const { manager, watching } = watched({ alerts: [{ when: 'keys-left', below: 2, webhook: url }] });
    manager.disable('acme/main');
    await expect.poll(() => watching.counts, soon).toEqual({ delivered: 0, failed: 1 });
    expect(elsewhere.received).toEqual([]);
  });

  it('and keys are in no message, log or error', async () => {
    const [one, two] = CANARY_KEYS as [string, string];
    const { url, received } = await startReceiver((response) => void response.writeHead(500).end());
    const simulator = await simulate({ [one]: { always: refuse('rejected') }, [two]: {} });
    const { manager, watching, log } = watched({
      keys: [one, two],
      baseUrl: simulator.origin,
      alerts: [
        { when: 'rejected', webhook: url, log: true },
        { when: 'failover', above: 0, webhook: url, format: 'slack', log: true },
      ],
      watch: { firstPauseMs: 1 },
    });
    await (await manager.fetch('acme', '/x')).text();
    expect(simulator.requests.map(({ status }) => status)).toEqual([401, 200]);
    await expect.poll(() => watching.counts.failed, soon).toBe(2);
    expect(received.length).toBeGreaterThanOrEqual(10);
    const everything = [
      ...received.map(({ headers, body }) => JSON.stringify(headers) + body),
      ...log,
      inspect(watching, { depth: 8, showHidden: true }),
      inspect(manager.configuration.alerts, { depth: 8 }),
    ].join('\n');
    expect(log.length).toBeGreaterThanOrEqual(4);
    expect(everything).not.toContain('CANARY');
  });
});

/** A receiver, and its alerts as a function, so that they are read anew. */
async function startReceiverOf(answer?: Parameters<typeof startReceiver>[0]) {
  const receiver = await startReceiver(answer);
  return { url: receiver.url, received: receiver.received, alerts: () => receiver.alerts };
}

async function spend(manager: KeyManager): Promise<void> {
  const lease = await manager.acquire('acme');
  lease.report(SUCCESS);
  lease.end();
}

describe('a rule', () => {
  it('sees failovers and services without a key, in the log too', async () => {
    const simulator = await simulate({
      'key-one': { always: refuse('rate-limited') },
      'key-two': { always: refuse('rate-limited') },
    });
    const { manager, log } = watched({
      baseUrl: simulator.origin,
      provider: { retry: { maxWaitMs: 0 } },
      alerts: [
        { when: 'failover', above: 0, log: true },
        { when: 'exhausted', log: true },
      ],
    });
    await manager.fetch('acme', '/x').then(
      () => {},
      () => {},
    );
    expect(simulator.requests.length).toBeGreaterThanOrEqual(2);
    await expect
      .poll(() => [...log].sort(), soon)
      .toEqual([
        expect.stringMatching(
          /^keymux: Alert exhausted raised: 1 request of acme found every key out within 1 minute\. Add/,
        ),
        expect.stringMatching(
          /^keymux: Alert failover raised: 1 request of acme had to go on with another key/,
        ),
      ]);
  });

  it('sees how much of each limit is spent, of this process alone', async () => {
    const { manager, log } = watched({
      provider: {
        limits: [
          { requests: 4, per: 'minute' },
          { requests: 100, per: 'day' },
        ],
      },
      keys: ['key-one'],
      alerts: [{ when: 'quota', above: 0.5, log: true }],
    });
    for (let i = 0; i < 3; i += 1) await spend(manager);
    await expect
      .poll(() => log, soon)
      .toEqual([
        expect.stringContaining('acme/main has spent 75 % of its limit (4 per minute): 1 of 4 left.'),
      ]);
  });

  it('sees how much of each limit is spent, of all that share a store', async () => {
    const inner = createMemoryStore({ now: Date.now, onNotice: () => {} });
    const [mine, other] = [inner, inner].map((store) =>
      faultyStore(store, { shared: true, leavesOpen: true }),
    );
    const provider = { limits: [{ requests: 4, per: 'minute' }] };
    const keys = ['key-one'];
    const { log, manager } = watched({
      provider,
      keys,
      options: { store: mine! },
      alerts: [{ when: 'quota', above: 0.5, log: true }],
    });
    await manager.ready;
    const spender = watched({ provider, keys, options: { store: other! }, alerts: [] }).manager;
    for (let i = 0; i < 3; i += 1) await spend(spender);
    await expect
      .poll(() => log, soon)
      .toEqual([
        expect.stringContaining('acme/main has spent 75 % of its limit (4 per minute): 1 of 4 left.'),
      ]);
  });

  it('sees what the provider states of its allowance', async () => {
    const simulator = await startSimulator({
      keys: { 'key-one': { limits: [{ requests: 4, perMs: 60_000 }] } },
      flavour: 'openai',
      auth: { in: 'header', name: 'x-api-key' },
    });
    onTestFinished(() => simulator.close());
    const { manager, log } = watched({
      keys: ['key-one'],
      baseUrl: simulator.origin,
      alerts: [{ when: 'quota', above: 0.5, log: true }],
    });
    for (let i = 0; i < 3; i += 1) await (await manager.fetch('acme', '/x')).text();
    expect(manager.inspect().keys[0]!.stated).toMatchObject({ left: 1 });
    await expect
      .poll(() => log, soon)
      .toEqual([expect.stringContaining('(as the provider states it): 1 of 4 left.')]);
  });

  it('sees a provider do badly, and several at once', async () => {
    const { manager, log } = watched({
      keys: ['key-one'],
      alerts: [
        { when: 'health', below: 0.6, log: true },
        { when: 'providers-failing', above: 0, log: true },
      ],
    });
    for (let i = 0; i < 6; i += 1) manager.report('acme/main', 'overloaded');
    await expect
      .poll(() => [...log].sort(), soon)
      .toEqual([
        expect.stringMatching(/^keymux: Alert health raised: The health score of acme is 0\.\d+\./),
        expect.stringContaining('Alert providers-failing raised: 1 of 1 provider fail at once: acme.'),
      ]);
  });

  it('sees that the store is lost, and that it is back', async () => {
    const store = faultyStore(memoryStore(), { shared: true });
    const { manager, log } = watched({
      provider: { limits: [{ requests: 1_000, per: 'minute' }] },
      options: { store, logger: { warn: () => {}, info: () => {} } },
      alerts: [{ when: 'degraded', forMs: 0, everyMs: 1, log: true }],
    });
    await manager.ready;
    store.fail({ operation: ['lease', 'beat'], from: 'onwards' });
    (await manager.acquire('acme')).end();
    await expect.poll(() => log[0], soon).toMatch(/^keymux: Alert degraded raised: The store is lost/);
    store.mend();
    await expect.poll(() => log.at(-1), soon).toBe('keymux: Alert degraded recovered: The store answers.');
  });

  it('learns what usage is usual, of keys and of services', async () => {
    const SLOT_MS = 60_000;
    let now = 1_700_000_000_000;
    const { manager, log } = watched({
      keys: ['key-one', 'key-two'],
      services: { quotes: { providers: ['acme'] } },
      alerts: [
        { when: 'unusual-usage', perMs: SLOT_MS, log: true },
        { when: 'unusual-usage', name: 'key', keys: ['acme/2'], perMs: SLOT_MS, log: true },
      ],
      watch: { now: () => now },
    });
    const looks = countLooks(manager);
    await looks.next();
    for (let slot = 0; slot < 30; slot += 1) {
      manager.report('acme/main', 'success');
      await looks.next();
      now += SLOT_MS;
      await looks.next();
    }
    expect(log).toEqual([]);
    for (let i = 0; i < 100; i += 1) manager.report('acme/2', 'success');
    await expect
      .poll(() => [...log].sort(), soon)
      .toEqual([
        expect.stringContaining(
          'Alert key raised: acme/2 sent 100 requests within 1 minute; up to 0 are usual.',
        ),
        expect.stringContaining(
          'Alert unusual-usage raised: quotes sent 100 requests within 1 minute; up to 1 are usual.',
        ),
      ]);
  });
});

/** Waits for looks to be over: the next one that began after the call has ended when another begins. */
function countLooks(manager: { inspect(): unknown }) {
  const inspectReally = manager.inspect.bind(manager);
  let looks = 0;
  manager.inspect = () => {
    looks += 1;
    return inspectReally();
  };
  return {
    async next(): Promise<void> {
      const before = looks;
      while (looks < before + 2) await turn();
    },
  };
}

describe('several processes that see the same', () => {
  async function two(heirAfterMs: number) {
    const inner = createMemoryStore({ now: Date.now, onNotice: () => {} });
    const each = [inner, inner].map((store) => {
      return watched({
        options: { store: faultyStore(store, { shared: true, leavesOpen: true }) },
        alerts: [{ when: 'rejected', forMs: 0, log: true }],
        watch: { heirAfterMs },
      });
    });
    for (const { manager } of each) await manager.ready;
    for (const { manager } of each) manager.report('acme/main', 'rejected');
    await expect.poll(() => alertsOf(each), soon).toHaveLength(1);
    const teller = each.find(({ log }) => log.some((line) => line.includes('Alert rejected raised')))!;
    const other = each.find((one) => one !== teller)!;
    return { each, teller, other };
  }

  const alertsOf = (each: readonly { readonly log: readonly string[] }[]): string[] =>
    each.flatMap(({ log }) => log.filter((line) => line.includes(' Alert rejected ')));

  it('are told of it, and of its end, once: by the one that told before', async () => {
    const { each, teller, other } = await two(60_000);
    other.manager.reset('acme/main');
    teller.manager.reset('acme/main');
    await expect.poll(() => alertsOf([teller]), soon).toHaveLength(2);
    expect(alertsOf([teller])[1]).toContain('recovered');
    expect(alertsOf(each)).toHaveLength(2);
  });

  it('are told of its end by another one where that one is gone', async () => {
    const { teller, other } = await two(1);
    await teller.watching.stop();
    other.manager.reset('acme/main');
    await expect.poll(() => alertsOf([other]), soon).toEqual([expect.stringContaining('recovered')]);
    expect(alertsOf([teller])).toHaveLength(1);
  });
});

describe('startAlerts', () => {
  it('takes up a configuration that was read anew', async () => {
    const { manager, log } = watched({ alerts: [{ when: 'keys-left', log: true }] });
    const { configuration } = manager;
    manager.disable('acme/main');
    manager.disable('acme/2');
    await expect.poll(() => log.length, soon).toBe(1);
    manager.reload();
    expect(manager.configuration).not.toBe(configuration);
    manager.enable('acme/main');
    // The state of the rule outlived the reload.
    await expect.poll(() => log.length, soon).toBe(2);
    expect(log[1]).toContain('recovered');
  });

  it('says which rule tells nobody', async () => {
    const { log } = watched({
      alerts: [{ when: 'keys-left', webhook: 'env:NOT_SET' }],
    });
    await expect
      .poll(() => log, soon)
      .toEqual([
        'keymux: The alert keys-left tells nobody: the address of its webhook cannot be read. `keymux doctor` says why.',
      ]);
  });

  it('ends when the manager is shut down, and may be stopped twice', async () => {
    const { manager, watching } = watched({ alerts: [{ when: 'keys-left', log: true }] });
    await manager.shutdown();
    await watching.stop();
    await watching.stop();
  });

  it('waits for messages under way when it is stopped, but not for one that hangs', async () => {
    const { url, received } = await startReceiver(() => {});
    const { manager, watching } = watched({ alerts: [{ when: 'keys-left', below: 2, webhook: url }] });
    manager.disable('acme/main');
    await expect.poll(() => received.length, soon).toBe(1);
    await watching.stop();
    expect(watching.counts).toEqual({ delivered: 0, failed: 1 });
  });

  it('tells of trouble of its own once', async () => {
    const { manager, log } = watched({ alerts: [{ when: 'keys-left', log: true }] });
    let failures = 0;
    manager.inspect = () => {
      failures += 1;
      throw new Error('the table is on fire');
    };
    await expect.poll(() => failures, soon).toBeGreaterThan(3);
    expect(log).toEqual(['keymux: The alerts could not be looked at: the table is on fire']);
  });
});
