/**
 * Names that were never seen with a key: who asks for it (callers), and where it is to be sent (origins and routes). Times
 * are epoch milliseconds.
 */

const DAY_MS = 86_400_000;
/** So long names are only learnt. */
export const NAMES_LEARNING_MS = 7 * DAY_MS;
/** Nothing is said before the key was used so often. */
const FEWEST_SIGHTINGS = 20;
/** From then on new names are counted. */
const SETTLING_MS = 3 * DAY_MS;
/** With more new names than this within a week, names say nothing here: of hosts that come and go, for example. */
const MOST_NEWS = 3;
const NEWS_MS = 7 * DAY_MS;
/** Names that come together, as after a deployment, are told once. */
const TOGETHER_MS = 3_600_000;
export const MOST_NAMES = 200;
const LONGEST_NAME = 200;

export interface KnownNames {
  since: number;
  sightings: number;
  /** By name: when it was seen last. */
  names: Map<string, number>;
  /** When new names came, once the first days were over; the oldest first. */
  news: number[];
  toldAt?: number;
}

export function newNames(at: number): KnownNames {
  return { since: at, sightings: 0, names: new Map(), news: [] };
}

/** Learns a name. Returns whether it is one to tell of. */
export function meetName(known: KnownNames, stated: string, sightings: number, at: number): boolean {
  const name = stated.slice(0, LONGEST_NAME);
  known.sightings += sightings;
  known.news = known.news.filter((when) => at - when < NEWS_MS);
  const isKnown = known.names.has(name);
  if (isKnown || known.names.size < MOST_NAMES) known.names.set(name, at);
  if (isKnown) return false;
  const varies = known.news.length >= MOST_NEWS || known.names.size >= MOST_NAMES;
  if (at - known.since >= SETTLING_MS && known.news.length < MOST_NAMES) known.news.push(at);
  const isLearning = at - known.since < NAMES_LEARNING_MS || known.sightings < FEWEST_SIGHTINGS;
  if (isLearning || varies) return false;
  if (known.toldAt !== undefined && at - known.toldAt < TOGETHER_MS) return false;
  known.toldAt = at;
  return true;
}

/** What two processes know. */
export function mergedNames(a: KnownNames, b: KnownNames): KnownNames {
  const names = new Map(a.names);
  for (const [name, at] of b.names) {
    const known = names.get(name);
    if (known !== undefined) names.set(name, Math.max(at, known));
    else if (names.size < MOST_NAMES) names.set(name, at);
  }
  const news = [...new Set([...a.news, ...b.news])].sort((one, other) => one - other).slice(-MOST_NAMES);
  const toldAt = Math.max(a.toldAt ?? 0, b.toldAt ?? 0);
  return {
    since: Math.min(a.since, b.since),
    sightings: Math.max(a.sightings, b.sightings),
    names,
    news,
    ...(toldAt === 0 ? {} : { toldAt }),
  };
}
