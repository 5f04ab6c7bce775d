/** The planned end of a key: when it comes, and when to warn of it. */

const DAY_MS = 86_400_000;
const DAY_ALONE = /^\d{4}-\d{2}-\d{2}$/;

/** Warned of so long before; the longest first. Milliseconds. */
export const EXPIRY_WARNINGS_MS: readonly number[] = [14 * DAY_MS, 3 * DAY_MS, DAY_MS];

/** The moment from which on a key is not used: a day ends with that day in UTC. Epoch milliseconds. */
export function expiryOf(text: string): number {
  return Date.parse(text) + (DAY_ALONE.test(text) ? DAY_MS : 0);
}

/** Which warning stands at a moment, by its place in `EXPIRY_WARNINGS_MS`; undefined before the first, and after the end. */
export function warningAt(expiresAt: number, now: number): number | undefined {
  if (now >= expiresAt) return undefined;
  const place = EXPIRY_WARNINGS_MS.findLastIndex((leadMs) => expiresAt - now <= leadMs);
  return place === -1 ? undefined : place;
}

/** When the next warning falls due, or the key expires; undefined once it has. */
export function nextExpiryMoment(expiresAt: number, now: number): number | undefined {
  const moments = [...EXPIRY_WARNINGS_MS.map((leadMs) => expiresAt - leadMs), expiresAt];
  return moments.find((moment) => moment > now);
}
