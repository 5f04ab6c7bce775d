import { AssertionError } from 'node:assert';
import { describe, expect, it, onTestFinished } from 'vitest';
import { assertAttempts, assertNoHarm } from '#keymux/testing/assertions.js';
import { ok, refuse, reset, silence } from '#keymux/testing/script.js';
import { startSimulator } from '#keymux/testing/simulator.js';
import type { SimulatorOptions } from '#keymux/testing/simulator-api.js';
import { bearer, send } from './http-client.js';

async function started(options: SimulatorOptions) {
  const simulator = await startSimulator(options);
  onTestFinished(() => simulator.close());
  const ask = async (key: string, path = '/quote', more = {}) => {
    await send(simulator.origin + path, { headers: bearer(key), ...more }).catch(() => undefined);
  };
  return { simulator, ask };
}

function failureOf(assertion: () => void): AssertionError {
  try {
    assertion();
  } catch (error) {
    if (error instanceof AssertionError) return error;
    throw error;
  }
  return expect.unreachable('nothing was thrown');
}

const KEYS = { 'k-bad-4711': { name: 'bad', always: refuse(401) }, 'k-good-4712': { name: 'good' } };

describe('assertAttempts', () => {
  it('is content with exactly the attempts that happened', async () => {
    const { simulator, ask } = await started({ keys: KEYS });
    assertAttempts(simulator, []);
    await ask('k-bad-4711');
    await ask('k-good-4712', '/quote?symbol=IBM');
    await ask('unknown-4713');
    assertAttempts(simulator, ['bad', 'good', { key: undefined }]);
    assertAttempts(simulator, [
      { status: 401, did: 'refuse rejected' },
      { key: 'good', method: 'GET', path: /symbol=IBM/g },
      { path: '/quote' },
    ]);
    assertAttempts(simulator, ['good'], { where: ({ status }) => status === 200 });
  });

  it('shows what happened, in order, and where it differs', async () => {
    const { simulator, ask } = await started({ keys: KEYS });
    await ask('k-bad-4711');
    await ask('k-bad-4711');
    const error = failureOf(() => assertAttempts(simulator, ['bad', 'good', { status: 200 }]));
    expect(error.message.replaceAll(/\+\d+ ms/g, '+n ms')).toBe(
      [
        'The attempts are not the expected ones, from number 2 on.',
        'expected: bad -> good -> any key (200)',
        'happened: bad -> bad',
        '  1. +n ms  bad  GET /quote  401  refuse rejected',
        '  2. +n ms  bad  GET /quote  401  refuse rejected  <- expected good',
        '  3. did not happen  <- expected any key (200)',
      ].join('\n'),
    );
    expect(error).toMatchObject({ actual: ['bad', 'bad'], expected: ['bad', 'good', undefined] });
    expect(error.message).not.toContain('k-bad-4711');
    expect(error.stack).not.toContain('assertions.ts');
  });

  it('says of each attempt all that is not as expected', async () => {
    const { simulator, ask } = await started({
      keys: { ...KEYS, 'k-lost-4714': { name: 'lost', always: reset() } },
    });
    await ask('k-bad-4711');
    await ask('k-lost-4714');
    const message = (...expected: Parameters<typeof assertAttempts>[1]) =>
      failureOf(() => assertAttempts(simulator, expected)).message;
    const wrong = { key: 'good', status: 200, did: 'ok', method: 'POST', path: '/other' };
    expect(message(wrong)).toContain('<- expected good, status 200, ok, POST, path /other\n');
    expect(message(wrong)).toMatch(/lost {2}GET \/quote {2}no answer {2}reset .*<- expected nothing$/);
    expect(message({ key: undefined, status: undefined }, 'lost')).toContain(
      '<- expected (no known key), no answer',
    );
    expect(message()).toContain('expected: none');
    const { simulator: idle } = await started({});
    expect(failureOf(() => assertAttempts(idle, ['good'])).message).toContain('happened: none');
  });

  it('puts the attempts at several simulators in one order', async () => {
    const one = await started({ keys: KEYS });
    const two = await started({ keys: { 'k-two-4715': { name: 'main' } } });
    await two.ask('k-two-4715');
    await one.ask('k-bad-4711');
    await two.ask('k-two-4715');
    await one.ask('nobody-4716');
    const both = { one: one.simulator, two: two.simulator };
    assertAttempts(both, ['two/main', 'one/bad', 'two/main', { key: undefined }]);
    expect(failureOf(() => assertAttempts(both, ['one/bad'])).message).toContain(
      'happened: two/main -> one/bad -> two/main -> (no known key)',
    );
  });

  it('shows requests that are under way, and those that the client left', async () => {
    const { simulator, ask } = await started({ keys: { 'k-one-4711': { name: 'one', always: silence() } } });
    const left = new AbortController();
    const asking = ask('k-one-4711', '/slow', { signal: left.signal });
    while (simulator.requests[0]?.did !== 'silence') await new Promise(setImmediate);
    left.abort();
    await asking;
    await simulator.waitFor(({ requests }) => requests[0]?.aborted === true);
    expect(failureOf(() => assertAttempts(simulator, [])).message).toContain(
      'no answer  silence, aborted by the client',
    );
  });
});

describe('assertNoHarm', () => {
  it('lists limits that were exceeded and orders that were carried out twice', async () => {
    const { simulator, ask } = await started({
      keys: { 'k-one-4711': { name: 'one', limits: [{ requests: 2, perMs: 60_000 }], always: ok() } },
    });
    assertNoHarm(simulator);
    for (const n of [1, 2, 3]) {
      const headers = { ...bearer('k-one-4711'), 'content-type': 'application/json' };
      await ask('', '/order', { method: 'POST', body: '{"id":"order-7"}', headers, n });
    }
    const { message } = failureOf(() => assertNoHarm({ acme: simulator }));
    expect(message).toContain(
      'acme/key one: 3 requests within 60000 ms, where 2 are allowed (POST /order  429',
    );
    expect(message).toContain(
      'acme/order order-7 was carried out 2 times (POST /order  200  ok; POST /order',
    );
  });
});
