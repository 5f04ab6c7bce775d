/** Variables of the real environment that hold a virtual key, whatever else was or will be put there. */
import type { Configuration } from '../config/configuration.js';
import type { VirtualKey, VirtualKeys } from '../manager/virtual-keys.js';
import { catalogue } from '../providers/catalogue.js';
import { isTemplateValue } from '../providers/key-shape.js';
import { baseName } from './variable-names.js';

export class VirtualVariables {
  readonly #real: NodeJS.ProcessEnv;
  readonly #keys: VirtualKeys;
  /** By the names of the providers; variants of a name hold the same. */
  readonly #byName = new Map<string, VirtualKey>();
  readonly #declared = new Set<string>();
  /** What was put where, and what had stood there. */
  readonly #held = new Map<string, { readonly text: string; readonly before: string | undefined }>();
  readonly #onRealKey: (message: string) => void;
  readonly #told = new Set<string>();

  /** `onRealKey` is told of each variable that held or was given something that may be a real key; never what. */
  constructor(real: NodeJS.ProcessEnv, keys: VirtualKeys, onRealKey: (message: string) => void) {
    this.#real = real;
    this.#keys = keys;
    this.#onRealKey = onRealKey;
  }

  /**
   * Puts the virtual keys in place: the conventional name of a provider always, the others and their variants where
   * they are set. Returns the names that hold one, but not those in `deleted`.
   */
  adopt({ providers }: Configuration, deleted: ReadonlySet<string>): ReadonlyMap<string, VirtualKey> {
    this.#byName.clear();
    this.#declared.clear();
    const conventional: string[] = [];
    for (const { id, env } of providers.values()) {
      const key = this.#keys.of(id);
      for (const name of env) {
        this.#declared.add(name);
        if (key !== undefined) this.#byName.set(name, key);
      }
      if (key !== undefined) conventional.push(...env.slice(0, 1));
    }
    const held = new Map<string, VirtualKey>();
    if (this.#byName.size > 0) {
      for (const name of [...conventional, ...Object.keys(this.#real)]) {
        const key = this.keyOf(name);
        if (key === undefined || deleted.has(name)) continue;
        this.#hold(name, key);
        held.set(name, key);
      }
    }
    for (const name of this.#held.keys()) if (!held.has(name)) this.#restore(name);
    return held;
  }

  /** What a variable is to hold, if it belongs to a virtual provider. */
  keyOf(name: string): VirtualKey | undefined {
    if (this.#byName.size === 0) return undefined;
    const own = this.#byName.get(name);
    if (own !== undefined || this.#isDeclared(name)) return own;
    return this.#byName.get(baseName(name));
  }

  /** Somebody puts `value` into a variable that holds a virtual key. */
  onSet(name: string, { provider, text }: VirtualKey, value: string): void {
    if (value !== text && !this.#keys.accept(provider, value) && !isTemplateValue(value))
      this.#tell(name, `${name} was set to a key; it keeps the virtual key of ${provider}.`);
  }

  restoreAll(): void {
    for (const name of this.#held.keys()) this.#restore(name);
  }

  #hold(name: string, { provider, text }: VirtualKey): void {
    const before = this.#real[name];
    if (before === text) return;
    const earlier = this.#held.get(name);
    this.#held.set(name, { text, before: earlier === undefined ? before : earlier.before });
    this.#real[name] = text;
    if (before === undefined || this.#keys.accept(provider, before) || isTemplateValue(before)) return;
    this.#tell(
      name,
      `${name} held a key, which others could read; it now holds the virtual key of ${provider}.`,
    );
  }

  #restore(name: string): void {
    const held = this.#held.get(name);
    this.#held.delete(name);
    if (held === undefined || this.#real[name] !== held.text) return;
    if (held.before === undefined) delete this.#real[name];
    else this.#real[name] = held.before;
  }

  #isDeclared(name: string): boolean {
    if (this.#declared.has(name)) return true;
    for (const { env } of catalogue.values()) if (env.includes(name)) return true;
    return false;
  }

  #tell(name: string, what: string): void {
    if (this.#told.has(name)) return;
    this.#told.add(name);
    this.#onRealKey(what);
  }
}
