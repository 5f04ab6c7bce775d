import { displayWidth } from '#keymux/cli/display-width.js';
import type { KeyStatus, StatusReport } from '#keymux/cli/status-report.js';
import { explanationLines, keyLines, statusLines } from '#keymux/cli/status-view.js';
import pc from 'picocolors';
import { describe, expect, it } from 'vitest';

const NOW = new Date(2026, 0, 31, 12, 0, 0).getTime();
const plain = pc.createColors(false);

function key(id: string, more: Partial<KeyStatus> = {}): KeyStatus {
  return {
    id: `acme/${id}`,
    provider: 'acme',
    bucket: `acme/${id}`,
    bucketSource: 'own',
    foundIn: `env:ACME_API_KEY_${id.toUpperCase()}`,
    state: 'ready',
    uses: 0,
    failures: 0,
    costUsd: 0,
    limits: [],
    ...more,
  };
}

function report(more: Partial<StatusReport> = {}): StatusReport {
  return {
    at: NOW,
    store: { kind: 'sqlite', shared: true, place: '/state/state.db' },
    sources: ['/project/keymux.config.yaml'],
    notes: ['skipped the template value of FINNHUB_API_KEY'],
    services: [{ name: 'data', strategy: 'priority', providers: ['acme'], next: 'acme/one' }],
    providers: [
      {
        id: 'acme',
        origins: ['https://api.acme.example'],
        mode: 'direct',
        circuit: 'open',
        until: NOW + 30_000,
        healthScore: 0.5,
      },
    ],
    keys: [key('one'), key('two')],
    ...more,
  };
}

