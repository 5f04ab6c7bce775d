import { describe, expect, it } from 'vitest';
import { SILENCE_MS } from '#keymux/core/silence.js';
import type { Arrival, Call, Evidence, Life, News } from './evidence.js';
import { DELAY_BOUND_MS, DELAY_MARGIN_MS, judge } from './judge.js';
import type { Plan } from './plan.js';
import { makePlan } from './plan.js';

const LIMIT = { requests: 5, perMs: 1_000 };
const SATURATION = { from: 20_000, to: 24_000 };
const STORM = { from: 10_000, to: 15_000 };

function plan(rest: Partial<Plan> = {}): Plan {
  return {
    ...makePlan(1, 'agents', { demand: 'modest' }),
    keys: [
      { name: 'main', limits: [LIMIT] },
      { name: '2', limits: [LIMIT] },
    ],
    ...rest,
  };
}

function arrival(at: number, rest: Partial<Arrival> = {}): Arrival {
  const standard = {
    id: `a.1-${at}`,
    key: 'main',
    at,
    endedAt: at + 20,
    method: 'GET',
    did: 'ok',
    status: 200,
  };
  return { ...standard, executed: true, order: undefined, overshoot: false, ...rest };
}

function call(startedAt: number, rest: Partial<Call> = {}): Call {
  const standard = { agent: 'a', method: 'GET', startedAt, endedAt: startedAt + 25, status: 200 };
  return { id: `a.1-${startedAt}`, ...standard, ...rest };
}

function life(rest: Partial<Life> = {}): Life {
  const standard = { agent: 'a', incarnation: 1, startedAt: 0, wasKilled: false, began: 3, ended: 3 };
  return { ...standard, exitCode: 0, complaint: '', ...rest };
}

/** As many as allowed, of both keys, all through the saturation. */
function saturated(): Arrival[] {
  return ['main', '2'].flatMap((key) =>
    Array.from({ length: 20 }, (_, n) => arrival(SATURATION.from + 200 * n, { key })),
  );
}

function evidence(rest: Partial<Evidence> = {}): Evidence {
  return {
    plan: plan(),
    arrivals: saturated(),
    calls: [call(1_000)],
    badSpans: [],
    faults: [],
    lives: [life()],
    news: [],
    calm: { from: 0, to: 10_000 },
    storm: STORM,
    saturation: SATURATION,
    recoveredAfterMs: 100,
    notRecovered: ['b'],
    ...rest,
  };
}

function problems(rest: Partial<Evidence>): readonly string[] {
  return judge(evidence(rest)).problems;
}

