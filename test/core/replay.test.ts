import type {
  Decision,
  DecisionCandidate,
  DecisionRecord,
  RequestExplanation,
} from '#keymux/core/decision.js';
import type { OutcomeKind } from '#keymux/core/outcome.js';
import { replay } from '#keymux/core/replay.js';
import type { PolicyChange } from '#keymux/core/replay.js';
import type { StrategyName } from '#keymux/core/select.js';
import { PROVIDER_STEP } from '#keymux/core/select.js';
import { describe, expect, it } from 'vitest';

const KEYS = ['a/1', 'a/2', 'b/1'];

interface Attempt {
  readonly chosen?: string;
  readonly outcome?: OutcomeKind;
  /** Keys that rest. */
  readonly out?: readonly string[];
  readonly uses?: number;
  readonly remaining?: number;
  readonly healthScores?: Readonly<Record<string, number>>;
}

let ids = 0;

function candidateOf(
  key: string,
  { chosen, out = [], uses = 0, remaining, healthScores }: Attempt,
): DecisionCandidate {
  const [provider = ''] = key.split('/');
  const priority = (provider === 'b' ? PROVIDER_STEP : 0) + Number(key.at(-1));
  const base = {
    key,
    provider,
    because: '',
    figures: {
      priority,
      weight: 1,
      uses: key === chosen ? uses : 0,
      inFlight: 0,
      latencyMs: 0,
      ...(remaining === undefined ? {} : { remaining }),
      ...(healthScores === undefined ? {} : { healthScore: healthScores[provider] ?? 1 }),
    },
  };
  if (key === chosen) return { ...base, chosen: true };
  return { ...base, chosen: false, passedOver: out.includes(key) ? 'key-resting' : 'not-preferred' };
}

function requestAt(
  at: number,
  attempts: readonly Attempt[],
  strategy: StrategyName = 'priority',
): RequestExplanation {
  const requestId = `r${at}`;
  return {
    requestId,
    service: 'data',
    at,
    waitedMs: 0,
    complete: true,
    attempts: attempts.map((attempt, index): Decision => {
      ids += 1;
      const { chosen, outcome } = attempt;
      return {
        id: ids,
        requestId,
        service: 'data',
        strategy,
        failoverThreshold: 0,
        attempt: index + 1,
        at,
        waitedMs: 0,
        ...(chosen === undefined ? {} : { chosen }),
        candidates: KEYS.map((key) => candidateOf(key, attempt)),
        ...(outcome === undefined ? {} : { outcome: { kind: outcome, latencyMs: 5 } }),
      };
    }),
  };
}

function recordOf(requests: readonly RequestExplanation[]): DecisionRecord {
  return { format: 'keymux-decisions', version: 1, at: 0, forgotten: 0, maxAttempts: { data: 4 }, requests };
}

function changing(change: Partial<PolicyChange> = {}): PolicyChange {
  return { services: new Map(), keys: new Map(), maxAttempts: new Map(), ...change };
}

const toProvider = (...providers: string[]): PolicyChange =>
  changing({ services: new Map([['data', { providers }]]) });

function byKey(report: ReturnType<typeof replay>): Record<string, [number, number]> {
  return Object.fromEntries(report.keys.map(({ key, recorded, replayed }) => [key, [recorded, replayed]]));
}

const good = (key: string): Attempt => ({ chosen: key, outcome: 'success' });
const never = (): number => expect.unreachable('nothing is drawn by chance here');

