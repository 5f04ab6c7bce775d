/**
 * The only file that assigns to a global, to an export of a built-in module or to one of their prototypes, and that
 * knows the way back.
 */
import { syncBuiltinESMExports } from 'node:module';
import { KeymuxError } from '../core/errors.js';

/**
 * What became of the property when an owner let go: the original stands again; other owners still hold it; or
 * somebody else patched over ours, which is left in place while ours only passes calls through.
 */
export type Restoration = 'restored' | 'shared' | 'covered';

/** Lets go. Later calls change nothing and give the same answer. */
export type Unpatch = () => Restoration;

type Wrap = (original: unknown) => unknown;

/** Lives on `globalThis`, so that two copies of the package share it and a property is never patched twice. */
interface Registry {
  readonly version: number;
  patch(target: object, property: PropertyKey, wrap: Wrap): Unpatch;
}

const REGISTRY = Symbol.for('keymux.patches');
const VERSION = 1;

/**
 * Replaces `target[property]` by what `wrap` makes of it. The property is patched once; each further owner wraps
 * what the owners before it made. The last one out restores the original descriptor. A replaced function keeps its
 * identity while owners come and go.
 *
 * Throws `KEYMUX_PATCH_CONFLICT` where the property is frozen, or held by an incompatible copy of keymux.
 */
export function patch<T extends object, K extends keyof T>(
  target: T,
  property: K,
  wrap: (original: T[K]) => T[K],
): Unpatch {
  const holder = globalThis as { [REGISTRY]?: Registry };
  let registry = holder[REGISTRY];
  if (registry === undefined) {
    registry = createRegistry(() => delete holder[REGISTRY]);
    Object.defineProperty(holder, REGISTRY, { value: registry, configurable: true });
  }
  if (registry.version !== VERSION) {
    throw new KeymuxError(
      'KEYMUX_PATCH_CONFLICT',
      'Two incompatible versions of keymux are in one process.',
      {
        fix: 'Find them with `npm ls keymux` and keep one.',
      },
    );
  }
  return registry.patch(target, property, wrap as Wrap);
}

function createRegistry(onEmpty: () => void): Registry {
  const patched = new Map<object, Map<PropertyKey, PatchedProperty>>();
  const forget = (target: object, property: PropertyKey): void => {
    const properties = patched.get(target);
    properties?.delete(property);
    if (properties?.size === 0) patched.delete(target);
    if (patched.size === 0) onEmpty();
  };
  return {
    version: VERSION,
    patch(target, property, wrap) {
      let properties = patched.get(target);
      if (properties === undefined)
        patched.set(target, (properties = new Map<PropertyKey, PatchedProperty>()));
      let entry = properties.get(property);
      try {
        entry ??= new PatchedProperty(target, property);
      } catch (error) {
        forget(target, property);
        throw error;
      }
      properties.set(property, entry);
      return entry.addOwner(wrap, () => forget(target, property));
    },
  };
}

class PatchedProperty {
  readonly #target: object;
  readonly #property: PropertyKey;
  readonly #descriptor: PropertyDescriptor | undefined;
  readonly #original: unknown;
  /** Stands in for a function; a value of another kind is replaced by itself. */
  readonly #standIn: ((...args: unknown[]) => unknown) | undefined;
  #owners: { readonly wrap: Wrap }[] = [];
  #current: unknown;
  #installed: unknown;