describe('judge', () => {
  it('has nothing to say against a good run', () => {
    expect(problems({})).toEqual([]);
  });

  it('condemns a run in which nothing was done', () => {
    expect(problems({ calls: [] })).toEqual(['no agent sent a request']);
  });

  describe('of limits', () => {
    const burst = (count: number, from = 11_000): Arrival[] =>
      Array.from({ length: count }, (_, n) => arrival(from + n));

    it('accepts the limit itself in a window, and again when the window is over', () => {
      expect(problems({ arrivals: [...saturated(), ...burst(5), ...burst(5, 12_005)] })).toEqual([]);
    });

    it('condemns one request more, wherever the window begins', () => {
      const arrivals = [...saturated(), ...burst(3, 11_700), ...burst(3, 12_300)];
      expect(problems({ arrivals })).toEqual([
        'key main was used 6 times in a window that allows 5 in 1000 ms: 1 above its bound',
      ]);
    });

    it('allows the fair share of a host that is cut off, then, and no more', () => {
      const hosts = ['h1', 'h2', 'h3'];
      const agents = hosts.map((host) => ({
        name: host,
        kind: 'fetch' as const,
        host,
        everyMs: 1,
        skewMs: 0,
      }));
      const faults = [{ kind: 'partition' as const, on: 'h1', from: 11_000, to: 13_000 }];
      const cut = {
        plan: plan({ hosts, agents }),
        faults,
        news: [{ agent: 'h1', at: 11_100, name: 'degraded' }],
      };
      // A third of five, rounded up.
      expect(problems({ ...cut, arrivals: [...saturated(), ...burst(7)] })).toEqual([]);
      expect(problems({ ...cut, arrivals: [...saturated(), ...burst(8)] })).toHaveLength(1);
      expect(problems({ ...cut, arrivals: [...saturated(), ...burst(6, 9_000)] })).toHaveLength(1);
    });

    it('allows a share for a process that starts while nobody can tell it what was spent', () => {
      const faults = [{ kind: 'redis-frozen' as const, from: 11_000, to: 12_000 }];
      const lives = [life(), life({ incarnation: 2, startedAt: 11_001 })];
      const arrivals = [...saturated(), ...burst(6)];
      expect(problems({ faults, lives, arrivals })).toEqual([]);
      expect(problems({ faults, arrivals })).toHaveLength(1);
    });

    it('allows the share of an agent that took the store for lost, until it had it back', () => {
      const name = plan().agents[0]?.name ?? '';
      const told = (word: string, at: number): News => ({ agent: name, at, name: word });
      const news = [told('degraded', 11_000), told('restored', 11_400)];
      // One fifth of five.
      expect(problems({ news, arrivals: [...saturated(), ...burst(6)] })).toEqual([]);
      expect(problems({ news, arrivals: [...saturated(), ...burst(7)] })).toHaveLength(1);
      expect(problems({ news, arrivals: [...saturated(), ...burst(6, 12_500)] })).toHaveLength(1);
      expect(judge(evidence({ news })).figures.unfoundedLosses).toBe(1);
    });

    it('allows the share of an agent that stood still while the store lost what it knew', () => {
      const on = plan().agents[0]?.name ?? '';
      const stopped = { kind: 'agent-stopped' as const, on, from: 11_000, to: 12_000 };
      const flushed = { kind: 'redis-flushed' as const, from: 11_200, to: 11_200 };
      const arrivals = [...saturated(), ...burst(6)];
      expect(problems({ faults: [stopped, flushed], arrivals })).toEqual([]);
      expect(problems({ faults: [stopped], arrivals })).toHaveLength(1);
      expect(problems({ faults: [flushed], arrivals })).toHaveLength(1);
    });

    it('allows nothing where the whole fleet has lost the store: the shares add up to the limit', () => {
      const faults = [{ kind: 'redis-frozen' as const, from: 11_000, to: 13_000 }];
      const news = plan().agents.flatMap(({ name: agent }) => [
        { agent, at: 11_050, name: 'degraded' },
        { agent, at: 13_400, name: 'restored' },
      ]);
      expect(problems({ faults, news, arrivals: [...saturated(), ...burst(5)] })).toEqual([]);
      expect(problems({ faults, news, arrivals: [...saturated(), ...burst(6)] })).toHaveLength(1);
    });

    it('condemns a key of which too little can be had after the storm', () => {
      const arrivals = saturated().filter(({ key }, index) => key === 'main' || index % 3 === 0);
      expect(problems({ arrivals })).toEqual(['after the storm key 2 gave only 2 of 5 permits in 1000 ms']);
    });

    it('expects nothing of a key that was revoked', () => {
      const arrivals = saturated().filter(({ key }) => key === 'main');
      const badSpans = [{ key: '2', from: 11_000, to: Number.POSITIVE_INFINITY }];
      expect(problems({ arrivals, badSpans })).toEqual([]);
    });
  });

  describe('of requests', () => {
    const failed = call(11_000, { endedAt: 12_000, status: 429 });

    it('condemns a request that was lost while a key was usable', () => {
      expect(problems({ calls: [failed] })).toEqual([
        'request a.1-11000 was lost (status 429, after 1000 ms), though a key was usable',
      ]);
      const { status: _, ...unanswered } = failed;
      expect(problems({ calls: [{ ...unanswered, error: 'socket hang up' }] })).toEqual([
        'request a.1-11000 was lost (socket hang up, after 1000 ms), though a key was usable',
      ]);
    });

    it('accepts a refusal while every key was in trouble or at its limit', () => {
      const badSpans = [{ key: '2', from: 10_000, to: 17_000 }];
      const full = [10_900, 11_901, 12_902, 13_903, 14_904, 15_905, 16_906].flatMap((at) =>
        Array.from({ length: 5 }, () => arrival(at)),
      );
      const verdict = judge(evidence({ calls: [failed], badSpans, arrivals: [...saturated(), ...full] }));
      expect(verdict.problems).toEqual([]);
      expect(verdict.figures).toMatchObject({ lost: 0, refusedRightly: 1 });
    });

    it('accepts a refusal while the whole provider is down', () => {
      expect(problems({ calls: [failed], badSpans: [{ key: '', from: 10_000, to: 13_000 }] })).toEqual([]);
    });

    it('wants an agent told of an order that may have been carried out', () => {
      const order = { ...failed, method: 'POST', status: 503 };
      const ambiguous = arrival(11_010, { id: failed.id, method: 'POST', status: 503, executed: false });
      expect(problems({ calls: [order], arrivals: [...saturated(), ambiguous] })).toEqual([]);
      expect(problems({ calls: [order] })).toHaveLength(1);
    });

    it('condemns an order that was carried out twice', () => {
      const twice = [arrival(11_000, { order: 'o-1' }), arrival(11_100, { order: 'o-1' })];
      expect(problems({ arrivals: [...saturated(), ...twice] })).toEqual(['order o-1 was carried out twice']);
      const once = [arrival(11_000, { order: 'o-1', executed: false }), arrival(11_100, { order: 'o-1' })];
      expect(problems({ arrivals: [...saturated(), ...once] })).toEqual([]);
    });

    it('condemns an agent that hangs, fails or does not end', () => {
      expect(problems({ lives: [life({ ended: 2 })] })).toEqual([
        'agent a (process 1) began 3 requests and saw 2 of them end',
      ]);
      expect(problems({ lives: [life({ exitCode: 1, complaint: 'TypeError' })] })).toEqual([
        'agent a (process 1) ended with exit code 1: TypeError',
      ]);
      const { began: _, ...mute } = life({ exitCode: null });
      expect(problems({ lives: [mute] })).toEqual([
        'agent a (process 1) did not come to its end (exit code null)',
      ]);
      expect(problems({ lives: [{ ...mute, wasKilled: true }] })).toEqual([]);
    });
  });

  describe('of delays', () => {
    const delayed = (delayMs: number): Partial<Evidence> => ({
      calls: [call(1_000), call(11_000, { endedAt: 11_020 + delayMs })],
      arrivals: [...saturated(), arrival(1_000), arrival(11_000)],
    });
    const allowedMs = 5 + DELAY_BOUND_MS + DELAY_MARGIN_MS;

    it('condemns requests that took longer in the storm than in the calm', () => {
      expect(problems(delayed(allowedMs))).toEqual([]);
      expect(problems(delayed(allowedMs + 1))).toHaveLength(1);
    });

    it('does not hold a standstill of the agent itself against the store', () => {
      const faults = [{ kind: 'agent-stopped' as const, on: 'a', from: 11_010, to: 12_000 }];
      expect(problems({ ...delayed(2_000), faults })).toEqual([]);
    });

    it('does not hold an outage of the provider against the store', () => {
      const badSpans = [{ key: '', from: 11_010, to: 12_000 }];
      expect(problems({ ...delayed(2_000), badSpans })).toEqual([]);
    });

    it('allows the careful half second of a silence, and no more', () => {
      const faults = [{ kind: 'redis-frozen' as const, from: 10_900, to: 13_000 }];
      const silent = { faults, news: [{ agent: 'a', at: 11_400, name: 'degraded' }] };
      const longestMs = allowedMs + SILENCE_MS;
      expect(problems({ ...delayed(longestMs), ...silent })).toEqual([]);
      expect(problems({ ...delayed(longestMs + 1), ...silent })).toEqual([
        expect.stringContaining('while it was open whether the store is lost'),
      ]);
    });

    it('does not look at them where requests wait for permits', () => {
      expect(problems({ ...delayed(2_000), plan: plan({ demand: 'greedy' }) })).toEqual([]);
    });
  });

  describe('of the storm', () => {
    const faults = [{ kind: 'redis-frozen' as const, from: 11_000, to: 13_000 }];

    it('condemns a fault that nobody felt', () => {
      expect(problems({ faults })).toEqual(['nobody noticed the fault redis-frozen']);
      expect(problems({ faults, news: [{ agent: 'a', at: 11_100, name: 'degraded' }] })).toEqual([]);
    });

    it('condemns agents that do not get their store back', () => {
      const complaint = ['after the last fault not everybody had the store back within 10000 ms: b'];
      expect(problems({ recoveredAfterMs: undefined })).toEqual(complaint);
      expect(problems({ recoveredAfterMs: 10_001 })).toEqual(complaint);
    });
  });
});
