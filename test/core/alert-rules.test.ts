import { describe, expect, it } from 'vitest';
import { durationText, measure } from '#keymux/core/alert-measures.js';
import type { AlertObservation } from '#keymux/core/alert-measures.js';
import { NO_ALERTS, evaluateAlerts } from '#keymux/core/alert-rules.js';
import type { AlertKind, AlertNotice, AlertRule } from '#keymux/core/alert-rules.js';

const NOTHING: AlertObservation = {
  at: 0,
  services: [],
  providers: [],
  keys: [],
  allowances: [],
  failovers: [],
  exhausted: [],
  usage: [],
  anomalies: [],
};

function rule(when: AlertKind, threshold: number, more: Partial<AlertRule> = {}): AlertRule {
  return { name: when, when, threshold, perMs: 60_000, forMs: 0, everyMs: 1_000, ...more };
}

/** What each measurement says: subject, verdict and value. */
function measured(stated: AlertRule, observation: Partial<AlertObservation>) {
  return measure(stated, { ...NOTHING, ...observation }).map(({ subject, verdict, value }) => [
    subject,
    verdict,
    value,
  ]);
}

/** Follows the health score of `acme` over time: what is told at each moment. */
function followed(stated: AlertRule, scores: readonly (readonly [at: number, score?: number])[]) {
  let state = NO_ALERTS;
  return scores.flatMap(([at, healthScore]) => {
    const providers = healthScore === undefined ? [] : [{ id: 'acme', healthScore, isOut: false }];
    const result = evaluateAlerts([stated], state, { ...NOTHING, at, providers });
    state = result.state;
    return result.notices.map((notice) => textOf(notice));
  });
}

function textOf({ state, isReminder, since, at }: AlertNotice): string {
  return `${at} ${isReminder ? 'still ' : ''}${state} since ${since}`;
}

const GOOD = 1;
const BAD = 0.2;

describe('an alert', () => {
  const sick = rule('health', 0.5);

  it('is raised once, and taken back once', () => {
    expect(
      followed(sick, [
        [0, GOOD],
        [10, BAD],
        [20, BAD],
        [30, GOOD],
        [40, GOOD],
      ]),
    ).toEqual(['10 raised since 10', '30 recovered since 10']);
  });

  it('is told again after its time while it lasts', () => {
    expect(
      followed(sick, [
        [0, BAD],
        [999, BAD],
        [1_000, BAD],
        [1_999, BAD],
        [2_000, BAD],
        [2_001, GOOD],
      ]),
    ).toEqual([
      '0 raised since 0',
      '1000 still raised since 0',
      '2000 still raised since 0',
      '2001 recovered since 0',
    ]);
  });

  it('that flutters is not told each time, but when it lasts after all', () => {
    expect(
      followed(sick, [
        [0, BAD],
        [100, GOOD],
        [200, BAD],
        [300, GOOD],
        [400, BAD],
        [1_000, BAD],
        [1_100, GOOD],
      ]),
    ).toEqual([
      '0 raised since 0',
      '100 recovered since 0',
      '1000 raised since 400',
      '1100 recovered since 400',
    ]);
  });

  it('must last for its time, both to be raised and to be taken back', () => {
    const patient = { ...sick, forMs: 100 };
    expect(
      followed(patient, [
        [0, BAD],
        [99, GOOD],
        [100, BAD],
        [199, BAD],
        [200, BAD],
        [250, GOOD],
        [349, GOOD],
        [350, BAD],
        [400, GOOD],
        [500, GOOD],
      ]),
    ).toEqual(['200 raised since 100', '500 recovered since 100']);
  });

  it('is over where its subject is gone', () => {
    expect(followed(sick, [[0, BAD], [10], [20]])).toEqual(['0 raised since 0', '10 recovered since 0']);
  });

  it('is forgotten with its rule', () => {
    const at = (moment: number) => ({
      ...NOTHING,
      at: moment,
      providers: [{ id: 'acme', healthScore: BAD, isOut: false }],
    });
    const first = evaluateAlerts([sick], NO_ALERTS, at(0));
    const without = evaluateAlerts([], first.state, at(1));
    expect(without).toEqual({ state: new Map(), notices: [] });
  });

  it('is forgotten once nothing is to be remembered', () => {
    let state = NO_ALERTS;
    const sizes = [BAD, GOOD, GOOD].map((healthScore, index) => {
      const providers = [{ id: 'acme', healthScore, isOut: false }];
      ({ state } = evaluateAlerts([sick], state, { ...NOTHING, at: index * 600, providers }));
      return state.size;
    });
    expect(sizes).toEqual([1, 1, 0]);
  });

  it('stands on its own for each rule and each subject', () => {
    const providers = ['acme', 'other'].map((id) => ({ id, healthScore: BAD, isOut: false }));
    const strict = rule('health', 0.9, { name: 'strict', providers: ['other'] });
    const { notices } = evaluateAlerts([sick, strict], NO_ALERTS, { ...NOTHING, providers });
    expect(notices.map((notice) => `${notice.rule.name} ${notice.subject} ${notice.threshold}`)).toEqual([
      'health acme 0.5',
      'health other 0.5',
      'strict other 0.9',
    ]);
  });

  it('stands while its subject proves nothing', () => {
    const keys = (state: 'rejected' | 'returning' | 'usable') => [
      { id: 'acme/main', provider: 'acme', state },
    ];
    let state = NO_ALERTS;
    const told = (['returning', 'rejected', 'returning', 'usable'] as const).flatMap((each, at) => {
      const result = evaluateAlerts([rule('rejected', 0)], state, { ...NOTHING, at, keys: keys(each) });
      state = result.state;
      return result.notices.map((notice) => `${textOf(notice)}: ${notice.message}`);
    });
    expect(told).toEqual([
      '1 raised since 1: acme refuses the key acme/main itself: it is invalid, expired or revoked.',
      '3 recovered since 1: acme does not refuse the key acme/main any more, or it was taken out of use.',
    ]);
  });
});

