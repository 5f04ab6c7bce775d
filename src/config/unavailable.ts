import type { OptionPath } from './file-content.js';

interface Unavailable {
  /** `*` stands for any one name or index. */
  readonly path: OptionPath;
  /** Only values that begin with this; absent, the option as a whole. */
  readonly prefix?: string;
  readonly what: string;
}

/** Options that are planned and would have no effect yet. A release that brings one deletes its line. */
const UNAVAILABLE: readonly Unavailable[] = [
  { path: ['audit'], what: 'the audit trail' },
  { path: ['vault'], what: 'the vault' },
  { path: ['store', 'encrypt'], what: 'sealing the store' },
  { path: ['providers', '*', 'keys', '*', 'expires'], what: 'the planned expiry of keys' },
  { path: ['providers', '*', 'keys', '*', 'value'], prefix: 'vault:', what: 'the vault' },
];

interface Unavailability {
  readonly path: OptionPath;
  readonly what: string;
}

/** Every option in `content` that this version does not offer yet. */
export function findUnavailable(content: unknown): Unavailability[] {
  return UNAVAILABLE.flatMap((entry) =>
    matches(content, entry.path)
      .filter(({ value }) => isMeant(entry, value))
      .map(({ path }) => ({ path, what: entry.what })),
  );
}

function isMeant(entry: Unavailable, value: unknown): boolean {
  return entry.prefix === undefined || (typeof value === 'string' && value.startsWith(entry.prefix));
}

interface Match {
  readonly path: OptionPath;
  readonly value: unknown;
}

function matches(content: unknown, pattern: OptionPath): Match[] {
  let found: Match[] = [{ path: [], value: content }];
  for (const step of pattern) {
    found = found.flatMap(({ path, value }) =>
      childrenOf(value)
        .filter(([name]) => step === '*' || step === name)
        .map(([name, child]) => ({ path: [...path, name], value: child })),
    );
  }
  return found;
}

function childrenOf(value: unknown): [string | number, unknown][] {
  if (Array.isArray(value)) return value.map((child: unknown, index) => [index, child]);
  return typeof value === 'object' && value !== null ? Object.entries(value) : [];
}
