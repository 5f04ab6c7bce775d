import type { BucketScope, ProviderDefinition } from '../core/provider.js';
import { Secret } from '../core/secret.js';
import type { Environment, Variable } from './environment.js';
import { keyFault } from './key-text.js';
import { isVirtualKey } from './virtual-key.js';

/** A key as it was found; `credentials.ts` makes it a `Credential`. */
export interface DiscoveredKey {
  /** `main`, `2`, `backup`, `backup-1`, `keys-1`; other names of the provider give `google-api-key`, `google-api-key-2`. */
  readonly id: string;
  readonly secret: Secret;
  /** `env:NAME` or `.env:NAME`. */
  readonly origin: string;
}

export interface Discovery {
  /** The preferred one first. */
  readonly keys: readonly DiscoveredKey[];
  readonly notes: readonly string[];
}

type Discoverable = Pick<ProviderDefinition, 'id' | 'env'>;

interface Variant {
  readonly name: string;
  /** The id within the base name: empty for the base name itself, then `2`, `backup`, `backup-1`, `keys`. */
  readonly suffix: string;
  readonly group: number;
  readonly index: number;
}

/** Which variables of an environment are keys of which provider. Reads the list of variables once. */
export class KeyFinder {
  readonly #environment: Environment;
  readonly #variants: ReadonlyMap<string, readonly Variant[]>;

  /** `providers`: all that may be asked for; a name that one of them declares is never a variant of another name. */
  constructor(environment: Environment, providers: Iterable<Discoverable>) {
    this.#environment = environment;
    this.#variants = findVariants(environment, providers);
  }

  /** The keys of one provider: each of its names in turn, and of each name the plain one, `_2`…, `_BACKUP`…, the list. */
  keysOf(provider: Discoverable, isTemplateValue: (value: string) => boolean): Discovery {
    const found = new FoundKeys(isTemplateValue);
    for (const [position, base] of provider.env.entries()) {
      for (const variant of this.#variants.get(base) ?? []) {
        const variable = this.#environment.variables.get(variant.name);
        if (variable === undefined) continue;
        const prefix = position === 0 ? '' : base.toLowerCase().replaceAll('_', '-');
        for (const { id, text } of entriesOf(variant, variable, prefix)) {
          found.add(id, text, variable.origin);
        }
      }
    }
    return found;
  }

  /** The variables that hold keys of a provider, or would if they had a value. */
  namesOf(provider: Discoverable): string[] {
    return provider.env.flatMap((base) => (this.#variants.get(base) ?? []).map(({ name }) => name));
  }
}

class FoundKeys implements Discovery {
  readonly keys: DiscoveredKey[] = [];
  readonly notes: string[] = [];
  readonly #isTemplateValue: (value: string) => boolean;

  constructor(isTemplateValue: (value: string) => boolean) {
    this.#isTemplateValue = isTemplateValue;
  }

  add(id: string, text: string, origin: string): void {
    const place = nameOf(origin);
    const fault = keyFault(text);
    const secret = new Secret(text);
    const twin = this.keys.find((key) => key.secret.equals(secret));
    if (this.#isTemplateValue(text)) this.notes.push(`skipped the template value of ${place}`);
    else if (isVirtualKey(text))
      this.notes.push(`skipped the virtual key of ${place}: it is of use in its own application only`);
    else if (fault !== undefined) this.notes.push(`skipped the value of ${place}: ${fault}`);
    else if (twin === undefined) this.keys.push({ id, secret, origin });
    else this.notes.push(`${nameOf(twin.origin)} and ${place} hold the same key; it counts once`);
  }
}

/** `env:NAME` is plain `NAME` in a remark; `.env:NAME` becomes `NAME (.env)`. */
function nameOf(origin: string): string {
  return origin.startsWith('.env:') ? `${origin.slice(5)} (.env)` : origin.slice(4);
}

function findVariants(
  environment: Environment,
  providers: Iterable<Discoverable>,
): ReadonlyMap<string, readonly Variant[]> {
  const variants = new Map<string, Variant[]>();
  for (const provider of providers) for (const name of provider.env) variants.set(name, []);
  const lists = new Map<string, string>();
  for (const base of variants.keys()) lists.set(`${base}S`, base);
  for (const name of environment.variables.keys()) {
    const own = variants.get(name);
    if (own !== undefined) {
      own.push({ name, suffix: '', group: 0, index: 0 });
      continue;
    }
    const base = lists.get(name);
    if (base !== undefined) variants.get(base)?.push({ name, suffix: 'keys', group: 3, index: 0 });
    else addNumbered(name, variants);
  }
  for (const found of variants.values()) found.sort(byPreference);
  return variants;
}

function addNumbered(name: string, variants: ReadonlyMap<string, Variant[]>): void {
  const match = /^(.+?)(_BACKUP)?(?:_(\d{1,3}))?$/.exec(name);
  const [, base = '', backup, index] = match ?? [];
  if (backup === undefined && index === undefined) return;
  const parts = [backup === undefined ? [] : ['backup'], index === undefined ? [] : [index]].flat();
  const variant = {
    name,
    suffix: parts.join('-'),
    group: backup === undefined ? 1 : 2,
    index: Number(index ?? -1),
  };
  variants.get(base)?.push(variant);
}

function byPreference(a: Variant, b: Variant): number {
  return a.group - b.group || a.index - b.index || a.name.length - b.name.length;
}

function entriesOf(variant: Variant, variable: Variable, prefix: string): { id: string; text: string }[] {
  const idOf = (suffix: string): string => [prefix, suffix].filter((part) => part !== '').join('-');
  if (variant.suffix === 'keys') {
    const texts = variable.value.split(/[\s,]+/).filter((text) => text !== '');
    return texts.map((text, index) => ({ id: idOf(`keys-${index + 1}`), text }));
  }
  const text = variable.value.trim();
  return text === '' ? [] : [{ id: idOf(variant.suffix) || 'main', text }];
}

/**
 * The bucket of a key that declares none. Which keys belong to one account cannot be known from here, so that each
 * is taken to be its own; only what is counted per egress address is shared by all keys for certain.
 */
export function defaultBucket(scope: BucketScope, id: string): string {
  return scope === 'egress' ? 'egress' : id;
}
