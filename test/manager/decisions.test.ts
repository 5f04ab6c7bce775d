import { existsSync, mkdtempSync, readFileSync, readdirSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { DecisionCandidate, DecisionRecord, RequestExplanation } from '#keymux/core/decision.js';
import { ABORTED, SUCCESS } from '#keymux/core/outcome.js';
import type { Exchange, RequestFacts } from '#keymux/manager/attempt.js';
import type { KeyManager } from '#keymux/manager/key-manager.js';
import { Lease } from '#keymux/manager/lease.js';
import { createFakeClock } from '#keymux/testing/fake-clock.js';
import { describe, expect, it, onTestFinished } from 'vitest';
import { acmeManager } from './acme.js';
import type { AcmeOptions } from './acme.js';

const CANARY = 'canary-7d31ab';

function managed(acme: AcmeOptions = {}) {
  const clock = createFakeClock();
  const manager = acmeManager({
    keys: [`${CANARY}-1`, `${CANARY}-2`, `${CANARY}-3`],
    ...acme,
    options: { clock: clock.now, ...acme.options },
  });
  return { clock, manager };
}

function begin(manager: KeyManager, facts: Partial<RequestFacts> = {}, service = 'acme'): Exchange {
  return manager.exchange(manager.poolOf(service), {
    method: 'GET',
    path: '/x',
    hasIdempotencyKey: false,
    canReplay: () => true,
    ...facts,
  });
}

async function firstOf(exchange: Exchange): Promise<Lease> {
  const lease = await exchange.first();
  return lease instanceof Lease ? lease : expect.unreachable(lease.statusText);
}

async function answer(
  exchange: Exchange,
  lease: Lease,
  status: number,
  headers: Record<string, string> = {},
) {
  const head = { status, header: (name: string) => headers[name] };
  const step = await exchange.afterHead(lease, head);
  const settled = step.do === 'peek' ? await exchange.afterBody(lease, head, '{}') : step;
  lease.end();
  return settled;
}

async function served(manager: KeyManager, service = 'acme'): Promise<string> {
  const exchange = begin(manager, {}, service);
  await answer(exchange, await firstOf(exchange), 200);
  return exchange.requestId;
}

function explained(manager: KeyManager, requestId: string): RequestExplanation {
  return manager.why(requestId) ?? expect.unreachable(`nothing is known of ${requestId}`);
}

function told(candidates: readonly DecisionCandidate[] = []) {
  return candidates.map(({ key, passedOver = 'chosen', because }) => [key, passedOver, because]);
}

describe('why', () => {
  it('tells every attempt: who was taken, why the others were not, and what came of it', async () => {
    const { manager, clock } = managed();
    const exchange = begin(manager);
    const first = await firstOf(exchange);
    clock.advance(40);
    const step = await answer(exchange, first, 429, { 'retry-after': '30' });
    if (step.do !== 'retry') return expect.unreachable(step.do);
    expect([first.keyId, step.lease.keyId]).toEqual(['acme/main', 'acme/2']);
    clock.advance(60);
    await answer(exchange, step.lease, 200);
    const { attempts, ...request } = explained(manager, exchange.requestId);
    expect(request).toMatchObject({
      service: 'acme',
      end: 'answered',
      durationMs: 100,
      waitedMs: 0,
      complete: true,
    });
    expect(
      attempts.map(({ chosen, outcome }) => [chosen, outcome?.kind, outcome?.status, outcome?.latencyMs]),
    ).toEqual([
      ['acme/main', 'rate-limited', 429, 40],
      ['acme/2', 'success', 200, 60],
    ]);
    expect(told(attempts[0]?.candidates)).toEqual([
      ['acme/main', 'chosen', 'first in the order of priority (provider 1, key priority 1)'],
      ['acme/2', 'not-preferred', 'usable, later in the order of priority (provider 1, key priority 2)'],
      ['acme/3', 'not-preferred', 'usable, later in the order of priority (provider 1, key priority 3)'],
    ]);
    const [rested] = attempts[1]?.candidates ?? [];
    expect(rested).toMatchObject({
      key: 'acme/main',
      passedOver: 'key-resting',
      because: 'rate-limited, until a time stated by the provider',
      fact: { subject: 'acme/main', source: 'stated', seen: 'here', status: 429, ageMs: 0 },
    });
    expect(rested?.until).toBeGreaterThanOrEqual(clock.now() - 60 + 30_000);
  });

  it('tells the latency that was gone by, in milliseconds', async () => {
    const services = { quick: { providers: ['acme'], strategy: 'lowest-latency' } };
    const { manager, clock } = managed({ keys: [`${CANARY}-1`], services });
    const exchange = begin(manager, {}, 'quick');
    const lease = await firstOf(exchange);
    clock.advance(40);
    await answer(exchange, lease, 200);
    const [attempt] = explained(manager, await served(manager, 'quick')).attempts;
    expect(attempt?.candidates[0]?.because).toMatch(/\(40 ms, 0 under way\)$/);
  });

  it('goes on telling what was so then, and how old the fact was', async () => {
    const { manager, clock } = managed();
    const exchange = begin(manager);
    const step = await answer(exchange, await firstOf(exchange), 401);
    if (step.do !== 'retry') return expect.unreachable(step.do);
    await answer(exchange, step.lease, 200);
    clock.advance(5_000);
    const later = await served(manager);
    manager.reset('acme/main');
    const [attempt] = explained(manager, later).attempts;
    expect(attempt?.candidates[0]).toMatchObject({
      passedOver: 'key-resting',
      fact: { subject: 'acme/main', source: 'guessed', seen: 'here', status: 401, ageMs: 5_000 },
    });
    expect(explained(manager, await served(manager)).attempts[0]?.chosen).toBe('acme/main');
  });

  it('tells of keys that the request itself rules out', async () => {
    const { manager } = managed();
    const exchange = begin(manager, { unfit: new Set() });
    const first = await firstOf(exchange);
    const step = await answer(exchange, first, 403);
    if (step.do !== 'retry') return expect.unreachable(step.do);
    await answer(exchange, step.lease, 200);
    const [, second] = explained(manager, exchange.requestId).attempts;
    expect(told(second?.candidates)[0]).toEqual([
      'acme/main',
      'tried',
      'this request was refused with it before: restricted',
    ]);
    const none = begin(manager, { unfit: new Set(['acme']) });
    await none.first();
    const [refused] = explained(manager, none.requestId).attempts;
    expect(refused).not.toHaveProperty('chosen');
    expect(new Set(refused?.candidates.map(({ passedOver }) => passedOver))).toEqual(new Set(['unfit']));
  });

  it('tells that others are preferred after trouble', async () => {
    const { manager } = managed();
    const exchange = begin(manager);
    const first = await firstOf(exchange);
    const step = await exchange.afterError(first, 'ECONNRESET', 'unsent');
    first.end();
    if (step.do !== 'retry') return expect.unreachable(step.do);
    await answer(exchange, step.lease, 200);
    const [before, after] = explained(manager, exchange.requestId).attempts;
    expect(before?.outcome).toMatchObject({ kind: 'network', evidence: 'ECONNRESET' });
    expect(told(after?.candidates)[0]).toEqual([
      'acme/main',
      'spared',
      'the attempt before met trouble; others are preferred',
    ]);
  });

  it('tells of refusals, of keys that are disabled, and when one returns', async () => {
    const { manager, clock } = managed({
      keys: [CANARY, `${CANARY}-2`],
      provider: { retry: { maxWaitMs: 0 } },
    });
    manager.disable('acme/main');
    clock.advance(70);
    manager.report('acme/2', {
      kind: 'quota-exhausted',
      scope: 'key',
      executed: 'no',
      retryAt: clock.now() + 9_000,
    });
    const exchange = begin(manager);
    expect(await exchange.first()).toHaveProperty('status', 429);
    const { end, attempts } = explained(manager, exchange.requestId);
    expect(end).toBe('refused');
    expect(attempts[0]?.retryAt).toBeGreaterThanOrEqual(clock.now() + 9_000);
    expect(
      attempts[0]?.candidates.map(({ passedOver, fact }) => [passedOver, fact?.source, fact?.ageMs]),
    ).toEqual([
      ['disabled', 'person', 70],
      ['key-resting', 'stated', 0],
    ]);
  });

  it('tells of spent limits, counted or stated', async () => {
    const { manager, clock } = managed({
      keys: [CANARY, `${CANARY}-2`],
      provider: { limits: [{ requests: 1, per: 'hour' }] },
    });
    await served(manager);
    clock.advance(1);
    await served(manager);
    const exchange = begin(manager);
    await exchange.first();
    const [attempt] = explained(manager, exchange.requestId).attempts;
    expect(attempt?.candidates.map(({ passedOver, fact }) => [passedOver, fact?.source])).toEqual([
      ['no-permits', 'counted'],
      ['no-permits', 'counted'],
    ]);
  });

  it('tells of the slow start, and of the last resort', async () => {
    const { manager, clock } = managed({ keys: [CANARY] });
    const out = await Promise.all([1, 2, 3, 4].map(() => manager.acquire('acme', { timeoutMs: 0 })));
    const busy = begin(manager, {});
    const waiting = busy.first();
    for (const lease of out) {
      lease.report(SUCCESS);
      lease.end();
    }
    const lease = await waiting;
    if (!(lease instanceof Lease)) return expect.unreachable();
    await answer(busy, lease, 401);
    clock.advance(6_000);
    const exchange = begin(manager);
    const last = await firstOf(exchange);
    expect(explained(manager, exchange.requestId).attempts[0]?.candidates[0]).toMatchObject({
      chosen: true,
      because: 'every key is out, and this one only by a guess (rejected, until a time guessed)',
    });
    exchange.aborted(last);
    expect(explained(manager, exchange.requestId)).toMatchObject({ end: 'aborted' });
  });

  it('tells what a request had to wait for', async () => {
    const manager = acmeManager({ keys: [CANARY], provider: { retry: { maxWaitMs: 20_000 } } });
    const out = await Promise.all([1, 2, 3, 4].map(() => manager.acquire('acme', { timeoutMs: 0 })));
    const exchange = begin(manager);
    const waiting = exchange.first();
    expect(explained(manager, exchange.requestId).attempts[0]?.candidates[0]).toMatchObject({
      passedOver: 'slow-start',
      fact: { source: 'observed', subject: 'acme/main' },
    });
    for (const lease of out) {
      lease.report(SUCCESS);
      lease.end();
    }
    const lease = await waiting;
    if (!(lease instanceof Lease)) return expect.unreachable();
    await answer(exchange, lease, 200);
    const { attempts, waitedMs } = explained(manager, exchange.requestId);
    expect(attempts).toHaveLength(1);
    expect(waitedMs).toBe(attempts[0]?.waitedMs);
    expect(waitedMs).toBeGreaterThan(0);
  });

  it.each([
    ['round-robin', 'its turn in the rotation (weight 1)', 'usable, not its turn (weight 1)'],
    ['weighted', 'drawn by chance with weight 1', 'usable, not drawn (weight 1)'],
    [
      'least-used',
      'fewest requests for its weight (0 at weight 1)',
      'usable, used more for its weight (0 at weight 1)',
    ],
    [
      'lowest-latency',
      'the lower expected wait of two drawn by chance (not measured yet, 0 under way)',
      'usable, not drawn or slower (not measured yet, 0 under way)',
    ],
    [
      'most-remaining',
      'the largest share of its allowance left (unknown)',
      'usable, less of its allowance left (unknown)',
    ],
  ] as const)('speaks the words of %s', async (strategy, chosen, passed) => {
    const { manager } = managed({
      services: { data: { providers: ['acme'], strategy } },
      keys: [CANARY, `${CANARY}-2`],
    });
    const [attempt] = explained(manager, await served(manager, 'data')).attempts;
    expect(attempt?.strategy).toBe(strategy);
    expect(told(attempt?.candidates)).toEqual([
      ['acme/main', 'chosen', chosen],
      ['acme/2', 'not-preferred', passed],
    ]);
  });

  it('tells of a provider that does worse than the threshold', async () => {
    const { manager } = managed({
      keys: [CANARY],
      services: { data: { providers: ['acme', 'other'], failoverThreshold: 0.95 } },
      options: {
        env: { ACME_API_KEY: CANARY, OTHER_KEY: `${CANARY}-o` },
        config: {
          services: { data: { providers: ['acme', 'other'], failoverThreshold: 0.95 } },
          providers: {
            acme: {
              baseUrl: 'http://127.0.0.1:9',
              env: ['ACME_API_KEY'],
              auth: { in: 'header', name: 'x-api-key' },
            },
            other: {
              baseUrl: 'http://127.0.0.1:8',
              env: ['OTHER_KEY'],
              auth: { in: 'header', name: 'x-api-key' },
            },
          },
        },
      },
    });
    manager.report('acme/main', 'overloaded');
    const [attempt] = explained(manager, await served(manager, 'data')).attempts;
    expect(attempt).toMatchObject({ chosen: 'other/main', failoverThreshold: 0.95 });
    expect(attempt?.candidates[0]).toMatchObject({
      passedOver: 'unhealthy',
      fact: { subject: 'acme', source: 'counted' },
    });
    expect(attempt?.candidates[0]?.because).toMatch(/^its provider's health score 0\.\d\d is below 0\.95$/);
  });

  it('knows nothing of strangers', () => {
    const { manager } = managed();
    const exchange = begin(manager);
    expect(manager.why(exchange.requestId)).toBeUndefined();
    for (const id of ['', 'x-0-1', `${exchange.requestId}!`]) expect(manager.why(id)).toBeUndefined();
  });
});

describe('decisions', () => {
  it('are the latest, oldest first, of one service where asked', async () => {
    const { manager } = managed({ services: { data: { providers: ['acme'] } } });
    await served(manager);
    await served(manager, 'data');
    const last = await served(manager);
    expect(manager.decisions().map(({ id, service }) => [id, service])).toEqual([
      [1, 'acme'],
      [2, 'data'],
      [3, 'acme'],
    ]);
    expect(manager.decisions({ last: 1 }).map(({ requestId }) => requestId)).toEqual([last]);
    expect(manager.decisions({ service: 'data' }).map(({ id }) => id)).toEqual([2]);
  });

  it('are bounded, and say what was forgotten', async () => {
    const { manager } = managed({ options: { decisions: 3 } });
    const exchange = begin(manager);
    const step = await answer(exchange, await firstOf(exchange), 401);
    if (step.do !== 'retry') return expect.unreachable(step.do);
    await answer(exchange, step.lease, 200);
    await served(manager);
    await served(manager);
    expect(manager.decisions().map(({ id }) => id)).toEqual([2, 3, 4]);
    expect(explained(manager, exchange.requestId)).toMatchObject({ complete: false });
    const { forgotten, requests } = manager.exportDecisions();
    expect([forgotten, requests.map(({ attempts }) => attempts[0]?.id)]).toEqual([1, [2, 3, 4]]);
  });

  it('are not kept where nobody wants them', async () => {
    const { manager } = managed({ options: { decisions: 0 } });
    const requestId = await served(manager);
    await using lease = await manager.acquire('acme');
    expect(lease.decision).toBeUndefined();
    expect([manager.why(requestId), manager.decisions()]).toEqual([undefined, []]);
    expect(manager.exportDecisions().requests).toEqual([]);
  });

  it('know leases that the program holds itself, and calls of run', async () => {
    const { manager } = managed();
    const lease = await manager.acquire('acme');
    const [held] = manager.decisions();
    expect(held).toMatchObject({ chosen: 'acme/main' });
    expect(held).not.toHaveProperty('outcome');
    lease.cancel();
    expect(manager.decisions()[0]?.outcome?.kind).toBe(ABORTED.kind);
    await manager.run('acme', () => Promise.resolve('done'));
    const requestId = manager.decisions({ last: 1 })[0]?.requestId ?? '';
    expect(explained(manager, requestId)).toMatchObject({ end: 'answered' });
  });

  it('never make getApiKey remember anything', () => {
    const { manager } = managed();
    for (let count = 0; count < 5; count += 1) manager.getApiKey('acme');
    expect(manager.decisions()).toEqual([]);
  });

  it('hold no key', async () => {
    const { manager } = managed();
    const exchange = begin(manager);
    const step = await answer(exchange, await firstOf(exchange), 401);
    if (step.do === 'retry') await answer(exchange, step.lease, 200);
    const all = JSON.stringify([manager.decisions(), manager.exportDecisions(), manager.explain('acme')]);
    expect(all).toContain('acme/main');
    expect(all).not.toContain(CANARY);
  });
});

describe('an explanation of a service', () => {
  it('tells by what a rest is known', () => {
    const { manager: one } = managed({ keys: [CANARY] });
    one.report('acme/main', {
      kind: 'rejected',
      scope: 'key',
      executed: 'no',
      evidence: 'status 401',
      status: 401,
    });
    const [met] = one.explain('acme').candidates;
    expect(met?.fact).toMatchObject({ source: 'guessed', seen: 'here', evidence: 'status 401', status: 401 });
  });
});

describe('KEYMUX_DECISIONS', () => {
  function folder(): string {
    const path = mkdtempSync(join(tmpdir(), 'keymux-decisions-'));
    onTestFinished(() => rmSync(path, { recursive: true, force: true }));
    return path;
  }

  it('names a file that is written once, when the manager ends', async () => {
    const path = join(folder(), 'decisions.json');
    const env = { ACME_API_KEY: CANARY, KEYMUX_DECISIONS: path };
    const { manager } = managed({ options: { env } });
    const requestId = await served(manager);
    expect(existsSync(path)).toBe(false);
    await manager.shutdown();
    const record = JSON.parse(readFileSync(path, 'utf8')) as DecisionRecord;
    expect(record).toMatchObject({ format: 'keymux-decisions', version: 1, forgotten: 0 });
    expect(record.requests.map((request) => request.requestId)).toEqual([requestId]);
    expect(statSync(path).mode & 0o777).toBe(0o600);
  });

  it('names a folder in which each process has its file, and none is written of nothing', async () => {
    const path = `${join(folder(), 'new')}/`;
    const env = { ACME_API_KEY: CANARY, KEYMUX_DECISIONS: path };
    const idle = managed({ options: { env } }).manager;
    await idle.shutdown();
    expect(existsSync(path)).toBe(false);
    const { manager } = managed({ options: { env } });
    await served(manager);
    await manager.shutdown();
    expect(readdirSync(path)).toEqual([expect.stringMatching(/^decisions-\d+-\d+\.json$/)]);
  });

  it('harms nothing where it cannot be written', async () => {
    const env = { ACME_API_KEY: CANARY, KEYMUX_DECISIONS: join(folder(), 'missing', 'file.json') };
    const { manager } = managed({ options: { env } });
    await served(manager);
    const warned = new Promise<void>((resolve) => {
      const listen = ({ message }: Error): void => {
        if (!message.includes('could not write its decisions (KEYMUX_DECISIONS)')) return;
        process.off('warning', listen);
        resolve();
      };
      process.on('warning', listen);
    });
    await manager.shutdown();
    await warned;
  });
});
