import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { existsSync } from 'node:fs';
import { MinimalMultiKeyManager } from '#keymux/interceptors/process-manager.js';
import { keyManagers } from '#keymux/manager/registry.js';
import { isolateTests } from '#keymux/testing/test-isolation.js';
import { createTestManager } from '#keymux/testing/test-manager.js';

const options = { env: {}, cwd: '/nonexistent', config: { store: { type: 'memory' } } } as const;

/** A runner of its own: takes hooks as jest does, and runs bodies whether or not they fail. */
function runner() {
  const before: (() => Promise<void>)[] = [];
  const after: (() => Promise<void>)[] = [];
  return {
    hooks: {
      beforeEach: (hook: () => Promise<void>) => void before.push(hook),
      afterEach: (hook: () => Promise<void>) => void after.push(hook),
    },
    all: () => [...before, ...after],
    async run(body: () => unknown): Promise<unknown> {
      for (const hook of before) await hook();
      try {
        return await body();
      } catch (error) {
        return error;
      } finally {
        for (const hook of after) await hook();
      }
    },
  };
}

describe('isolateTests', () => {
  it('shuts down whatever a test leaves, also where the test fails', async () => {
    const { hooks, run } = runner();
    isolateTests(hooks);
    const environment = process.env;
    const nativeFetch = globalThis.fetch;
    const left: { readonly closed: boolean }[] = [];
    let folder: string | undefined;
    const failure = await run(async () => {
      folder = process.env['KEYMUX_STATE_DIR'];
      process.env['LEFT_BEHIND'] = 'yes';
      process.env['PATH'] = '/changed';
      left.push((await createTestManager()).manager, keyManagers.create('leftover', options));
      left.push(MinimalMultiKeyManager.instance(options));
      expect(process.env).not.toBe(environment);
      throw new Error('the test failed');
    });
    expect(failure).toMatchObject({ message: 'the test failed' });
    expect(left.map(({ closed }) => closed)).toEqual([true, true, true]);
    expect(keyManagers.has('leftover')).toBe(false);
    expect(process.env).toBe(environment);
    expect(globalThis.fetch).toBe(nativeFetch);
    expect(process.env['LEFT_BEHIND']).toBeUndefined();
    expect(process.env['PATH']).not.toBe('/changed');
    expect(existsSync(folder ?? '')).toBe(false);
  });

  it('gives each test a state folder of its own', async () => {
    const { hooks, run } = runner();
    isolateTests(hooks);
    const before = process.env['KEYMUX_STATE_DIR'];
    const look = () => process.env['KEYMUX_STATE_DIR'];
    const folders = [await run(look), await run(look)];
    expect(new Set([...folders, before]).size).toBe(3);
    expect(process.env['KEYMUX_STATE_DIR']).toBe(before);
  });

  it('registers hooks that every runner takes: without parameters, and without a value that means something', async () => {
    const { hooks, all } = runner();
    isolateTests(hooks);
    for (const hook of all()) {
      expect(hook.length).toBe(0);
      expect(await hook()).toBeUndefined();
    }
  });

  it('puts the variables back though a manager cannot be shut down, and says so', async () => {
    const { hooks, run } = runner();
    isolateTests(hooks);
    const before = process.env['KEYMUX_STATE_DIR'];
    const trouble = new Error('will not go');
    const running = run(() => {
      const manager = keyManagers.create('stubborn', options);
      const shutdown = manager.shutdown.bind(manager);
      manager.shutdown = async () => {
        await shutdown();
        throw trouble;
      };
    });
    await expect(running).rejects.toBe(trouble);
    expect(process.env['KEYMUX_STATE_DIR']).toBe(before);
  });

  it('finds hooks that are global, and says how to pass them where none are', async () => {
    const { hooks, all } = runner();
    expect(() => isolateTests()).toThrow(/no global beforeEach/);
    Object.assign(globalThis, hooks);
    try {
      isolateTests();
    } finally {
      for (const name of Object.keys(hooks)) Reflect.deleteProperty(globalThis, name);
    }
    expect(all()).toHaveLength(2);
  });
});

describe('in vitest', { shuffle: false }, () => {
  isolateTests({ beforeEach, afterEach });
  let earlier: MinimalMultiKeyManager | undefined;

  it.fails('lets a test fail with the manager of the process on', () => {
    earlier = MinimalMultiKeyManager.instance(options);
    expect(process.env['KEYMUX_STATE_DIR']).toBe('nothing');
  });

  it('begins the next one without it', () => {
    expect(earlier?.closed).toBe(true);
    expect(MinimalMultiKeyManager.instance(options)).not.toBe(earlier);
  });
});

describe('in node:test', () => {
  it('resets between tests, the failed ones included', async () => {
    const file = fileURLToPath(new URL('isolation.node.mjs', import.meta.url));
    const run = promisify(execFile)(process.execPath, ['--test', '--test-reporter=tap', file], {
      env: { ...process.env, NODE_TEST_CONTEXT: undefined },
    });
    const { stdout } = await run.catch((error: unknown) => error as { stdout: string });
    expect(stdout).toMatch(/not ok 1 - leaves everything on and fails/);
    expect(stdout).toMatch(/\nok 2 - begins anew/);
    expect(stdout).toMatch(/# pass 1\n# fail 1\n/);
  });
});
