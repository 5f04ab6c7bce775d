import { defineProvider } from '#keymux/config/provider-definition.js';
import { DEFAULT_PROBE } from '#keymux/core/provider.js';
import { Secret } from '#keymux/core/secret.js';
import { Member } from '#keymux/manager/members.js';
import { sendProbe } from '#keymux/manager/probe.js';
import { StateTable } from '#keymux/state/table.js';
import { startSimulator } from '#keymux/testing/simulator.js';
import { describe, expect, it } from 'vitest';

const auth = { in: 'header', name: 'x-api-key' } as const;
const policy = { ...DEFAULT_PROBE, path: '/ping', dailyBudget: 1 };
const never = new AbortController().signal;

function memberAt(baseUrl: string): Member {
  const secret = new Secret('key-one');
  const credential = {
    id: 'main',
    provider: 'acme',
    secret,
    priority: 0,
    weight: 1,
    bucket: 'main',
    origin: 'test',
  };
  return new Member(
    credential,
    defineProvider('acme', undefined, { baseUrl, auth }),
    StateTable.create(),
    () => new Uint8Array(32),
  );
}

describe('a probe on its own', () => {
  it('gives up on a provider that does not answer in time, and blames the provider', async () => {
    await using simulator = await startSimulator({ auth, keys: { 'key-one': {} } });
    simulator.outage('silence');
    const options = { fetch, now: Date.now, signal: never, deadlineMs: 1_000 };
    expect(await sendProbe(memberAt(simulator.origin), policy, options)).toEqual({
      kind: 'network',
      scope: 'provider',
      evidence: 'no answer within 1000 ms',
      executed: 'maybe',
    });
    expect(simulator.requests).toHaveLength(1);
  });

  it('reads no more of an answer than it needs', async () => {
    let sent = 0;
    const endless = new ReadableStream<Uint8Array>({
      pull: (controller) => {
        sent += 1;
        controller.enqueue(new Uint8Array(1_024));
      },
    });
    const answer = () => Promise.resolve(new Response(endless));
    const options = { fetch: answer, now: Date.now, signal: never };
    expect(await sendProbe(memberAt('http://127.0.0.1:9'), policy, options)).toMatchObject({
      kind: 'success',
    });
    expect(sent).toBeLessThan(10);
  });

  it('tells nothing where the trouble is its own', async () => {
    const fails = () => Promise.reject(new TypeError('a fault of the client'));
    const options = { fetch: fails, now: Date.now, signal: never };
    expect(await sendProbe(memberAt('http://127.0.0.1:9'), policy, options)).toMatchObject({
      kind: 'aborted',
    });
  });
});