describe('statusLines', () => {
  it('tells everything on a wide terminal', () => {
    const lines = statusLines(report(), plain, Number.POSITIVE_INFINITY).join('\n');
    for (const text of [
      'sqlite (/state/state.db)',
      '/project/keymux.config.yaml',
      'data  acme/one',
      '✗ open',
      'in 30 s (12:00:30)',
      '50 %',
      'https://api.acme.example',
      '- skipped the template value',
    ])
      expect(lines).toContain(text);
  });

  it.each([80, 40, 24])('never stands wider than %i columns', (columns) => {
    const keys = [
      key('one', {
        state: 'resting',
        reason: 'rate-limited, until a time guessed',
        until: NOW + 5_000,
        source: 'guessed',
        permitsLeft: 3,
        limits: [{ requests: 25, perMs: 86_400_000 }],
        lastUsedAt: NOW - 1_000,
      }),
    ];
    const lines = statusLines(report({ keys }), plain, columns);
    expect(Math.max(...lines.map(displayWidth))).toBeLessThanOrEqual(columns);
    expect(lines.join('\n')).toContain('◌ resting');
  });

  it('says what is wrong with the store, and where nothing is kept', () => {
    const lost = report({ store: { kind: 'sqlite', shared: true, trouble: 'The disk is full.' } });
    expect(statusLines(lost, plain, 80).join('\n')).toContain('✗ The disk is full.');
    const alone = report({ store: { kind: 'memory', shared: false }, sources: [] });
    const lines = statusLines(alone, plain, 80);
    expect(lines[0]).toBe('store     memory (this process alone, nothing is kept)');
    expect(lines[1]).toBe('read      the environment');
  });

  it('leaves out sections without content', () => {
    const empty = report({ services: [], providers: [], keys: [], notes: [] });
    expect(statusLines(empty, plain, 80)).toHaveLength(3);
  });

  it('marks a service that has no key', () => {
    const out = report({ services: [{ name: 'data', strategy: 'priority', providers: ['acme'] }] });
    expect(statusLines(out, plain, 80).join('\n')).toContain('✗ none');
  });

  it('says the same without colour as with it', () => {
    const coloured = statusLines(report(), pc.createColors(true), 100).join('\n');
    expect(coloured).toContain('\u001b[');
    // eslint-disable-next-line no-control-regex -- the escape sequences of colours
    const stripped = coloured.replaceAll(/\u001b\[\d+m/g, '');
    expect(stripped).toBe(statusLines(report(), plain, 100).join('\n'));
  });
});

describe('keyLines', () => {
  it('gives each state a word and a symbol of its own', () => {
    const states = [
      'ready',
      'unproven',
      'returning',
      'resting',
      'out-of-permits',
      'rejected',
      'disabled',
    ] as const;
    const lines = keyLines(
      states.map((state) => key('one', { state })),
      NOW,
      plain,
      120,
    ).slice(1);
    const shown = lines.map((line) => /^\S+ +(\S+ \S+(?: \S+)*?) {2}/.exec(line)?.[1] ?? line);
    expect(new Set(shown).size).toBe(states.length);
    for (const [index, state] of states.entries()) expect(shown[index]).toContain(state.replaceAll('-', ' '));
  });

  it('tells the reason once, the deadline and where it comes from', () => {
    const [, line] = keyLines(
      [
        key('one', {
          state: 'rejected',
          reason: 'rejected, until a time stated by the provider',
          until: NOW + 60_000,
          source: 'stated',
          uses: 7,
          failures: 2,
          permitsLeft: 0,
          limits: [
            { requests: 5, perMs: 60_000 },
            { requests: 25, perMs: 86_400_000 },
          ],
          lastUsedAt: NOW - 3_000,
        }),
      ],
      NOW,
      plain,
      Number.POSITIVE_INFINITY,
    );
    expect(line?.split(/ {2,}/)).toEqual([
      'acme/one',
      '✗ rejected',
      'in 1 min (12:01:00)',
      'stated',
      'rejected',
      '7',
      '2',
      '0',
      '5/minute, 25/day',
      '3 s ago',
      'acme/one',
      'env:ACME_API_KEY_ONE',
    ]);
  });
});

describe('the limits of a key', () => {
  const textOf = (limits: KeyStatus['limits']): string => {
    const [head, line] = keyLines([key('one', { limits })], NOW, plain, Number.POSITIVE_INFINITY);
    const at = head?.indexOf('limit') ?? 0;
    return line?.slice(at).split(/ {2,}/)[0] ?? '';
  };

  it('tell what is left of each where there are several', () => {
    expect(textOf([{ requests: 5, perMs: 60_000, left: 3 }])).toBe('5/minute');
    expect(
      textOf([
        { requests: 5, perMs: 60_000, left: 3 },
        { requests: 25, perMs: 86_400_000, stated: 20, left: 0 },
      ]),
    ).toBe('3 of 5/minute, 0 of 20/day');
  });
});

describe('explanationLines', () => {
  const candidates = [
    {
      key: 'acme/one',
      usable: false,
      because: 'rejected',
      until: NOW + 60_000,
      foundIn: 'env:A',
      lastUsedAt: NOW - 5_000,
    },
    { key: 'acme/two', usable: true, because: 'chosen by priority', foundIn: 'env:B' },
    { key: 'acme/three', usable: true, because: 'usable, passed over by priority', foundIn: 'env:C' },
  ];

  it('names the next key, and marks who is usable', () => {
    const explanation = { service: 'data', strategy: 'priority', at: NOW, next: 'acme/two', candidates };
    const lines = explanationLines(explanation, plain, 120);
    expect(lines[0]).toBe('● acme/two serves the next request');
    expect(lines.slice(3).map((line) => line.slice(0, 1))).toEqual(['✗', '●', '○']);
    expect(lines[3]).toContain('in 1 min (12:01:00)');
    expect(lines[3]).toContain('5 s ago');
  });

  it('says that there is none', () => {
    const lines = explanationLines(
      { service: 'data', strategy: 'priority', at: NOW, candidates: [] },
      plain,
      120,
    );
    expect(lines).toEqual(['✗ no key of data can be used now', expect.stringContaining('strategy priority')]);
  });
});
