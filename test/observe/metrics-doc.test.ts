/** What is written about metrics, and the dashboard that shows them, against the metrics there are. */
import { readFileSync } from 'node:fs';
import {
  COUNTERS,
  DURATIONS,
  METRICS,
  prometheusName,
  READINGS,
} from '#keymux/observe/metric-definitions.js';
import type { MetricDefinition } from '#keymux/observe/metric-definitions.js';
import { describe, expect, it } from 'vitest';
import { parse } from 'yaml';

const page = readFileSync(new URL('../../docs/metrics.md', import.meta.url), 'utf8');
const dashboard = readFileSync(new URL('../../docs/grafana/keymux.json', import.meta.url), 'utf8');

/** Series by their name, with the labels that they have. */
const SERIES = new Map<string, ReadonlySet<string>>(
  METRICS.flatMap((definition): [string, ReadonlySet<string>][] => {
    const name = prometheusName(definition);
    if (definition.kind !== 'histogram') return [[name, new Set(definition.labels)]];
    return [
      [`${name}_bucket`, new Set([...definition.labels, 'le'])],
      [`${name}_sum`, new Set(definition.labels)],
      [`${name}_count`, new Set(definition.labels)],
    ];
  }),
);
/** Set by Prometheus. */
const TARGET_LABELS = new Set(['instance', 'job']);

/** What is wrong with an expression: series that there are not, and labels that they do not have. */
function faultsOf(expression: string): string[] {
  const names = [...expression.matchAll(/keymux_\w+/g)].map(([name]) => name);
  const labelsOf = (name: string): ReadonlySet<string> => SERIES.get(name) ?? new Set();
  const unknown = names.filter((name) => !SERIES.has(name)).map((name) => `${name} does not exist`);
  const selected = [...expression.matchAll(/(keymux_\w+)\{([^}]*)\}/g)].flatMap(
    ([, name = '', matchers = '']) =>
      [...matchers.matchAll(/(\w+)\s*[=!]/g)]
        .filter(([, label = '']) => !labelsOf(name).has(label))
        .map(([, label]) => `${name} has no ${label}`),
  );
  const grouped = [...expression.matchAll(/by \(([^)]*)\)/g)]
    .flatMap(([, labels = '']) => labels.split(/,\s*/))
    .filter((label) => !TARGET_LABELS.has(label) && !names.some((name) => labelsOf(name).has(label)))
    .map((label) => `nothing has ${label}`);
  return [...unknown, ...selected, ...grouped];
}

function rowsOf(definitions: Readonly<Record<string, MetricDefinition>>): string[][] {
  return Object.values(definitions).map((definition) => [
    `\`${prometheusName(definition)}\``,
    `\`${definition.name}\``,
    definition.kind,
    definition.labels.map((label) => `\`${label}\``).join(', ') || 'none',
    definition.help,
  ]);
}

describe('docs/metrics.md', () => {
  it('lists every metric as it is', () => {
    const listed = page
      .split('\n')
      .filter((line) => line.startsWith('| `keymux_'))
      .map((line) =>
        line
          .split('|')
          .slice(1, -1)
          .map((cell) => cell.trim()),
      );
    expect(listed).toEqual([...rowsOf(COUNTERS), ...rowsOf(DURATIONS), ...rowsOf(READINGS)]);
  });

  it('names no metric that there is not', () => {
    const known = new Set([...SERIES.keys(), ...METRICS.map(prometheusName)]);
    const named = [...page.matchAll(/\bkeymux_\w+/g)].map(([name]) => name);
    expect(named.filter((name) => !known.has(name))).toEqual([]);
  });

  it('shows rules that can be true', () => {
    const [, rules = ''] = /```yaml\n(groups:[^]*?)```/.exec(page) ?? [];
    const { groups } = parse(rules) as { groups: { rules: { alert: string; expr: string }[] }[] };
    const all = groups.flatMap(({ rules: each }) => each);
    expect(all.length).toBeGreaterThanOrEqual(8);
    expect(all.map(({ alert, expr }) => [alert, faultsOf(expr)])).toEqual(
      all.map(({ alert }) => [alert, []]),
    );
  });
});

interface Panel {
  readonly id: number;
  readonly title: string;
  readonly type: string;
  readonly gridPos: { readonly x: number; readonly y: number; readonly w: number; readonly h: number };
  readonly targets?: readonly { readonly expr: string }[];
}

describe('docs/grafana/keymux.json', () => {
  const { panels, templating } = JSON.parse(dashboard) as {
    panels: Panel[];
    templating: { list: { name: string; query: string | { query: string } }[] };
  };
  const expressions = panels.flatMap(({ targets = [] }) => targets.map(({ expr }) => expr));

  it('asks for metrics and labels that there are', () => {
    expect(expressions.flatMap(faultsOf)).toEqual([]);
    const variables = templating.list.flatMap(({ query }) =>
      typeof query === 'string' ? [] : [query.query],
    );
    for (const query of variables) {
      const [, metric = '', label = ''] = /^label_values\((\w+), (\w+)\)$/.exec(query) ?? [];
      expect([query, SERIES.get(metric)?.has(label)]).toEqual([query, true]);
    }
  });

  it('shows every metric', () => {
    const shown = (definition: MetricDefinition): boolean =>
      expressions.some((expression) => expression.includes(prometheusName(definition)));
    expect(METRICS.filter((definition) => !shown(definition)).map(({ name }) => name)).toEqual([]);
  });

  it('uses no variable that it does not offer', () => {
    const offered = new Set([...templating.list.map(({ name }) => name), '__rate_interval']);
    const used = [...dashboard.matchAll(/\$\{?(\w+)/g)].map(([, name = '']) => name);
    expect(used.filter((name) => !offered.has(name) && name !== '__all')).toEqual([]);
  });

  it('has panels that do not overlap, each with an id of its own', () => {
    expect(new Set(panels.map(({ id }) => id)).size).toBe(panels.length);
    const cells = panels.flatMap(({ gridPos: { x, y, w, h } }) => {
      expect(x + w).toBeLessThanOrEqual(24);
      return Array.from({ length: w * h }, (_, i) => `${x + (i % w)}/${y + Math.floor(i / w)}`);
    });
    expect(new Set(cells).size).toBe(cells.length);
  });
});

describe('the check of expressions', () => {
  it.each([
    ['sum(keymux_atempts_total)', ['keymux_atempts_total does not exist']],
    ['keymux_keys{key="x"}', ['keymux_keys has no key']],
    ['sum by (key) (keymux_keys)', ['nothing has key']],
    ['sum by (le) (keymux_request_duration_seconds_bucket{end!="aborted"})', []],
  ])('finds what is wrong with %s', (expression, faults) => {
    expect(faultsOf(expression)).toEqual(faults);
  });
});
