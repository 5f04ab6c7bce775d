import { describe, expect, it } from 'vitest';
import type { Health } from '#keymux/core/health.js';
import { FRESH, KEY_POLICY, PROVIDER_POLICY, transition } from '#keymux/core/health.js';
import type { Outcome } from '#keymux/core/outcome.js';
import { ABORTED, BAD_REQUEST, SUCCESS } from '#keymux/core/outcome.js';
import type { Probed } from '#keymux/core/probe-verdict.js';
import { probeFindings } from '#keymux/core/probe-verdict.js';
import { DEFAULT_PROBE } from '#keymux/core/provider.js';
import type { ProbePolicy } from '#keymux/core/provider.js';
import { NOW, outcomeOf } from './health-arbitraries.js';

const policy: ProbePolicy = { ...DEFAULT_PROBE, path: '/ping', dailyBudget: 10 };
const MINUTE_MS = 60_000;

function resting(
  more: Partial<Extract<Health, { status: 'resting' }>> = {},
): Extract<Health, { status: 'resting' }> {
  const rest = { status: 'resting', version: 3, level: 1, reason: 'rejected', source: 'guessed' } as const;
  return { ...rest, until: NOW + 15 * MINUTE_MS, ...more };
}

const well: Probed = { key: FRESH, bucket: FRESH, provider: FRESH };

/** `who event` of each finding. */
function found(outcome: Outcome, probed: Partial<Probed> = {}, more: Partial<ProbePolicy> = {}): string[] {
  const findings = probeFindings(outcome, { ...well, ...probed }, { ...policy, ...more });
  return findings.map(({ who, event }) => {
    if (event.type !== 'outcome') return `${who} ${event.type}`;
    return `${who} ${event.outcome.kind}`;
  });
}

describe('what a probe tells', () => {
  it.each<[string, string[], Outcome, Partial<Probed>, Partial<ProbePolicy>?]>([
    ['that the key is well', ['provider success', 'key success'], SUCCESS, { key: resting() }],
    ['that the account is well', ['provider success', 'bucket success'], SUCCESS, { bucket: resting() }],
    [
      'that the provider is up, without a key',
      ['provider success'],
      SUCCESS,
      { key: resting() },
      { authenticated: false },
    ],
    [
      'nothing of a spent allowance, where it is free',
      ['provider success'],
      SUCCESS,
      { key: resting({ reason: 'quota-exhausted' }) },
    ],
    [
      'that an allowance is back, where it spent some',
      ['provider success', 'bucket success'],
      SUCCESS,
      { bucket: resting({ reason: 'rate-limited' }) },
      { costsQuota: 'yes' },
    ],
    ['that somebody answers', ['provider success'], BAD_REQUEST, { key: resting() }],
    ['nothing, when it was broken off', [], ABORTED, { key: resting() }],
    ['that the key is still refused', ['key relapse'], outcomeOf('rejected'), { key: resting() }],
    [
      'that the key is refused on that route too',
      ['key relapse'],
      outcomeOf('restricted'),
      { key: resting() },
    ],
    ['that a key is refused which was well', ['key rejected'], outcomeOf('rejected'), {}],
    ['nothing of a key that is well, by one route', [], outcomeOf('restricted'), {}],
    [
      'that a key is refused whose allowance was spent',
      ['key relapse'],
      outcomeOf('rejected'),
      { key: resting({ reason: 'quota-exhausted' }) },
    ],
    [
      'that an account is refused',
      ['key relapse', 'bucket rejected'],
      { ...outcomeOf('rejected'), scope: 'bucket' },
      { key: resting() },
    ],
    [
      'that an account is still refused',
      ['key rejected', 'bucket relapse'],
      outcomeOf('rejected'),
      { bucket: resting() },
    ],
    [
      'nothing of a key that it did not carry',
      [],
      outcomeOf('rejected'),
      { key: resting() },
      { authenticated: false },
    ],
    ['that a limit is spent', ['provider success', 'key rate-limited'], outcomeOf('rate-limited'), {}],
    [
      'that the limit of an account is spent',
      ['provider success', 'bucket quota-exhausted'],
      { ...outcomeOf('quota-exhausted'), scope: 'bucket' },
      { key: resting() },
    ],
    [
      'that a limit is still spent',
      ['provider success', 'key relapse'],
      outcomeOf('quota-exhausted'),
      { key: resting({ reason: 'quota-exhausted' }) },
    ],
    [
      'nothing of a refused key, when it met a limit',
      ['provider success'],
      outcomeOf('rate-limited'),
      { key: resting() },
    ],
    ['that the provider is down', ['provider network'], outcomeOf('network'), { key: resting() }],
    [
      'that the provider is still down',
      ['provider relapse'],
      outcomeOf('overloaded'),
      { provider: resting({ reason: 'network' }) },
    ],
    [
      'that the way out is blocked',
      ['provider restricted'],
      { ...outcomeOf('restricted'), scope: 'egress' },
      { key: resting() },
    ],
    [
      'nothing, when the probe alone came too early',
      [],
      { ...outcomeOf('overloaded'), scope: 'request' },
      {},
    ],
  ])('%s: %j', (_, expected, outcome, probed, more) => {
    expect(found(outcome, probed, more)).toEqual(expected);
  });

  it('speaks of what stood when it went out', () => {
    const [, finding] = probeFindings(SUCCESS, { ...well, key: resting({ version: 7 }) }, policy);
    expect(finding?.event).toEqual({ type: 'outcome', outcome: SUCCESS, seenVersion: 7 });
  });
});

