import { describe, expect, it } from 'vitest';
import { KEY_POLICY, PROVIDER_POLICY } from '#keymux/core/health.js';
import type { OutcomeKind } from '#keymux/core/outcome.js';
import {
  ABORTED,
  BAD_REQUEST,
  DEFAULT_SCOPE,
  REFUSED_BEFORE_PROCESSING,
  SUCCESS,
} from '#keymux/core/outcome.js';
import { OUTCOME_KINDS, REST_REASONS } from './health-arbitraries.js';

const kindsIn = (table: object): string[] => Object.keys(table).sort();

describe('DEFAULT_SCOPE', () => {
  it('knows whom each kind blames', () => {
    expect(DEFAULT_SCOPE).toEqual({
      success: 'request',
      'rate-limited': 'key',
      'quota-exhausted': 'key',
      rejected: 'key',
      restricted: 'route',
      overloaded: 'provider',
      network: 'provider',
      'bad-request': 'request',
      aborted: 'request',
    });
    expect(kindsIn(DEFAULT_SCOPE)).toEqual([...OUTCOME_KINDS].sort());
  });
});

describe('the policies', () => {
  it('have a rule for every kind that blames their subject', () => {
    const blaming = (scope: string): OutcomeKind[] =>
      REST_REASONS.filter((reason) => DEFAULT_SCOPE[reason] === scope);
    expect(kindsIn(KEY_POLICY.cooldowns)).toEqual(expect.arrayContaining(blaming('key')));
    expect(kindsIn(PROVIDER_POLICY.cooldowns)).toEqual(expect.arrayContaining(blaming('provider')));
  });

  it('let every reason to rest apply to somebody', () => {
    const known = new Set([...kindsIn(KEY_POLICY.cooldowns), ...kindsIn(PROVIDER_POLICY.cooldowns)]);
    expect([...known].sort()).toEqual([...REST_REASONS].sort());
  });
});

describe('REFUSED_BEFORE_PROCESSING', () => {
  it('holds refusals alone, for these prove that nothing was done', () => {
    expect([...REFUSED_BEFORE_PROCESSING].sort()).toEqual([
      'quota-exhausted',
      'rate-limited',
      'rejected',
      'restricted',
    ]);
  });
});

describe('the ready outcomes', () => {
  it('blame nobody', () => {
    for (const outcome of [SUCCESS, ABORTED, BAD_REQUEST]) {
      expect(outcome.scope).toBe(DEFAULT_SCOPE[outcome.kind]);
    }
  });

  it('say whether the request was carried out', () => {
    expect([SUCCESS.executed, ABORTED.executed, BAD_REQUEST.executed]).toEqual(['yes', 'maybe', 'yes']);
  });
});