describe('a replay', () => {
  const badDay = recordOf([
    requestAt(1_000, [
      { chosen: 'a/1', outcome: 'overloaded' },
      { chosen: 'b/1', outcome: 'success' },
    ]),
    requestAt(2_000, [
      { chosen: 'a/1', outcome: 'overloaded' },
      { chosen: 'b/1', outcome: 'success' },
    ]),
    requestAt(3_000, [good('b/1')]),
  ]);

  it('of the same policy changes nothing', () => {
    expect(replay(badDay, changing(), never)).toMatchObject({
      requests: 3,
      redirected: 0,
      unknown: 0,
      failedAttempts: { recorded: 2, replayed: 2, saved: 0, added: 0 },
      answered: { recorded: 3, replayed: 3, gained: 0, lost: 0 },
      spanMs: 2_000,
    });
  });

  it('tells the attempts on failing keys that another order of providers saves', () => {
    const report = replay(badDay, toProvider('b', 'a'), never);
    expect(report).toMatchObject({
      redirected: 2,
      unknown: 0,
      failedAttempts: { recorded: 2, replayed: 0, saved: 2, added: 0 },
    });
    expect(byKey(report)).toEqual({ 'a/1': [2, 0], 'b/1': [3, 3] });
  });

  it('tells the attempts that another policy adds, and goes on where the request would have', () => {
    const afterA1: Attempt = { ...good('a/2'), out: ['a/1'] };
    const report = replay(
      recordOf([
        requestAt(1_000, [{ chosen: 'a/1', outcome: 'rejected' }, afterA1]),
        requestAt(1_500, [good('a/2')]),
        requestAt(2_000, [{ chosen: 'a/1', outcome: 'rejected' }, afterA1]),
      ]),
      changing({ keys: new Map([['a/1', { priority: 0 }]]) }),
      never,
    );
    expect(report).toMatchObject({
      redirected: 1,
      failedAttempts: { recorded: 2, replayed: 3, saved: 0, added: 1 },
      answered: { recorded: 3, replayed: 3, gained: 0, lost: 0 },
    });
  });

  it('says that it does not know where the record tells nothing of a key', () => {
    const report = replay(recordOf([requestAt(1_000, [good('a/1')])]), toProvider('b'), never);
    expect(report).toMatchObject({ redirected: 1, unknown: 1, answered: { recorded: 0, replayed: 0 } });
    expect(byKey(report)).toEqual({ 'a/1': [1, 0], 'b/1': [0, 1] });
  });

  it('says that it does not know where attempts before and after disagree, or lie far away', () => {
    const contradicting = recordOf([
      requestAt(1_000, [good('b/1')]),
      requestAt(2_000, [good('a/1')]),
      requestAt(3_000, [{ chosen: 'b/1', outcome: 'rejected' }]),
    ]);
    expect(replay(contradicting, toProvider('b'), never).unknown).toBe(1);
    const far = recordOf([requestAt(1_000, [good('b/1')]), requestAt(100_000, [good('a/1')])]);
    expect(replay(far, toProvider('b'), never).unknown).toBe(1);
    const nearer = recordOf([
      requestAt(1_000, [{ chosen: 'b/1', outcome: 'rejected' }]),
      requestAt(2_000, [good('a/1')]),
      requestAt(2_100, [{ chosen: 'b/1', outcome: 'rate-limited' }]),
    ]);
    expect(replay(nearer, toProvider('b'), never)).toMatchObject({ unknown: 0, answered: { lost: 1 } });
  });

  it('does not repeat after trouble where the recorded request was not repeated', () => {
    const record = recordOf([
      requestAt(1_000, [{ chosen: 'b/1', outcome: 'network' }]),
      requestAt(1_100, [good('a/1')]),
    ]);
    expect(replay(record, toProvider('b', 'a'), never)).toMatchObject({ redirected: 1, unknown: 1 });
  });

  it('leaves keys that rested out, and gives up where none is left', () => {
    const record = recordOf([
      requestAt(1_000, [{ chosen: 'a/1', outcome: 'success', out: ['b/1'] }]),
      requestAt(2_000, [{ out: KEYS }]),
      requestAt(3_000, [{ chosen: 'a/1' }]),
    ]);
    expect(replay(record, toProvider('b'), never)).toMatchObject({
      answered: { recorded: 1, replayed: 0, gained: 0, lost: 1 },
      unknown: 1,
    });
  });

  it('takes turns as the strategy does, over all requests', () => {
    const record = recordOf(
      [1, 2, 3, 4, 5, 6].map((n) => requestAt(n * 1_000, [good(KEYS[n % 3] as string)])),
    );
    const change = changing({ services: new Map([['data', { strategy: 'round-robin' }]]) });
    expect(byKey(replay(record, change, never))).toEqual({ 'a/1': [2, 2], 'a/2': [2, 2], 'b/1': [2, 2] });
  });

  it('counts its own choices as uses, and heeds weights', () => {
    const record = recordOf(
      [1, 2, 3, 4].map((n) =>
        requestAt(n * 1_000, [{ ...good('a/1'), uses: n - 1, out: ['b/1'] }], 'least-used'),
      ),
    );
    const change = changing({ keys: new Map([['a/2', { weight: 100 }]]) });
    const { keys, redirected } = replay(record, change, never);
    expect(redirected).toBe(3);
    expect(keys).toContainEqual({ key: 'a/2', recorded: 0, replayed: 3 });
  });

  it('gives up after fewer attempts, and does not know what more would have brought', () => {
    expect(replay(badDay, changing({ maxAttempts: new Map([['data', 1]]) }), never)).toMatchObject({
      answered: { recorded: 3, replayed: 1, lost: 2 },
    });
    const spent = recordOf([
      requestAt(1_000, [
        { chosen: 'a/1', outcome: 'rejected' },
        { chosen: 'a/2', outcome: 'rejected' },
        { chosen: 'a/1', outcome: 'rejected' },
        { chosen: 'b/1', outcome: 'rejected' },
      ]),
    ]);
    expect(replay(spent, changing(), never)).toMatchObject({
      unknown: 0,
      answered: { recorded: 0, replayed: 0 },
    });
    expect(replay(spent, changing({ maxAttempts: new Map([['data', 5]]) }), never).unknown).toBe(1);
  });

  it('prefers healthy providers where a threshold says so', () => {
    const attempt: Attempt = { chosen: 'a/1', outcome: 'success', healthScores: { a: 0.5, b: 1 } };
    const record = recordOf([requestAt(1_000, [attempt]), requestAt(1_001, [{ ...attempt, chosen: 'b/1' }])]);
    const change = changing({ services: new Map([['data', { failoverThreshold: 0.9 }]]) });
    const report = replay(record, change, never);
    expect(byKey(report)['b/1']).toEqual([1, 2]);
    expect(report.limits.join()).not.toContain('Health scores');
    expect(replay(badDay, change, never).limits.join()).toContain('Health scores were not noted');
  });

  it('says what it cannot know under a strategy', () => {
    const under = (strategy: StrategyName, record = badDay): string =>
      replay(record, changing({ services: new Map([['data', { strategy }]]) }), () => 0).limits.join('\n');
    expect(under('most-remaining')).toContain('all count as half spent');
    const known = recordOf([requestAt(1_000, [{ ...good('a/1'), remaining: 0.2 }])]);
    expect(under('most-remaining', known)).not.toContain('half spent');
    expect(under('weighted')).toContain('another --seed draws otherwise');
    expect(under('round-robin')).not.toContain('--seed');
  });

  it('leaves out requests whose beginning is not known', () => {
    const { attempts, ...rest } = requestAt(1_000, [{ chosen: 'a/1', outcome: 'rejected' }, good('a/2')]);
    const record = recordOf([{ ...rest, complete: false, attempts: attempts.slice(1) }]);
    expect(replay(record, changing(), never)).toMatchObject({ requests: 0, spanMs: 0 });
  });
});
