import { ABORTED, SUCCESS } from '#keymux/core/outcome.js';
import type { Outcome } from '#keymux/core/outcome.js';
import { Lease } from '#keymux/manager/lease.js';
import type { Permit } from '#keymux/manager/permits.js';
import { describe, expect, it } from 'vitest';
import { acmeManager } from './acme.js';

function leased() {
  const log: string[] = [];
  const outcomes: Outcome[] = [];
  const permit: Permit = {
    sent: (at) => log.push(`sent ${at}`),
    settle: (at) => log.push(`settle ${at}`),
    giveBack: () => log.push('giveBack'),
  };
  let now = 100;
  const owner = {
    now: () => now,
    recordOutcome: (_: Lease, outcome: Outcome, latencyMs: number) => {
      outcomes.push(outcome);
      log.push(`${outcome.kind} after ${latencyMs}`);
    },
    recordEnd: () => log.push('end'),
  };
  const { member } = acmeManager().poolOf('acme').contenders[0]!;
  const lease = new Lease(owner, {
    service: 'acme',
    member,
    permit,
    seen: { key: 0, bucket: 0, provider: 0 },
    startedAt: now,
    granted: undefined,
  });
  return { lease, log, outcomes, pass: (ms: number) => (now += ms) };
}

const network = (executed: Outcome['executed']): Outcome => ({
  kind: 'network',
  scope: 'provider',
  executed,
});

describe('a lease', () => {
  it('settles its permit when it is answered, and reports once', () => {
    const { lease, log, pass } = leased();
    lease.sent();
    pass(30);
    expect(lease.reported).toBe(false);
    lease.report(SUCCESS);
    expect(lease.reported).toBe(true);
    lease.report(network('maybe'));
    lease.sent();
    lease.cancel();
    lease.end();
    expect(log).toEqual(['sent 100', 'settle 130', 'success after 30', 'end']);
  });

  it('gives its permit back where no connection stood, unless something was sent before', () => {
    const unsent = leased();
    unsent.lease.report(network('no'));
    expect(unsent.log).toEqual(['giveBack', 'network after 0']);
    const sent = leased();
    sent.lease.sent();
    sent.lease.report(network('no'));
    expect(sent.log).toEqual(['sent 100', 'settle 100', 'network after 0']);
  });

  it.each([network('maybe'), { kind: 'rate-limited', scope: 'key', executed: 'no' } as const, ABORTED])(
    'settles its permit after $kind, since the provider may have counted the request',
    (outcome) => {
      const { lease, log } = leased();
      lease.report(outcome);
      expect(log[0]).toBe('settle 100');
    },
  );

  it('ends as aborted, and charged, where nobody reported', async () => {
    const expected = ['settle 100', 'aborted after 0', 'end'];
    for (const leave of [
      async (lease: Lease) => lease.end(),
      async (lease: Lease) => lease[Symbol.dispose](),
      (lease: Lease) => lease[Symbol.asyncDispose](),
    ]) {
      const { lease, log } = leased();
      await leave(lease);
      await leave(lease);
      expect(log).toEqual(expected);
    }
    const { lease, log } = leased();
    {
      using held = lease;
      expect(held.keyId).toBe('acme/main');
    }
    expect(log).toEqual(expected);
  });

  it('gives its permit back when it is cancelled, blames nobody, and ends', () => {
    const { lease, log, outcomes } = leased();
    lease.cancel();
    lease.cancel();
    lease.report(SUCCESS);
    expect(log).toEqual(['giveBack', 'aborted after 0', 'end']);
    expect(outcomes).toEqual([ABORTED]);
    expect(() => lease.apiKey).toThrow(expect.objectContaining({ code: 'KEYMUX_LEASE_ENDED' }));
  });

  it('may be reported before it ends, as a stream is', () => {
    const { lease, log } = leased();
    lease.report(SUCCESS);
    expect(lease.apiKey).toBe('key-one');
    lease.end();
    expect(log.at(-1)).toBe('end');
  });
});
