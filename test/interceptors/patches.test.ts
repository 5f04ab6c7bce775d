import http from 'node:http';
import { request as namedRequest } from 'node:http';
import { afterEach, describe, expect, it } from 'vitest';
import { patch, trapFirstUse } from '#keymux/interceptors/patches.js';
import type { Unpatch } from '#keymux/interceptors/patches.js';

const REGISTRY = Symbol.for('keymux.patches');
const undos: Unpatch[] = [];

afterEach(() => {
  for (const undo of undos.splice(0).reverse()) undo();
  expect(Reflect.get(globalThis, REGISTRY)).toBeUndefined();
});

function patchUntilEnd<T extends object, K extends keyof T>(
  target: T,
  property: K,
  wrap: (original: T[K]) => T[K],
): Unpatch {
  const undo = patch(target, property, wrap);
  undos.push(undo);
  return undo;
}

function greeter() {
  return { greet: (name: string) => `hello ${name}` };
}

describe('patch', () => {
  it('replaces a function and restores the very descriptor', () => {
    const target = greeter();
    Object.defineProperty(target, 'greet', { enumerable: false, writable: false });
    const before = Object.getOwnPropertyDescriptor(target, 'greet');
    const undo = patchUntilEnd(target, 'greet', (original) => (name) => `${original(name)}!`);
    expect(target.greet('you')).toBe('hello you!');
    expect(undo()).toBe('restored');
    expect(Object.getOwnPropertyDescriptor(target, 'greet')).toEqual(before);
  });

  it('keeps name, length and further members of a function', () => {
    const greet = (name: string, times: number): string => name.repeat(times);
    const target = { greet: Object.assign(greet, { mark: 1 }) };
    patchUntilEnd(target, 'greet', (original) => original);
    expect([target.greet.name, target.greet.length, target.greet.mark]).toEqual(['greet', 2, 1]);
  });

  it('hands on `this`', () => {
    const target = {
      name: 'me',
      tell(this: { name: string }) {
        return this.name;
      },
    };
    patchUntilEnd(target, 'tell', (original) => original);
    expect(target.tell.call({ name: 'you' })).toBe('you');
  });

  it('lets every further owner wrap the ones before, and restores when the last one leaves', () => {
    const target = greeter();
    const { greet } = target;
    const first = patchUntilEnd(target, 'greet', (original) => (name) => `(${original(name)})`);
    const seenByOthers = target.greet;
    const second = patchUntilEnd(target, 'greet', (original) => (name) => `[${original(name)}]`);
    expect(target.greet).toBe(seenByOthers);
    expect(target.greet('you')).toBe('[(hello you)]');
    expect(first()).toBe('shared');
    expect(target.greet('you')).toBe('[hello you]');
    expect(second()).toBe('restored');
    expect(target.greet).toBe(greet);
    expect([first(), second()]).toEqual(['shared', 'restored']);
  });

  it('only passes through where somebody else patched over it', () => {
    const target = greeter();
    const undo = patchUntilEnd(target, 'greet', (original) => (name) => `${original(name)}!`);
    const ours = target.greet;
    const theirs = (name: string) => `their ${ours(name)}`;
    target.greet = theirs;
    expect(target.greet('you')).toBe('their hello you!');
    expect(undo()).toBe('covered');
    expect(target.greet).toBe(theirs);
    expect(target.greet('you')).toBe('their hello you');
  });

  it('leaves it to itself when somebody deleted it', () => {
    const target: { greet?: () => string } = { greet: () => 'hello' };
    const undo = patchUntilEnd(target, 'greet', (original) => original);
    delete target.greet;
    expect(undo()).toBe('covered');
    expect('greet' in target).toBe(false);
  });

  it('does not reinstall over somebody else when a further owner comes', () => {
    const target: { value: object } = { value: { from: 'me' } };
    const undo = patchUntilEnd(target, 'value', () => ({ from: 'keymux' }));
    const theirs = { from: 'them' };
    target.value = theirs;
    patchUntilEnd(target, 'value', () => ({ from: 'keymux again' }));
    expect(target.value).toBe(theirs);
    undo();
  });

  it('takes an inherited member away again', () => {
    class Parent {
      greet() {
        return 'hello';
      }
    }
    class Child extends Parent {}
    const undo = patchUntilEnd(
      Child.prototype,
      'greet',
      (original) =>
        function (this: Child) {
          return `${original.call(this)}!`;
        },
    );
    expect(new Child().greet()).toBe('hello!');
    undo();
    expect(Object.hasOwn(Child.prototype, 'greet')).toBe(false);
  });

  it('replaces what an accessor gives', () => {
    let assigned: unknown;
    const target = {
      get value(): string {
        return 'original';
      },
      set value(value: string) {
        assigned = value;
      },
    };
    const before = Object.getOwnPropertyDescriptor(target, 'value');
    const undo = patchUntilEnd(target, 'value', (original) => `${original}, replaced`);
    expect(target.value).toBe('original, replaced');
    target.value = 'new';
    expect(assigned).toBe('new');
    expect(undo()).toBe('restored');
    expect(Object.getOwnPropertyDescriptor(target, 'value')).toEqual(before);
  });

  it('replaces what an accessor without a setter gives', () => {
    const target = Object.defineProperty({} as { value: number }, 'value', {
      get: () => 1,
      configurable: true,
    });
    patchUntilEnd(target, 'value', (original) => original + 1);
    expect(target.value).toBe(2);
  });

  it('is seen by what was imported by name from a built-in module', () => {
    const original = namedRequest;
    const undo = patchUntilEnd(http, 'request', (inner) => inner);
    expect(namedRequest).not.toBe(original);
    expect(namedRequest).toBe(http.request);
    undo();
    expect(namedRequest).toBe(original);
  });

  it('refuses what is frozen, and leaves nothing behind', () => {
    const frozen = Object.freeze(greeter());
    expect(() => patch(frozen, 'greet', (original) => original)).toThrow(
      expect.objectContaining({ code: 'KEYMUX_PATCH_CONFLICT' }),
    );
    const sealed = Object.freeze(Object.create(frozen)) as typeof frozen;
    expect(() => patch(sealed, 'greet', (original) => original)).toThrow('frozen');
    expect(Reflect.get(globalThis, REGISTRY)).toBeUndefined();
  });

  it('leaves nothing behind when the replacement cannot be made', () => {
    const target = greeter();
    const before = Object.getOwnPropertyDescriptor(target, 'greet');
    expect(() =>
      patch(target, 'greet', () => {
        throw new RangeError('no');
      }),
    ).toThrow('no');
    expect(Object.getOwnPropertyDescriptor(target, 'greet')).toEqual(before);
  });

  it('is shared by two copies of the package, and refused by an incompatible one', () => {
    const target = greeter();
    patchUntilEnd(target, 'greet', (original) => original);
    const registry = Reflect.get(globalThis, REGISTRY) as { version: number };
    registry.version += 1;
    expect(() => patch(target, 'greet', (original) => original)).toThrow('incompatible');
    registry.version -= 1;
  });
});

describe('trapFirstUse', () => {
  const globals = globalThis as { lazyThing?: unknown };

  afterEach(() => void delete globals.lazyThing);

  it('tells of the first use, and is gone then', () => {
    let uses = 0;
    const thing = {};
    trapFirstUse(
      'lazyThing',
      () => thing,
      () => (uses += 1),
    );
    expect(uses).toBe(0);
    expect(globals.lazyThing).toBe(thing);
    expect(globals.lazyThing).toBe(thing);
    expect(uses).toBe(1);
    expect(Object.getOwnPropertyDescriptor(globals, 'lazyThing')).toEqual({
      value: thing,
      configurable: true,
      enumerable: false,
      writable: true,
    });
  });

  it('says nothing once it is undone, and still gives the thing', () => {
    const undo = trapFirstUse(
      'lazyThing',
      () => 'thing',
      () => expect.unreachable(),
    );
    undo();
    expect(globals.lazyThing).toBe('thing');
  });

  it('gives way to an assignment', () => {
    trapFirstUse(
      'lazyThing',
      () => 'thing',
      () => expect.unreachable(),
    );
    globals.lazyThing = 'mine';
    expect(globals.lazyThing).toBe('mine');
  });
});
