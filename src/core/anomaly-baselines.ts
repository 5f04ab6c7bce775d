/** All that is known of what is usual, and how it is written down. Times are epoch milliseconds. */
import { MOST_HOURS, UNSEEN, mergedHistory } from './anomaly-history.js';
import type { UseHistory } from './anomaly-history.js';
import { MOST_NAMES, mergedNames } from './anomaly-newcomers.js';
import type { KnownNames } from './anomaly-newcomers.js';
import { mergedOutsideUse } from './anomaly-outside.js';
import type { OutsideUse } from './anomaly-outside.js';

/** More subjects of one sort than this are not watched. */
export const MOST_SUBJECTS = 500;

export interface Baselines {
  /** By key, service (`service NAME`) and application (`by NAME`). */
  readonly uses: Map<string, UseHistory>;
  /** By key. */
  readonly callers: Map<string, KnownNames>;
  /** Origins and routes, by provider. */
  readonly routes: Map<string, KnownNames>;
  /** By bucket. */
  readonly outside: Map<string, OutsideUse>;
}

export function newBaselines(): Baselines {
  return { uses: new Map(), callers: new Map(), routes: new Map(), outside: new Map() };
}

/** The entry of a subject, made where there is none; undefined where there are too many already. */
export function entryOf<Entry>(
  entries: Map<string, Entry>,
  subject: string,
  make: () => Entry,
): Entry | undefined {
  const known = entries.get(subject);
  if (known !== undefined) return known;
  if (entries.size >= MOST_SUBJECTS) return undefined;
  const made = make();
  entries.set(subject, made);
  return made;
}

/** What two processes know. Merged twice it is the same. */
export function mergedBaselines(a: Baselines, b: Baselines): Baselines {
  return {
    uses: mergedEntries(a.uses, b.uses, mergedHistory),
    callers: mergedEntries(a.callers, b.callers, mergedNames),
    routes: mergedEntries(a.routes, b.routes, mergedNames),
    outside: mergedEntries(a.outside, b.outside, mergedOutsideUse),
  };
}

function mergedEntries<Entry>(
  a: ReadonlyMap<string, Entry>,
  b: ReadonlyMap<string, Entry>,
  merge: (a: Entry, b: Entry) => Entry,
): Map<string, Entry> {
  const merged = new Map(a);
  for (const [subject, entry] of b) {
    const known = merged.get(subject);
    if (known !== undefined) merged.set(subject, merge(known, entry));
    else if (merged.size < MOST_SUBJECTS) merged.set(subject, entry);
  }
  return merged;
}

export function writtenBaselines({ uses, callers, routes, outside }: Baselines): unknown {
  const namesOf = (known: KnownNames): unknown => ({ ...known, names: [...known.names] });
  return {
    uses: [...uses],
    callers: [...callers].map(([subject, known]) => [subject, namesOf(known)]),
    routes: [...routes].map(([subject, known]) => [subject, namesOf(known)]),
    // What was compared with last, and the sum so far, mean nothing after a restart.
    outside: [...outside].map(([subject, { ratios, toldAt }]) => [subject, { ratios, toldAt }]),
  };
}

/** Undefined where it is not what `writtenBaselines` wrote. */
export function readBaselines(value: unknown): Baselines | undefined {
  if (!isRecord(value)) return undefined;
  const uses = entriesIn(value['uses'], readHistory);
  const callers = entriesIn(value['callers'], readNames);
  const routes = entriesIn(value['routes'], readNames);
  const outside = entriesIn(value['outside'], readOutsideUse);
  if (uses === undefined || callers === undefined || routes === undefined || outside === undefined)
    return undefined;
  return { uses, callers, routes, outside };
}

function readHistory(value: unknown): UseHistory | undefined {
  if (!isRecord(value)) return undefined;
  const { slot, inSlot, inHour, most, hours, surge, oddHour } = value;
  if (!isCount(slot) || !isCount(inSlot) || !isCount(inHour) || !isCount(most)) return undefined;
  if (!isNumbers(hours, MOST_HOURS, UNSEEN) || !isOptionalCount(oddHour) || !isOptionalCount(surge))
    return undefined;
  return {
    slot,
    inSlot,
    inHour,
    most,
    hours,
    ...(surge === undefined ? {} : { surge }),
    ...(oddHour === undefined ? {} : { oddHour }),
  };
}

function readNames(value: unknown): KnownNames | undefined {
  if (!isRecord(value)) return undefined;
  const { since, sightings, names, news, toldAt } = value;
  if (!isCount(since) || !isCount(sightings) || !isOptionalCount(toldAt)) return undefined;
  const read = entriesIn(names, (at) => (isCount(at) ? at : undefined));
  if (read === undefined || !isNumbers(news, MOST_NAMES, 0)) return undefined;
  return { since, sightings, names: read, news, ...(toldAt === undefined ? {} : { toldAt }) };
}

function readOutsideUse(value: unknown): OutsideUse | undefined {
  if (!isRecord(value)) return undefined;
  const { ratios, toldAt } = value;
  if (!isNumbers(ratios, MOST_SUBJECTS, 0) || !isOptionalCount(toldAt)) return undefined;
  return { ratios, excess: 0, excessFrom: 0, ...(toldAt === undefined ? {} : { toldAt }) };
}

function entriesIn<Entry>(
  value: unknown,
  read: (value: unknown) => Entry | undefined,
): Map<string, Entry> | undefined {
  if (!Array.isArray(value) || value.length > MOST_SUBJECTS) return undefined;
  const entries = new Map<string, Entry>();
  for (const pair of value as readonly unknown[]) {
    if (!Array.isArray(pair)) return undefined;
    const [name, stated] = pair as readonly unknown[];
    const entry = read(stated);
    if (typeof name !== 'string' || entry === undefined) return undefined;
    entries.set(name, entry);
  }
  return entries;
}

function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function isCount(value: unknown): value is number {
  return typeof value === 'number' && Number.isFinite(value) && value >= 0;
}

function isOptionalCount(value: unknown): value is number | undefined {
  return value === undefined || isCount(value);
}

function isNumbers(value: unknown, most: number, least: number): value is number[] {
  return (
    Array.isArray(value) &&
    value.length <= most &&
    value.every((each) => typeof each === 'number' && Number.isFinite(each) && each >= least)
  );
}
