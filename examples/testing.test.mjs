import assert from 'node:assert/strict';
import { afterEach, beforeEach, describe, test } from 'node:test';
import { createKeyManager, createMemoryStore } from 'keymux';
import {
  assertAttempts,
  assertNoHarm,
  createTestManager,
  faultyStore,
  isolateTests,
  ok,
  providerContract,
  refuse,
  replayIncident,
  startSimulator,
} from 'keymux/testing';

isolateTests({ beforeEach, afterEach });

const KEYS = { 'key-one-4711': { name: 'bad', always: refuse(401) }, 'key-two-4712': { name: 'good' } };

test('the agent survives a revoked key', async () => {
  const acme = await createTestManager({ providers: { acme: { keys: KEYS } } });
  const response = await acme.manager.fetch('acme', '/quote');
  assert.equal(response.status, 200);
  await response.text();
  assertAttempts(acme.simulator('acme'), ['bad', { key: 'good', status: 200 }]);
  assertNoHarm(acme.simulator('acme'));
});

test('a program that knows nothing of keymux is answered with the good key', async () => {
  const acme = await createTestManager({ providers: { acme: { keys: KEYS } }, intercept: true });
  const headers = { authorization: `Bearer ${process.env.ACME_API_KEY}` };
  const response = await fetch(`${acme.simulator('acme').origin}/quote`, { headers });
  assert.equal(await response.text().then(() => response.status), 200);
  assertAttempts(acme.simulator('acme'), ['bad', 'good']);
});

test('a spent day is over when the clock says so', async () => {
  const acme = await createTestManager({
    providers: { acme: { keys: { 'key-one-4711': {} } } },
    config: { providers: { acme: { limits: [{ requests: 1, per: 'day' }] } } },
  });
  await (await acme.manager.acquire('acme')).cancel();
  acme.clock.advance(2 * 86_400_000);
  assert.equal(acme.manager.getApiKey('acme'), 'key-one-4711');
});

test('a store that fails stops no request', async () => {
  const store = faultyStore(createMemoryStore({ now: Date.now, onNotice() {} }), {
    operation: 'lease',
    from: 'onwards',
    shared: true,
  });
  const acme = await createTestManager({
    providers: { acme: { keys: { 'key-one-4711': {} } } },
    config: { providers: { acme: { limits: [{ requests: 5, per: 'minute' }] } } },
    store,
    clock: 'real',
  });
  assert.equal((await acme.manager.fetch('acme', '/quote')).status, 200);
  assert.deepEqual(store.failed, ['lease']);
});

test('an incident happens again', async () => {
  const first = {
    'key-one-4711': { name: 'one', first: [ok(), refuse(429)] },
    'key-two-4712': { name: 'two' },
  };
  const acme = await createTestManager({ providers: { acme: { keys: first } } });
  for (const path of ['/a', '/b']) await (await acme.manager.fetch('acme', path)).text();
  const { requests, differences } = await replayIncident(acme.manager.exportDecisions());
  assert.equal(requests.length, 2);
  assert.deepEqual(differences, []);
});

test('a simulator also serves a manager that is made by hand', async (context) => {
  const provider = await startSimulator({ keys: { 'key-one-4711': { name: 'one' } } });
  context.after(() => provider.close());
  const manager = createKeyManager({
    env: { ACME_API_KEY: 'key-one-4711' },
    config: {
      store: { type: 'memory' },
      providers: { acme: { baseUrl: provider.origin, env: ['ACME_API_KEY'] } },
    },
  });
  context.after(() => manager.shutdown());
  assert.equal((await manager.fetch('acme', '/quote')).status, 200);
});

providerContract({ describe, it: test }, 'acme', {
  config: { baseUrl: 'https://api.acme.example', errors: [{ status: 420, outcome: 'rate-limited' }] },
  answers: [{ status: 420, headers: { 'retry-after': '7' }, outcome: 'rate-limited', waitMs: 7_000 }],
});