describe('a relapse', () => {
  const relapse = (
    health: Health,
    outcome: Outcome,
    seenVersion = health.version,
    healthPolicy = KEY_POLICY,
  ) => transition(health, { type: 'relapse', outcome, seenVersion }, healthPolicy, NOW, () => 0);

  it('begins a new rest, twice as long, though the old one is not over', () => {
    expect(relapse(resting(), outcomeOf('rejected'))).toEqual(
      resting({ version: 4, level: 2, until: NOW + 30 * MINUTE_MS }),
    );
  });

  it('never brings the end forward', () => {
    const until = NOW + 100 * MINUTE_MS;
    expect(relapse(resting({ until }), outcomeOf('rejected'))).toEqual(
      resting({ version: 4, level: 2, until }),
    );
    const stated = outcomeOf('rejected', NOW + MINUTE_MS);
    expect(relapse(resting({ until }), stated)).toEqual(resting({ version: 4, until }));
  });

  it('takes the deadline of the provider, where it states a later one', () => {
    const stated = outcomeOf('rate-limited', NOW + 60 * MINUTE_MS);
    const after = {
      version: 4,
      reason: 'rate-limited',
      source: 'stated',
      until: NOW + 60 * MINUTE_MS,
    } as const;
    expect(relapse(resting({ reason: 'quota-exhausted' }), stated)).toEqual(resting(after));
  });

  it('leaves a stated deadline as it is, until it is over', () => {
    const health = resting({ source: 'stated', level: 0 });
    expect(relapse(health, outcomeOf('rejected'))).toBe(health);
    const over = resting({ source: 'stated', level: 0, until: NOW - 1 });
    expect(relapse(over, outcomeOf('rejected'))).toEqual(
      resting({ version: 4, until: NOW + 15 * MINUTE_MS }),
    );
  });

  it.each([
    ['of what is well', FRESH, outcomeOf('rejected')],
    ['that is no refusal', resting(), SUCCESS],
    ['by the fault of the request', resting(), BAD_REQUEST],
    ['that was broken off', resting(), ABORTED],
    ['of a kind that keys do not rest for', resting(), outcomeOf('network')],
  ])('%s is none', (_, health, outcome) => {
    expect(relapse(health, outcome)).toBe(health);
  });

  it('is late where the subject has moved on', () => {
    const health = resting();
    expect(relapse(health, outcomeOf('rejected'), health.version - 1)).toBe(health);
  });

  it('keeps a circuit open', () => {
    const health = resting({ reason: 'network', level: 1, until: NOW - 1 });
    expect(relapse(health, outcomeOf('network'), health.version, PROVIDER_POLICY)).toEqual(
      resting({ reason: 'network', version: 4, level: 2, until: NOW + 2_000 }),
    );
  });
});
