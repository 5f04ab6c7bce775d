import { Accesses, callerIn } from '#keymux/manager/accesses.js';
import { KeymuxError } from '#keymux/core/errors.js';
import { describe, expect, it } from 'vitest';
import { acmeManager } from './acme.js';

const ACCESS = { key: 'acme/main', service: 'acme', way: 'library' } as const;

describe('watchAccesses', () => {
  it('counts what each way took, for each that watches', () => {
    const manager = acmeManager();
    manager.getApiKey('acme');
    const one = manager.watchAccesses();
    manager.getApiKey('acme');
    const two = manager.watchAccesses();
    manager.resolve('acme');
    expect(one.drain()).toEqual([
      { ...ACCESS, count: 2, callers: [expect.stringContaining('accesses.test.ts')] },
    ]);
    expect(two.drain()).toEqual([{ ...ACCESS, count: 1, callers: [] }]);
    expect(one.drain()).toEqual([]);
    one.stop();
    manager.getApiKey('acme');
    expect(one.drain()).toEqual([]);
    expect(two.drain()).toMatchObject([{ count: 1 }]);
    two.stop();
    expect(manager.accesses.isActive).toBe(false);
  });

  it('counts leases, and work that is run', async () => {
    const manager = acmeManager();
    const watch = manager.watchAccesses();
    (await manager.acquire('acme')).cancel();
    await manager.run('acme', () => Promise.resolve());
    expect(watch.drain()).toMatchObject([{ ...ACCESS, count: 2 }]);
  });
});

describe('Accesses', () => {
  it('tells who asked apart', () => {
    const accesses = new Accesses();
    const watch = accesses.watch();
    for (const by of ['one', 'two', 'one']) accesses.note('request', 'acme', 'acme/main', by);
    expect(watch.drain().map(({ by, count }) => [by, count])).toEqual([
      ['one', 2],
      ['two', 1],
    ]);
  });

  it('tells keys, services and ways apart, whatever came before', () => {
    const accesses = new Accesses();
    const watch = accesses.watch();
    const kinds = [
      ['library', 'acme', 'acme/main'],
      ['environment', 'acme', 'acme/main'],
      ['library', 'data', 'acme/main'],
      ['library', 'acme', 'acme/2'],
    ] as const;
    for (let round = 0; round < 3; round += 1)
      for (const [way, service, key] of kinds) accesses.note(way, service, key);
    expect(watch.drain().map(({ way, service, key, count }) => [way, service, key, count])).toEqual(
      kinds.map((kind) => [...kind, 3]),
    );
  });

  it('looks at callers again after a second, also where the program lets no timer run', async () => {
    const accesses = new Accesses();
    const watch = accesses.watch();
    const first = (): void => accesses.note('library', 'acme', 'acme/main');
    const second = (times: number): void => {
      for (let count = 0; count < times; count += 1) accesses.note('library', 'acme', 'acme/main');
    };
    const callers = (): readonly string[] => watch.drain()[0]?.callers ?? [];
    first();
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 1_050);
    second(64);
    expect(callers()).toEqual([expect.stringMatching(/ first$/), expect.stringMatching(/ second$/)]);
    second(200);
    expect(callers()).toEqual([]);
    const nextCallers = (): readonly string[] => {
      first();
      return callers();
    };
    await expect.poll(nextCallers, { timeout: 20_000 }).toHaveLength(1);
    watch.stop();
  });

  it('lets nobody take a key while anybody refuses', () => {
    const accesses = new Accesses();
    const error = new KeymuxError('KEYMUX_AUDIT_UNAVAILABLE', 'No.', { fix: 'Wait.' });
    const [one, two] = [{}, {}];
    accesses.refuse(one, error);
    accesses.refuse(two, error);
    accesses.refuse(one, undefined);
    expect(accesses.refusal).toBe(error);
    expect(() => accesses.note('library', 'acme', 'acme/main')).toThrow(error);
    accesses.refuse(two, undefined);
    expect([accesses.isActive, accesses.refusal]).toEqual([false, undefined]);
  });

  it('goes on where the program makes stacks its own way', () => {
    const before = Object.getOwnPropertyDescriptor(Error, 'prepareStackTrace');
    const accesses = new Accesses();
    const watch = accesses.watch();
    try {
      Error.prepareStackTrace = () => {
        throw new Error('odd');
      };
      accesses.note('library', 'acme', 'acme/main');
      Error.prepareStackTrace = (_, frames) => frames;
      accesses.note('library', 'acme', 'acme/2');
    } finally {
      if (before === undefined) delete (Error as { prepareStackTrace?: unknown }).prepareStackTrace;
      else Object.defineProperty(Error, 'prepareStackTrace', before);
    }
    expect(watch.drain()).toMatchObject([
      { count: 1, callers: [] },
      { count: 1, callers: [] },
    ]);
  });
});

describe('callerIn', () => {
  const stack = (...frames: string[]): string =>
    ['Error', ...frames.map((frame) => `    at ${frame}`)].join('\n');

  it('is the innermost frame that is neither ours nor of Node', () => {
    const text = stack(
      'KeyManager.getApiKey (file:///app/node_modules/keymux/dist/manager/key-manager.js:1:2)',
      'node:internal/process:1:2',
      'async ask (/app/src/agent.js:10:5)',
      'main (/app/src/main.js:1:1)',
    );
    expect(callerIn(text, '/app/node_modules/keymux/dist', '/app')).toBe('src/agent.js ask');
  });

  it('is a file alone where the function has no name, with its whole path elsewhere', () => {
    expect(callerIn(stack('file:///srv/other.mjs:3:1'), '/none', '/app')).toBe('/srv/other.mjs');
    expect(callerIn(stack('native', 'eval at <anonymous>'), '/none', '/app')).toBeUndefined();
  });
});
