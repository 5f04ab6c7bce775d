/** What changed between two looks at the state that all programs share. Pure. */
import type { KeyStatus, StatusReport } from './status-report.js';

export interface News {
  /** Epoch milliseconds. */
  readonly at: number;
  readonly tone: 'good' | 'trouble' | 'plain';
  readonly text: string;
}

const WELL: ReadonlySet<KeyStatus['state']> = new Set<KeyStatus['state']>(['ready', 'unproven', 'returning']);

export function newsBetween(before: StatusReport, after: StatusReport): News[] {
  return [
    ...storeNews(before, after),
    ...keyNews(before, after),
    ...providerNews(before, after),
    ...fleetNews(before, after),
  ].map((news) => ({ at: after.at, ...news }));
}

type Told = Omit<News, 'at'>;

function keyNews(before: StatusReport, after: StatusReport): Told[] {
  const known = new Map(before.keys.map((key) => [key.id, key]));
  const gone = before.keys.filter(({ id }) => !after.keys.some((key) => key.id === id));
  return [
    ...after.keys.flatMap((key): Told[] => {
      const then = known.get(key.id);
      if (then === undefined) return [{ tone: 'plain', text: `+ key ${key.id}` }];
      // That a fresh key was used for the first time is no news.
      if (then.state === key.state || (then.state === 'unproven' && key.state === 'ready')) return [];
      const why = key.reason === undefined || WELL.has(key.state) ? '' : `: ${key.reason}`;
      const tone = WELL.has(key.state) ? 'good' : 'trouble';
      return [{ tone, text: `${tone === 'good' ? '▲' : '▼'} ${key.id} ${then.state} → ${key.state}${why}` }];
    }),
    ...gone.map(({ id }): Told => ({ tone: 'plain', text: `− key ${id}` })),
  ];
}

function providerNews(before: StatusReport, after: StatusReport): Told[] {
  const known = new Map(before.providers.map(({ id, circuit }) => [id, circuit]));
  return after.providers.flatMap(({ id, circuit }): Told[] => {
    const then = known.get(id);
    if (then === undefined || then === circuit) return [];
    const isGood = circuit !== 'open';
    return [
      {
        tone: isGood ? 'good' : 'trouble',
        text: `${isGood ? '▲' : '▼'} provider ${id}: circuit ${then} → ${circuit}`,
      },
    ];
  });
}

function fleetNews(before: StatusReport, after: StatusReport): Told[] {
  const nameOf = ({ host, pid }: { readonly host: string; readonly pid: number }): string => `${host}:${pid}`;
  const then = new Set((before.fleet?.members ?? []).map(nameOf));
  const now = new Set((after.fleet?.members ?? []).map(nameOf));
  return [
    ...[...now]
      .filter((name) => !then.has(name))
      .map((name): Told => ({ tone: 'plain', text: `+ process ${name}` })),
    ...[...then]
      .filter((name) => !now.has(name))
      .map((name): Told => ({ tone: 'plain', text: `− process ${name}` })),
  ];
}

function storeNews(before: StatusReport, after: StatusReport): Told[] {
  const [then, now] = [before.store.trouble, after.store.trouble];
  if (then === now) return [];
  return now === undefined
    ? [{ tone: 'good', text: '▲ the store is back' }]
    : [{ tone: 'trouble', text: `▼ ${now}` }];
}