  constructor(target: object, property: PropertyKey) {
    this.#target = target;
    this.#property = property;
    this.#descriptor = Object.getOwnPropertyDescriptor(target, property);
    if (this.#descriptor?.configurable === false) throw conflict(property);
    if (this.#descriptor === undefined && !Object.isExtensible(target)) throw conflict(property);
    this.#original = Reflect.get(target, property);
    this.#current = this.#original;
    if (typeof this.#original === 'function') this.#standIn = this.#createStandIn(this.#original);
  }

  addOwner(wrap: Wrap, onLast: () => void): Unpatch {
    const owner = { wrap };
    this.#owners.push(owner);
    try {
      this.#compose();
    } catch (error) {
      this.#removeOwner(owner, onLast);
      throw error;
    }
    let restoration: Restoration | undefined;
    return () => (restoration ??= this.#removeOwner(owner, onLast));
  }

  #removeOwner(owner: { readonly wrap: Wrap }, onLast: () => void): Restoration {
    this.#owners = this.#owners.filter((other) => other !== owner);
    if (this.#owners.length > 0) {
      this.#compose();
      return 'shared';
    }
    this.#current = this.#original;
    onLast();
    if (!this.#isInPlace()) return 'covered';
    if (this.#descriptor === undefined) Reflect.deleteProperty(this.#target, this.#property);
    else Object.defineProperty(this.#target, this.#property, this.#descriptor);
    syncExportsOf(this.#target);
    return 'restored';
  }

  #compose(): void {
    this.#current = this.#owners.reduce((inner, { wrap }) => wrap(inner), this.#original);
    const next = this.#standIn ?? this.#current;
    if (next === this.#installed) return;
    if (this.#installed !== undefined && !this.#isInPlace()) return;
    this.#installed = next;
    Object.defineProperty(this.#target, this.#property, this.#descriptorFor(next));
    syncExportsOf(this.#target);
  }

  #isInPlace(): boolean {
    const now = Object.getOwnPropertyDescriptor(this.#target, this.#property);
    if (now === undefined) return false;
    return (now.get === undefined ? now.value : now.get.call(this.#target)) === this.#installed;
  }

  #descriptorFor(value: unknown): PropertyDescriptor {
    const { configurable = true, enumerable = true, writable = true, ...own } = this.#descriptor ?? {};
    if (own.get === undefined) return { value, configurable, enumerable, writable };
    return { ...own, get: () => value, configurable, enumerable };
  }

  #createStandIn(original: object): (...args: unknown[]) => unknown {
    const call = (self: unknown, args: unknown[]): unknown =>
      Reflect.apply(this.#current as (...args: unknown[]) => unknown, self, args);
    const standIn = function (this: unknown, ...args: unknown[]): unknown {
      return call(this, args);
    };
    for (const key of Reflect.ownKeys(original)) {
      const own = Object.getOwnPropertyDescriptor(standIn, key);
      const theirs = Object.getOwnPropertyDescriptor(original, key);
      if (theirs !== undefined && own?.configurable !== false) Object.defineProperty(standIn, key, theirs);
    }
    return standIn;
  }
}

/** What was imported by name from a built-in module is a copy; a prototype is never such a module. */
function syncExportsOf(target: object): void {
  if (!Object.hasOwn(target, 'constructor')) syncBuiltinESMExports();
}

function conflict(property: PropertyKey): KeymuxError {
  return new KeymuxError('KEYMUX_PATCH_CONFLICT', `${String(property)} cannot be replaced: it is frozen.`, {
    fix: 'Load keymux before whatever freezes it, or use `manager.fetch` and `manager.run`.',
  });
}

/** Makes several patches or none: if one fails, those before it are undone. The returned function undoes all. */
export function patchAll(make: (keep: (undo: () => unknown) => void) => void): () => void {
  const undos: (() => unknown)[] = [];
  const undoAll = (): void => {
    for (const undo of undos.splice(0).reverse()) undo();
  };
  try {
    make((undo) => undos.push(undo));
  } catch (error) {
    undoAll();
    throw error;
  }
  return undoAll;
}

/**
 * Calls `onFirstUse` before a global that is loaded lazily is read for the first time. Even to look at the descriptor
 * of such a global loads what it stands for, so it is replaced blindly; `read` gives the true value. After its first
 * use, and after the undoing, the global is what `read` gives.
 */
export function trapFirstUse(name: string, read: () => unknown, onFirstUse: () => void): () => void {
  const settle = (value: unknown): void => {
    Object.defineProperty(globalThis, name, { value, configurable: true, enumerable: false, writable: true });
  };
  let isWatched = true;
  const get = (): unknown => {
    const value = read();
    settle(value);
    if (isWatched) onFirstUse();
    return value;
  };
  // A definition over the lazy property would load it; an assignment does not.
  (globalThis as Record<string, unknown>)[name] = undefined;
  Object.defineProperty(globalThis, name, { get, set: settle, configurable: true, enumerable: false });
  return () => {
    isWatched = false;
  };
}

/**
 * Calls `onRead` whenever somebody reads this property, until it returns true. The property keeps its value; to whoever
 * asks for its descriptor it is an accessor meanwhile.
 */
export function watchReads(target: object, property: PropertyKey, onRead: () => boolean): () => void {
  const descriptor = Object.getOwnPropertyDescriptor(target, property);
  if (descriptor?.configurable !== true) throw conflict(property);
  let isWatched = true;
  const stop = (): void => {
    isWatched = false;
    // Whoever came later goes first; until then this one only passes the value on.
    if (Object.getOwnPropertyDescriptor(target, property)?.get === get)
      Object.defineProperty(target, property, descriptor);
  };
  const read = (): unknown => (descriptor.get === undefined ? descriptor.value : descriptor.get.call(target));
  const get = (): unknown => {
    if (isWatched && onRead()) stop();
    return read();
  };
  const set = (value: unknown): void => {
    stop();
    Reflect.set(target, property, value);
  };
  Object.defineProperty(target, property, {
    get,
    set,
    configurable: true,
    enumerable: descriptor.enumerable === true,
  });
  return stop;
}
