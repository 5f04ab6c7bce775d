/**
 * `process.env` in which managed names are answered with the best key of the moment.
 *
 * The Proxy stands over an empty object: with the real environment as target V8 checks each answer against it, which
 * makes a read ten times as slow.
 */

/** What stands behind one managed name. */
export interface ManagedName {
  /** The value to answer; undefined answers as if the name were not set. */
  read(): string | undefined;
  /** Whether there is a value, without handing it out. */
  isSet(): boolean;
}

export interface EnvHooks {
  readonly names: ReadonlyMap<string | symbol, ManagedName>;
  /** What a name holds whatever is set; undefined: what is set. */
  fixed(name: string): string | undefined;
  /** The application set a name, by assignment or definition. */
  onSet(name: string, value: string): void;
  onDelete(name: string): void;
}

type Environment = NodeJS.ProcessEnv;

const INSPECT = Symbol.for('nodejs.util.inspect.custom');

export function createEnvProxy(real: Environment, hooks: EnvHooks): Environment {
  const { names } = hooks;
  // util.inspect looks through a Proxy at its target; the target's prototype tells it what to show.
  const inspectable: object = Object.create(Object.prototype, {
    [INSPECT]: {
      value: (_depth: number, options: unknown, inspect: (value: unknown, options: unknown) => string) =>
        inspect({ ...proxy }, options),
    },
  }) as object;
  const isSet = (name: string | symbol): boolean => {
    const managed = names.get(name);
    return managed === undefined ? name in real : managed.isSet();
  };
  const fixedOf = (name: string | symbol): string | undefined =>
    typeof name === 'string' ? hooks.fixed(name) : undefined;
  const proxy = new Proxy<Environment>(Object.create(inspectable) as Environment, {
    get(_target, name) {
      const managed = names.get(name);
      return managed === undefined ? real[name as string] : managed.read();
    },
    has: (_target, name) => isSet(name),
    set(_target, name, value) {
      real[name as string] = fixedOf(name) ?? (value as string);
      if (typeof name === 'string') hooks.onSet(name, String(value));
      return true;
    },
    defineProperty(_target, name, descriptor) {
      const value = fixedOf(name);
      const done = Reflect.defineProperty(
        real,
        name,
        value === undefined ? descriptor : { ...descriptor, value },
      );
      if (done && typeof name === 'string') hooks.onSet(name, String(descriptor.value));
      return done;
    },
    deleteProperty(_target, name) {
      const done = Reflect.deleteProperty(real, name);
      if (typeof name === 'string') hooks.onDelete(name);
      return done;
    },
    ownKeys() {
      const keys = new Set(Reflect.ownKeys(real));
      for (const [name, managed] of names) {
        if (managed.isSet()) keys.add(name);
        else keys.delete(name);
      }
      return [...keys];
    },
    getOwnPropertyDescriptor(_target, name) {
      const managed = names.get(name);
      if (managed === undefined) return Reflect.getOwnPropertyDescriptor(real, name);
      const value = managed.read();
      if (value === undefined) return undefined;
      return { value, writable: true, enumerable: true, configurable: true };
    },
    getPrototypeOf: () => Reflect.getPrototypeOf(real),
    setPrototypeOf: (_target, prototype) => Reflect.setPrototypeOf(real, prototype),
    preventExtensions: () => false,
  });
  return proxy;
}
