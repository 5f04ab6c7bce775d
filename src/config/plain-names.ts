const LONGEST_NAME = 40;
const MOST_WORDS = 6;
const MOST_DIGITS = 4;

/**
 * Whether this reads like a name that a person typed, such as `limts`, `baseURL` or `ACME_API_KEY`. Only such text
 * is repeated in a message: whatever else stands in a configuration may be a key in the wrong place.
 */
export function readsLikeName(text: string): boolean {
  if (text.length > LONGEST_NAME || !/^[A-Za-z][A-Za-z0-9_.-]*$/.test(text)) return false;
  const words = text.match(/[A-Z]?[a-z]+|[A-Z]+|\d+/g) ?? [];
  const digits = text.match(/\d/g) ?? [];
  return words.length <= MOST_WORDS && digits.length <= MOST_DIGITS;
}

/** What a caller named, as a message may repeat it: in quotes, or without its text where that may be a key. */
export function namedText(name: string): string {
  return name.split('/').every(readsLikeName) ? `"${name}"` : 'of that name (not shown: it may be a key)';
}

/** The candidate that was most likely meant, if any is near. */
export function nearestName(name: string, candidates: Iterable<string>): string | undefined {
  const wanted = normalized(name);
  let nearest: string | undefined;
  let smallest = Math.max(1, Math.floor(wanted.length / 3)) + 1;
  if (wanted.length > LONGEST_NAME) return undefined;
  for (const candidate of candidates) {
    const distance = editDistance(wanted, normalized(candidate));
    if (distance < smallest) {
      smallest = distance;
      nearest = candidate;
    }
  }
  return nearest;
}

/** `; did you mean …?`, or nothing. */
export function suggestion(name: string, candidates: Iterable<string>): string {
  const nearest = nearestName(name, candidates);
  return nearest === undefined ? '' : `; did you mean \`${nearest}\`?`;
}

function normalized(name: string): string {
  return name.toLowerCase().replaceAll(/[-_.\s]/g, '');
}

/** Insertions, deletions, replacements and swaps of neighbours that turn one into the other. */
function editDistance(a: string, b: string): number {
  let beforePrevious: number[] = [];
  let previous = Array.from({ length: b.length + 1 }, (_, column) => column);
  for (let row = 1; row <= a.length; row += 1) {
    const current = [row];
    for (let column = 1; column <= b.length; column += 1) {
      const replaced = at(previous, column - 1) + (a[row - 1] === b[column - 1] ? 0 : 1);
      let best = Math.min(replaced, at(previous, column) + 1, at(current, column - 1) + 1);
      const isSwap = column > 1 && a[row - 1] === b[column - 2] && a[row - 2] === b[column - 1];
      if (isSwap) best = Math.min(best, at(beforePrevious, column - 2) + 1);
      current.push(best);
    }
    beforePrevious = previous;
    previous = current;
  }
  return at(previous, b.length);
}

function at(row: readonly number[], column: number): number {
  return row[column] ?? Number.POSITIVE_INFINITY;
}
