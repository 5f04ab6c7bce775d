import { ABORTED, SUCCESS } from '#keymux/core/outcome.js';
import type { Outcome } from '#keymux/core/outcome.js';
import { Lease } from '#keymux/manager/lease.js';
import type { Grant } from '#keymux/manager/lease.js';
import type { Permit } from '#keymux/manager/permits.js';
import { describe, expect, it } from 'vitest';
import { acmeManager } from './acme.js';

interface LeasedOptions {
  /** When its permit runs out; at 100 it is granted. */
  readonly sendBefore?: number;
  readonly renew?: NonNullable<Grant['renew']>;
}

function leased({ sendBefore, renew }: LeasedOptions = {}) {
  const log: string[] = [];
  const outcomes: Outcome[] = [];
  const permit: Permit = {
    sent: (at) => log.push(`sent ${at}`),
    settle: (at) => log.push(`settle ${at}`),
    giveBack: () => log.push('giveBack'),
    ...(sendBefore === undefined ? {} : { sendBefore }),
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
    ...(renew === undefined ? {} : { renew }),
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

describe('a lease whose permit runs out before its request is sent', () => {
  const late = (renew?: NonNullable<Grant['renew']>) => {
    const made = leased({ sendBefore: 150, ...(renew === undefined ? {} : { renew }) });
    made.pass(50);
    return made;
  };
  const permitOf = (log: string[]): Permit => ({
    sent: (at) => log.push(`sent ${at} with the new one`),
    settle: (at) => log.push(`settle ${at} with the new one`),
    giveBack: () => log.push('giveBack of the new one'),
  });
  const runOut = expect.objectContaining({
    code: 'KEYMUX_LEASE_ENDED',
    message: expect.stringContaining('has run out before its request was sent'),
  });

  it('is good until then, and afterwards where the request has left or is answered', () => {
    const inTime = leased({ sendBefore: 150 });
    inTime.pass(49);
    expect(inTime.lease.apiKey).toBe('key-one');
    const left = late();
    left.lease.sent();
    expect(left.lease.apiKey).toBe('key-one');
    const answered = late();
    answered.lease.report(SUCCESS);
    expect(answered.lease.apiKey).toBe('key-one');
  });

  it('goes on with another permit where there is one at once', () => {
    const news: string[] = [];
    const { lease, log } = late((now) => {
      news.push(`asked at ${now}`);
      return permitOf(news);
    });
    expect(lease.apiKey).toBe('key-one');
    lease.sent();
    lease.report(SUCCESS);
    expect(log[0]).toBe('giveBack');
    expect(news).toEqual(['asked at 150', 'sent 150 with the new one', 'settle 150 with the new one']);
  });

  it.each([
    ['nobody can be asked', undefined],
    ['there is none', () => ({ retryAt: 200 })],
    ['there is none, as turns out later', () => Promise.resolve({ retryAt: 200 })],
    ['the store fails', () => Promise.reject(new Error('the store is away'))],
  ] as const)('gives no key where %s, and gives its permit back once', async (_, renew) => {
    const { lease, log } = late(renew);
    expect(() => lease.apiKey).toThrow(runOut);
    expect(() => lease.apiKey).toThrow(runOut);
    lease.cancel();
    await Promise.resolve();
    expect(log).toEqual(['giveBack', 'aborted after 0', 'end']);
  });

  it('keeps no permit that comes too late', async () => {
    const news: string[] = [];
    const coming = Promise.resolve(permitOf(news));
    const { lease } = late(() => coming);
    expect(() => lease.apiKey).toThrow(runOut);
    await coming;
    expect(news).toEqual(['giveBack of the new one']);
  });
});
