import { requestLines } from '#keymux/cli/why-view.js';
import type { Decision, DecisionCandidate, RequestExplanation } from '#keymux/core/decision.js';
import pc from 'picocolors';
import { describe, expect, it } from 'vitest';

const plain = pc.createColors(false);
const AT = Date.UTC(2026, 0, 2, 12);
const figures = { priority: 0, weight: 1, uses: 0, inFlight: 0, latencyMs: 0 };

function candidate(key: string, more: Partial<DecisionCandidate> = {}): DecisionCandidate {
  return { key, provider: 'acme', chosen: false, because: 'its reason', figures, ...more };
}

function decision(more: Partial<Decision> = {}): Decision {
  return {
    id: 1,
    requestId: 'r-1',
    service: 'data',
    strategy: 'priority',
    failoverThreshold: 0,
    attempt: 1,
    at: AT,
    waitedMs: 0,
    candidates: [],
    ...more,
  };
}

function linesOf(attempts: readonly Decision[], more: Partial<RequestExplanation> = {}): string[] {
  const request = {
    requestId: 'r-1',
    service: 'data',
    at: AT,
    waitedMs: 0,
    complete: true,
    attempts,
    ...more,
  };
  return requestLines(request, plain, 200);
}

describe('the story of a request', () => {
  it('tells how it ended, and after how long', () => {
    const [answered] = linesOf([decision({ chosen: 'acme/1' })], { end: 'answered', durationMs: 3_000 });
    expect(answered).toMatch(/^r-1 {2}data {2}.* {2}● answered after 3 s, 1 attempt$/);
    expect(linesOf([], { end: 'aborted' })[0]).toContain('– given up by its caller, 0 attempts');
    expect(linesOf([], { end: 'failed' })[0]).toContain('✗ failed');
  });

  it('tells of a lease that the program holds itself what its last attempt tells', () => {
    const outcome = { kind: 'success', latencyMs: 12 } as const;
    expect(linesOf([decision({ chosen: 'acme/1' })])[0]).toContain('under way, 1 attempt');
    expect(linesOf([decision({ chosen: 'acme/1', outcome })])[0]).toContain('success, 1 attempt');
    expect(linesOf([decision()])[0]).toContain('✗ refused: no key was to be had');
  });

  it('tells that no key was to be had, after which wait, and when one will be', () => {
    const lines = linesOf([
      decision({ waitedMs: 2_000, retryAt: AT + 60_000 }),
      decision({ attempt: 2 }),
    ]).join('\n');
    expect(lines).toContain('attempt 1 after a wait of 2 s (priority): no key; the next one in 1 min');
    expect(lines).toContain('attempt 2 (priority): no key; nobody knows when there will be one');
  });

  it('tells that its beginning is forgotten', () => {
    expect(linesOf([decision({ attempt: 4 })], { complete: false })[1]).toBe(
      '  earlier attempts are no longer known',
    );
  });

  it('says the same thing once where status and evidence are alike', () => {
    const outcome = { kind: 'network', evidence: 'ECONNRESET', latencyMs: 3 } as const;
    const both = { kind: 'rejected', status: 401, evidence: 'status 401', latencyMs: 3 } as const;
    const lines = linesOf([
      decision({ chosen: 'acme/1', outcome }),
      decision({ attempt: 2, chosen: 'acme/1', outcome: both }),
      decision({ attempt: 3, chosen: 'acme/1' }),
    ]).join('\n');
    expect(lines).toContain('acme/1, network (ECONNRESET) in 3 ms');
    expect(lines).toContain('acme/1, rejected (status 401) in 3 ms');
    expect(lines).toContain('attempt 3 (priority): acme/1, under way');
  });

  it('puts the chosen key first, then the others by priority, and marks which could be used', () => {
    const lines = linesOf([
      decision({
        chosen: 'acme/2',
        candidates: [
          candidate('acme/3', {
            passedOver: 'key-resting',
            until: AT + 60_000,
            figures: { ...figures, priority: 3 },
          }),
          candidate('acme/1', { passedOver: 'not-preferred', figures: { ...figures, priority: 1 } }),
          candidate('acme/2', { chosen: true }),
        ],
      }),
    ]);
    expect(lines.slice(-3).map((line) => line.trim().split(/ {2,}/).slice(0, 2).join(' '))).toEqual([
      expect.stringMatching(/^● +acme\/2/),
      expect.stringMatching(/^○ +acme\/1/),
      expect.stringMatching(/^✗ +acme\/3/),
    ]);
    expect(lines.at(-1)).toContain('in 1 min');
  });

  it('tells facts that were heard from elsewhere', () => {
    const fact = { subject: 'acme', source: 'observed', seen: 'elsewhere' } as const;
    const lines = linesOf([decision({ candidates: [candidate('acme/1', { passedOver: 'spared', fact })] })]);
    expect(lines.at(-1)).toMatch(/^○ +acme\/1 .*observed, heard from elsewhere \[acme\]/);
  });
});
