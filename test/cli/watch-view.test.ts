import { displayWidth } from '#keymux/cli/display-width.js';
import type { GatewayClient } from '#keymux/cli/gateway-client.js';
import { LiveStatus } from '#keymux/cli/live-status.js';
import { newsBetween } from '#keymux/cli/status-news.js';
import type { KeyStatus, StatusReport } from '#keymux/cli/status-report.js';
import { FIRST_CHOICE, barText, choiceAfter, chosenKeys, watchLines } from '#keymux/cli/watch-view.js';
import pc from 'picocolors';
import { describe, expect, it } from 'vitest';

const plain = pc.createColors(false);
const AT = Date.UTC(2026, 0, 2, 12);

function keyOf(id: string, more: Partial<KeyStatus> = {}): KeyStatus {
  return {
    id,
    provider: 'acme',
    bucket: id,
    bucketSource: 'own',
    foundIn: 'env:ACME',
    state: 'ready',
    uses: 0,
    failures: 0,
    costUsd: 0,
    limits: [],
    ...more,
  };
}

function reportOf(keys: readonly KeyStatus[], more: Partial<StatusReport> = {}): StatusReport {
  return {
    at: AT,
    store: { kind: 'sqlite', shared: true, place: '/state.db' },
    sources: [],
    notes: [],
    services: [{ name: 'data', strategy: 'priority', providers: ['acme'], next: 'acme/1' }],
    providers: [{ id: 'acme', origins: [], mode: 'direct', circuit: 'closed', healthScore: 1 }],
    keys,
    ...more,
  };
}

const memberOf = (pid: number) => ({
  memberId: `m${pid}`,
  host: 'here',
  pid,
  startedAt: AT,
  seenAt: AT,
  behind: 0,
  leads: [],
});

async function liveOf(reports: readonly StatusReport[], gateway?: GatewayClient): Promise<LiveStatus> {
  const queue = [...reports];
  const live = new LiveStatus(() => Promise.resolve(queue.shift() ?? expect.unreachable()), gateway);
  for (const _ of reports) await live.refresh();
  return live;
}

const resting = {
  state: 'resting',
  reason: 'rate-limited, until a time stated by the provider',
  until: AT + 42_000,
  source: 'stated',
} as const;

describe('news', () => {
  it('tell what happened to keys, providers, processes and the store', () => {
    const before = reportOf([keyOf('a/1'), keyOf('a/2', { state: 'unproven' }), keyOf('a/3')], {
      fleet: { at: AT, members: [memberOf(1)], leases: [] },
    });
    const after = reportOf([keyOf('a/1', resting), keyOf('a/2'), keyOf('a/4')], {
      fleet: { at: AT, members: [memberOf(2)], leases: [] },
      store: { kind: 'sqlite', shared: true, trouble: 'The store is gone.' },
      providers: [{ id: 'acme', origins: [], mode: 'direct', circuit: 'open', healthScore: 0 }],
    });
    expect(newsBetween(before, after).map(({ text }) => text)).toEqual([
      '▼ The store is gone.',
      '▼ a/1 ready → resting: rate-limited, until a time stated by the provider',
      '+ key a/4',
      '− key a/3',
      '▼ provider acme: circuit closed → open',
      '+ process here:2',
      '− process here:1',
    ]);
    expect(newsBetween(after, before).map(({ tone, text }) => `${tone} ${text}`)).toContain(
      'good ▲ the store is back',
    );
    expect(newsBetween(after, before).map(({ text }) => text)).toContain('▲ a/1 resting → ready');
    expect(newsBetween(before, before)).toEqual([]);
  });
});

