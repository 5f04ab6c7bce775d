import { describe, expect, it } from 'vitest';
import type { DecisionRecord } from '#keymux/core/decision.js';
import { replayIncident } from '#keymux/testing/incident-replay.js';
import { readIncident } from '#keymux/testing/incident.js';
import { ok, refuse, reset } from '#keymux/testing/script.js';
import { createTestManager } from '#keymux/testing/test-manager.js';

const ROUTES = {
  services: { quotes: { providers: ['acme', 'other'] } },
  providers: { acme: { retry: { maxAttempts: 5 } } },
} as const;

/** What a program lived through: limits, a revoked key, a broken connection, another provider, and a way back. */
async function record(): Promise<DecisionRecord> {
  await using test = await createTestManager({
    providers: {
      acme: {
        keys: {
          'key-one-4711': { name: 'one', first: [ok(), refuse(429, { retryAfterSeconds: 30 })] },
          'key-two-4712': { name: 'two', first: [refuse(401)] },
          'key-off-4713': { name: 'off' },
        },
      },
      other: { keys: { 'key-three-4714': { name: 'main', first: [reset(), ok()] } } },
    },
    config: ROUTES,
  });
  const { manager, clock } = test;
  manager.disable('acme/off');
  for (const afterMs of [0, 1_000, 5_000, 60_000]) {
    clock.advance(afterMs);
    const response = await manager.fetch('quotes', '/').catch(() => undefined);
    await response?.arrayBuffer();
  }
  return manager.exportDecisions();
}

const recording = record();

describe('replayIncident', () => {
  it('lets an incident happen again as it was recorded', async () => {
    const { requests, differences } = await replayIncident(await recording);
    expect(differences).toEqual([]);
    expect(requests).toHaveLength(4);
    expect(requests[1]?.replayed.map(({ key, outcome }) => `${key} ${outcome}`).slice(0, 3)).toEqual([
      'acme/one rate-limited',
      'acme/two rejected',
      'other/main network',
    ]);
    expect(requests.map(({ attempts }) => attempts.length)).toEqual(
      requests.map(({ replayed }) => replayed.length),
    );
  });

  it('shows what would have been otherwise under another policy', async () => {
    const config = { services: { quotes: { providers: ['other', 'acme'] } } } as const;
    const { requests, differences } = await replayIncident(await recording, { config, seed: 2 });
    expect(differences.length).toBeGreaterThan(0);
    expect(requests[0]).toMatchObject({
      same: false,
      attempts: [{ key: 'acme/one', outcome: 'success' }],
      replayed: [{ key: 'other/main', outcome: 'network' }, {}],
    });
  });

  it('reads JSON, lines of JSON, and what the manager tells of single requests', async () => {
    const whole = await recording;
    const { requests } = whole;
    const expected = readIncident(whole);
    expect(readIncident(JSON.stringify(whole))).toEqual(expected);
    const lines = requests.map((request) => JSON.stringify(request)).join('\n');
    expect(readIncident(`${lines}\n`).requests).toEqual(expected.requests);
    expect(readIncident(requests).requests).toEqual(expected.requests);
    expect(readIncident(requests[0] as (typeof requests)[number]).requests).toEqual(
      expected.requests.slice(0, 1),
    );
    for (const text of ['', '{"half": ', '{"format":"keymux-decisions"}', '17', 'null'])
      expect(() => readIncident(text), text).toThrow(/recording/);
  });

  it('waits as the recorded requests did, without taking the time', async () => {
    await using test = await createTestManager({
      providers: {
        acme: { keys: { 'key-one-4711': { name: 'one', first: [refuse(429, { retryAfterSeconds: 60 })] } } },
      },
      config: { providers: { acme: { retry: { maxWaitMs: 120_000, deadlineMs: 120_000 } } } },
    });
    const answer = test.manager.fetch('acme', '/');
    const { room } = test.manager.poolOf('acme');
    while (room.size === 0) await new Promise(setImmediate);
    test.clock.advance(90_000);
    expect((await answer).status).toBe(200);
    const config = { providers: { acme: { retry: { maxWaitMs: 120_000, deadlineMs: 120_000 } } } };
    const { requests } = await replayIncident(test.manager.exportDecisions(), { config });
    expect(requests[0]).toMatchObject({
      same: true,
      replayed: [{ outcome: 'rate-limited' }, { outcome: 'success' }],
    });
  });

  it('begins with what was known before the recording began, and leaves out what it does not know whole', async () => {
    await using test = await createTestManager({
      providers: {
        acme: {
          keys: {
            'key-one-4711': { name: 'one', first: [refuse(429, { retryAfterSeconds: 30 })] },
            'key-two-4712': { name: 'two', always: ok({ body: 'x' }) },
          },
        },
      },
    });
    for (let request = 0; request < 3; request += 1)
      await (await test.manager.fetch('acme', '/')).arrayBuffer();
    const whole = test.manager.exportDecisions();
    const late = { ...whole, requests: whole.requests.slice(1) };
    expect(readIncident(late).before).toMatchObject([{ key: 'acme/one', disabled: false }]);
    expect((await replayIncident(late)).differences).toEqual([]);
    const [first] = whole.requests;
    const torn = { ...whole, requests: [{ ...first, attempts: first?.attempts.slice(1) }] } as DecisionRecord;
    expect(readIncident(torn)).toMatchObject({ requests: [], startAt: whole.at });
  });

  it('takes what was left open for good, and sends as it is told', async () => {
    const whole = await recording;
    const [first] = whole.requests;
    const attempt = first?.attempts[0];
    const open = (outcome: object | undefined) =>
      ({ ...whole, requests: [{ ...first, attempts: [{ ...attempt, outcome }] }] }) as DecisionRecord;
    const paths: string[] = [];
    for (const outcome of [
      undefined,
      { kind: 'aborted', latencyMs: 1 },
      { kind: 'success', status: 204, latencyMs: 1 },
      { kind: 'rate-limited', latencyMs: 1 },
    ]) {
      const { requests } = await replayIncident(open(outcome), {
        send: async (manager, request) => {
          paths.push(`/again/${request.service}`);
          await (await manager.fetch(request.service, '/again')).arrayBuffer();
        },
      });
      expect(requests[0]?.replayed[0]?.outcome).toBe(
        outcome?.kind === 'rate-limited' ? 'rate-limited' : 'success',
      );
    }
    expect(paths).toHaveLength(4);
  });
});
