import { inspect } from 'node:util';
import { createEnvProxy } from '#keymux/interceptors/env-proxy.js';
import { describe, expect, it } from 'vitest';

function proxied(
  managed: Record<string, string | undefined>,
  real: NodeJS.ProcessEnv = { PLAIN: 'plain' },
  fixed: Record<string, string> = {},
) {
  const told: string[] = [];
  const names = new Map(
    Object.entries(managed).map(([name, value]) => [
      name,
      { read: () => value, isSet: () => value !== undefined },
    ]),
  );
  const env = createEnvProxy(real, {
    names,
    fixed: (name) => fixed[name],
    onSet: (name, value) => void told.push(`set ${name} ${value}`),
    onDelete: (name) => void told.push(`delete ${name}`),
  });
  return { env, real, told };
}

describe('the stand-in for process.env', () => {
  it('answers a managed name without a key as if it were not set', () => {
    const { env } = proxied(
      { NONE: undefined, SOME: 'key' },
      { NONE: 'what the application set', PLAIN: 'plain' },
    );
    expect(env['NONE']).toBeUndefined();
    expect('NONE' in env).toBe(false);
    expect(Object.getOwnPropertyDescriptor(env, 'NONE')).toBeUndefined();
    expect(Object.keys(env).toSorted()).toEqual(['PLAIN', 'SOME']);
    expect({ ...env }).toEqual({ PLAIN: 'plain', SOME: 'key' });
  });

  it('passes symbols through and tells nobody of them', () => {
    const { env, real, told } = proxied({});
    const symbol = Symbol('own');
    const open = env as Record<symbol, unknown>;
    open[symbol] = 'value';
    expect(open[symbol]).toBe('value');
    expect((real as Record<symbol, unknown>)[symbol]).toBe('value');
    Object.defineProperty(env, symbol, { value: 'other', configurable: true });
    expect(delete open[symbol]).toBe(true);
    expect(symbol in env).toBe(false);
    expect(told).toEqual([]);
  });

  it('tells what is set, defined and deleted, and refuses as the real one does', () => {
    const { env, real, told } = proxied({ KEY: 'key' });
    env['KEY'] = 'new';
    Object.defineProperty(env, 'DEFINED', {
      value: 'x',
      configurable: true,
      enumerable: true,
      writable: true,
    });
    delete env['KEY'];
    expect(told).toEqual(['set KEY new', 'set DEFINED x', 'delete KEY']);
    Object.freeze(real);
    expect(() => Object.defineProperty(env, 'LATE', { value: 'x' })).toThrow(TypeError);
    expect(Reflect.defineProperty(env, 'LATE', { value: 'x' })).toBe(false);
    expect(told).toHaveLength(3);
  });

  it('keeps what is fixed, and still tells what was set', () => {
    const { env, real, told } = proxied({}, {}, { FIXED: 'fixed' });
    env['FIXED'] = 'other';
    expect(real['FIXED']).toBe('fixed');
    Object.defineProperty(env, 'FIXED', {
      value: 'more',
      configurable: true,
      enumerable: true,
      writable: true,
    });
    expect(real['FIXED']).toBe('fixed');
    expect(told).toEqual(['set FIXED other', 'set FIXED more']);
    expect(delete env['FIXED']).toBe(true);
    expect(real['FIXED']).toBeUndefined();
  });

  it('shows itself as it answers, and keeps the prototype of the real one', () => {
    const prototype = { inherited: true };
    const { env, real } = proxied({ KEY: 'key' });
    expect(inspect(env)).toBe("{ PLAIN: 'plain', KEY: 'key' }");
    expect(inspect({ env }, { depth: 3 })).toContain("KEY: 'key'");
    expect(Object.getPrototypeOf(env)).toBe(Object.getPrototypeOf(real));
    expect(Reflect.setPrototypeOf(env, prototype)).toBe(true);
    expect(Object.getPrototypeOf(real)).toBe(prototype);
    expect(Reflect.preventExtensions(env)).toBe(false);
  });
});