describe('the live view', () => {
  it('shows states, deadlines with source, bars, rates and news', async () => {
    const limits = [{ requests: 60, perMs: 60_000 }];
    const live = await liveOf([
      reportOf([keyOf('acme/1', { uses: 10 }), keyOf('acme/2')], { at: AT - 2_000 }),
      reportOf([
        keyOf('acme/1', { uses: 30, failures: 4, limits, permitsLeft: 15, ...resting }),
        keyOf('acme/2'),
      ]),
    ]);
    const text = watchLines(live, FIRST_CHOICE, plain, { columns: 140, rows: 20 }).join('\n');
    expect(text).toMatch(
      /acme\/1 +◌ resting +in 42 s +stated +██░░░░░░ 15\/60 +10\.0 +2\.0 +30 +4 +rate-limited/,
    );
    expect(text).toContain('▼ acme/1 ready → resting');
    expect(text).toContain('next: data → acme/1');
    expect(text).not.toContain('\u001b');
  });

  it.each([
    [140, 30],
    [80, 24],
    [40, 10],
    [20, 5],
    [10, 1],
  ])('fits %d columns and %d rows', async (columns, rows) => {
    const keys = Array.from({ length: 40 }, (_, index) => keyOf(`acme/${index}`, resting));
    const live = await liveOf([
      reportOf(keys.map(({ id }) => keyOf(id))),
      reportOf(keys, {
        fleet: { at: AT, members: [memberOf(1)], leases: [] },
        store: { kind: 'redis', shared: true, trouble: 'lost '.repeat(50) },
        providers: [{ id: 'acme', origins: [], mode: 'direct', circuit: 'open', healthScore: 0 }],
      }),
    ]);
    const lines = watchLines(live, FIRST_CHOICE, plain, { columns, rows });
    expect(lines).toHaveLength(rows);
    expect(Math.max(...lines.map(displayWidth))).toBeLessThanOrEqual(columns);
    expect(lines.at(-1)).toMatch(/^q/);
    if (rows >= 10) expect(lines.join('\n')).toMatch(/… \d+ more keys/);
  });

  it('is empty before the first look, and says where there is nothing to show', async () => {
    const size = { columns: 80, rows: 10 };
    expect(watchLines(await liveOf([]), FIRST_CHOICE, plain, size)).toEqual([]);
    const live = await liveOf([reportOf([])]);
    expect(watchLines(live, FIRST_CHOICE, plain, size).join()).toContain('no key was found');
    expect(watchLines(live, choiceAfter(FIRST_CHOICE, 'f'), plain, size).join()).toContain(
      'no key is in trouble',
    );
    expect(live.rateOf('acme/1')).toBeUndefined();
  });

  it('sorts and filters as the keyboard says', () => {
    const limits = [{ requests: 10, perMs: 1_000, stated: 5 }];
    const keys = [
      keyOf('a'),
      keyOf('b', { limits, permitsLeft: 1 }),
      keyOf('c', { state: 'rejected' }),
      keyOf('d', resting),
    ];
    const rates: Record<string, number> = { a: 1, d: 9 };
    const order = (presses: string): string => {
      const choice = [...presses].reduce(choiceAfter, FIRST_CHOICE);
      return chosenKeys(keys, choice, (key) => rates[key] ?? 0)
        .map(({ id }) => id)
        .join('');
    };
    expect(['', 's', 'ss', 'sss', 'ssss', 'f', 'sf', 'ff', 'x'].map(order)).toEqual([
      'abcd',
      'cdab',
      'dabc',
      'bacd',
      'abcd',
      'cd',
      'cd',
      'abcd',
      'abcd',
    ]);
    expect(barText(keyOf('b', { limits, permitsLeft: 1 }))).toBe('██░░░░░░ 1/5');
    expect(barText(keyOf('b', { limits }))).toBe('');
    const told = [
      { requests: 5, perMs: 1_000, left: 4 },
      { requests: 100, perMs: 60_000, stated: 20, left: 1 },
    ];
    expect(barText(keyOf('b', { limits: told, permitsLeft: 1 }))).toBe('█░░░░░░░ 1/20');
  });

  it('measures rates over five seconds', async () => {
    const reports = [0, 1, 2, 3, 4, 5, 6, 7].map((second) =>
      reportOf([keyOf('a', { uses: second < 5 ? 0 : (second - 4) * 100 })], { at: AT + second * 1_000 }),
    );
    const live = await liveOf(reports);
    expect(live.rateOf('a')).toEqual({ requests: 60, failures: 0 });
    expect(live.rateOf('b')).toBeUndefined();
  });

  it('shows what a gateway alone knows, and does without', async () => {
    const answers: Record<string, unknown> = {
      '/state': { keys: [{ id: 'acme/1', latencyMs: 81 }] },
      '/history': {
        events: [
          { name: 'cooldown', event: { at: AT } },
          { name: 'failover', event: { at: AT, from: 'acme/2', to: 'acme/1', reason: 'rejected' } },
        ],
      },
    };
    const gateway = {
      ask: (_: string, path: string) => Promise.resolve(answers[path]),
    } as unknown as GatewayClient;
    const size = { columns: 120, rows: 12 };
    const text = watchLines(
      await liveOf([reportOf([keyOf('acme/1')])], gateway),
      FIRST_CHOICE,
      plain,
      size,
    ).join('\n');
    expect(text).toContain('81 ms');
    expect(text).toContain('↷ failover acme/2 → acme/1: rejected');
    const gone = { ask: () => Promise.reject(new Error('gone')) } as unknown as GatewayClient;
    const without = watchLines(await liveOf([reportOf([keyOf('acme/1')])], gone), FIRST_CHOICE, plain, size);
    expect(without.join('\n')).not.toContain('81 ms');
  });
});
