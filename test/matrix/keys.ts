/** The three keys of each provider: what the application captures at its start, what comes next, and what works. */
export type KeyName = 'limited' | 'revoked' | 'good';

const KEY_NAMES: readonly KeyName[] = ['limited', 'revoked', 'good'];

export function keyText(provider: string, name: KeyName): string {
  return `sk-${provider}-${name}-5f0c1d7e9a3b`;
}

/** Names by texts, in the order in which keymux is to try them. */
export function keysOf(provider: string): ReadonlyMap<string, KeyName> {
  return new Map(KEY_NAMES.map((name) => [keyText(provider, name), name]));
}