describe('a rule', () => {
  const services = [
    { name: 'quotes', keys: ['acme/main', 'acme/2', 'other/main'], isPart: false },
    { name: 'acme', keys: ['acme/main', 'acme/2'], isPart: true },
  ];

  it('counts failovers of each service within its time', () => {
    const failovers = [
      { service: 'quotes', at: 0 },
      { service: 'quotes', at: 40_000 },
      { service: 'quotes', at: 60_000 },
      { service: 'acme', at: 60_000 },
    ];
    const seen = { at: 60_000, services, failovers };
    expect(measured(rule('failover', 1), seen)).toEqual([
      ['quotes', 'bad', 2],
      ['acme', 'well', 1],
    ]);
    expect(measured(rule('failover', 2, { services: ['quotes'] }), seen)).toEqual([['quotes', 'well', 2]]);
  });

  it('sees a service that refuses', () => {
    const exhausted = [{ service: 'quotes', at: 5 }];
    expect(measured(rule('exhausted', 0), { at: 10, services, exhausted })).toEqual([['quotes', 'bad', 1]]);
    expect(measured(rule('exhausted', 0), { at: 60_005, services, exhausted })).toEqual([
      ['quotes', 'well', 0],
    ]);
  });

  it('measures each window of each bucket', () => {
    const of = { provider: 'acme', keys: ['acme/main'] };
    const allowances = [
      { ...of, bucket: 'acme/main', window: '10 per minute', limit: 10, left: 2 },
      { ...of, bucket: 'acme/main', window: '100 per day', limit: 100, left: 19 },
      {
        provider: 'other',
        keys: ['other/main'],
        bucket: 'other/main',
        window: '0 per day',
        limit: 0,
        left: 0,
      },
    ];
    expect(measured(rule('quota', 0.8), { allowances })).toEqual([
      ['acme/main (10 per minute)', 'well', 0.8],
      ['acme/main (100 per day)', 'bad', 0.81],
      ['other/main (0 per day)', 'bad', 1],
    ]);
    const [message] = measure(rule('quota', 0.8), { ...NOTHING, allowances }).map((each) => each.message);
    expect(message).toBe('acme/main has spent 80 % of its limit (10 per minute): 2 of 10 left.');
    expect(measured(rule('quota', 0.8, { providers: ['other'] }), { allowances })).toHaveLength(1);
    expect(measured(rule('quota', 0.8, { keys: ['acme/main'] }), { allowances })).toHaveLength(2);
  });

  it('sees several providers fail at once', () => {
    const providers = [
      { id: 'acme', healthScore: 1, isOut: true },
      { id: 'other', healthScore: 0.4, isOut: false },
      { id: 'third', healthScore: 1, isOut: false },
    ];
    expect(measured(rule('providers-failing', 1), { providers })).toEqual([['providers', 'bad', 2]]);
    expect(measured(rule('providers-failing', 2), { providers })).toEqual([['providers', 'well', 2]]);
    const some = rule('providers-failing', 1, { providers: ['other', 'third'] });
    expect(measured(some, { providers })).toEqual([['providers', 'well', 1]]);
    const message = measure(rule('providers-failing', 1), { ...NOTHING, providers })[0]!.message;
    expect(message).toBe('2 of 3 providers fail at once: acme, other.');
    expect(measure(rule('providers-failing', 1), NOTHING)[0]!.message).toBe('0 of 0 providers fail at once.');
  });

  it('looks at the keys and providers that it names', () => {
    const keys = ['acme/main', 'acme/2', 'other/main'].map((id) => ({
      id,
      provider: id.split('/')[0]!,
      state: 'rejected' as const,
    }));
    expect(measured(rule('rejected', 0, { providers: ['other'] }), { keys })).toEqual([
      ['other/main', 'bad', 1],
    ]);
    expect(measured(rule('rejected', 0, { keys: ['acme/2'] }), { keys })).toEqual([['acme/2', 'bad', 1]]);
  });

  it('counts the keys that are left', () => {
    const keys = (['out', 'usable', 'returning'] as const).map((state, index) => ({
      id: ['acme/main', 'acme/2', 'other/main'][index]!,
      provider: 'acme',
      state,
    }));
    expect(measured(rule('keys-left', 2), { services, keys })).toEqual([['quotes', 'well', 2]]);
    expect(measured(rule('keys-left', 3), { services, keys })).toEqual([['quotes', 'bad', 2]]);
    expect(measured(rule('keys-left', 2, { services: ['acme'] }), { services, keys })).toEqual([
      ['acme', 'bad', 1],
    ]);
  });

  it('sees that the store is lost', () => {
    expect(measured(rule('degraded', 0), {})).toEqual([['store', 'well', 0]]);
    expect(measured(rule('degraded', 0), { storeTrouble: 'no.' })).toEqual([['store', 'bad', 1]]);
  });

  it('judges usage by what is usual, of services or of the keys that it names', () => {
    const usage = (['quotes', 'acme', 'acme/main'] as const).map((subject) => ({
      subject,
      of: subject === 'acme/main' ? ('key' as const) : ('service' as const),
      perMs: 60_000,
      value: 301,
      usual: subject === 'acme' ? undefined : 100,
    }));
    const unusual = rule('unusual-usage', 3);
    expect(measured(unusual, { services, usage })).toEqual([['quotes', 'bad', 301]]);
    expect(measured({ ...unusual, threshold: 4 }, { services, usage })).toEqual([['quotes', 'well', 301]]);
    expect(measured({ ...unusual, services: ['acme'] }, { services, usage })).toEqual([
      ['acme', 'unknown', 301],
    ]);
    expect(measured({ ...unusual, keys: ['acme/main'] }, { services, usage })).toEqual([
      ['acme/main', 'bad', 301],
    ]);
    expect(measured({ ...unusual, perMs: 1_000 }, { services, usage })).toEqual([]);
  });
});

describe('durationText', () => {
  it.each([
    [250, '250 ms'],
    [1_500, '1500 ms'],
    [1_000, '1 second'],
    [90_000, '90 seconds'],
    [300_000, '5 minutes'],
    [3_600_000, '1 hour'],
    [172_800_000, '2 days'],
  ])('tells %s ms as %s', (durationMs, text) => {
    expect(durationText(durationMs)).toBe(text);
  });
});
