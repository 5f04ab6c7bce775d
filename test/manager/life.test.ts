import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { KeymuxError } from '#keymux/core/errors.js';
import { SUCCESS } from '#keymux/core/outcome.js';
import type { Store } from '#keymux/core/ports.js';
import { KeyManager } from '#keymux/manager/key-manager.js';
import { PHASES, PhaseRunner } from '#keymux/manager/phases.js';
import { createKeyManager, getApiManager, keyManagers, runWithKeyManager } from '#keymux/manager/registry.js';
import { afterEach, describe, expect, it } from 'vitest';
import { acmeConfig, acmeEnv, acmeManager, memoryStore } from './acme.js';

function options(store: Store = memoryStore()) {
  return { env: acmeEnv(['key-one']), cwd: '/nonexistent', config: acmeConfig(), store };
}

function caught(work: () => unknown): KeymuxError {
  try {
    work();
  } catch (error) {
    expect(error).toBeInstanceOf(KeymuxError);
    return error as KeymuxError;
  }
  return expect.unreachable();
}

describe('initialization', () => {
  it.each([...PHASES])('undoes what came before when %s fails, and names the phase', async (failing) => {
    const runner = new PhaseRunner();
    const undone: string[] = [];
    const error = caught(() => {
      for (const phase of PHASES) {
        runner.run(phase, () => {
          if (phase === failing) throw new Error('broken on purpose');
        });
        runner.onUndo(phase, () => void undone.push(phase));
      }
    });
    await new Promise(setImmediate);
    expect(error).toMatchObject({ code: 'KEYMUX_INIT_FAILED', cause: { message: 'broken on purpose' } });
    expect(error.message).toContain(failing);
    expect(undone).toEqual(PHASES.slice(0, PHASES.indexOf(failing)).toReversed());
  });

  it('goes on undoing when one undo fails', async () => {
    const runner = new PhaseRunner();
    const undone: string[] = [];
    runner.onUndo('data structures', () => void undone.push('first'));
    runner.onUndo('integration', () => Promise.reject(new Error('stuck')));
    const warned = new Promise((resolve) => process.once('warning', resolve));
    await runner.undoAll();
    expect(undone).toEqual(['first']);
    expect(await warned).toMatchObject({ message: expect.stringContaining('integration') as string });
  });

  it('closes the store again when the integration fails, and can be tried anew', async () => {
    const store = memoryStore();
    let closed = 0;
    const watched: Store = { ...store, kind: 'memory', shared: false, close: () => void (closed += 1) };
    for (const name of ['now', 'open', 'publish', 'watch', 'lease', 'settle', 'addUsage', 'usage'] as const) {
      Object.assign(watched, { [name]: (store[name] as (...args: unknown[]) => unknown).bind(store) });
    }
    const seams = {
      integrate: () => {
        throw new Error('a global is frozen');
      },
    };
    expect(caught(() => new KeyManager(options(watched), seams)).message).toContain('integration failed');
    await expect.poll(() => closed).toBe(1);
    const second = new KeyManager(options());
    expect(second.getApiKey('acme')).toBe('key-one');
    await second.shutdown();
  });

  it('names the phase of a faulty configuration and keeps its fix', () => {
    const error = caught(
      () => new KeyManager({ ...options(), config: { providers: { acme: { baseUrll: 'x' } } } as object }),
    );
    expect(error.code).toBe('KEYMUX_INIT_FAILED');
    expect(error.message).toContain('external dependencies');
    expect(error.message).toContain('baseUrl');
  });

  it('is ready once the state is recovered, also from a store that takes its time', async () => {
    const store = memoryStore();
    let open: () => void = () => {};
    const slow: Store = Object.assign(Object.create(store) as Store, {
      open: async () => {
        await new Promise<void>((resolve) => (open = resolve));
        return { records: [], usage: [] };
      },
      now: () => store.now(),
      watch: () => () => {},
      close: () => {},
      publish: () => [],
      addUsage: () => {},
    });
    const manager = new KeyManager(options(slow));
    let isReady = false;
    void manager.ready.then(() => (isReady = true));
    const acquired = manager.acquire('acme');
    await new Promise(setImmediate);
    expect(isReady).toBe(false);
    expect(manager.getApiKey('acme')).toBe('key-one');
    open();
    (await acquired).end();
    await manager.ready;
    await manager.shutdown();
  });

  it('goes on without a store that fails to open, and says so once', async () => {
    const warnings: string[] = [];
    const store = memoryStore();
    const broken: Store = Object.assign(Object.create(store) as Store, {
      open: () => Promise.reject(new Error('disk on fire')),
      now: () => store.now(),
      watch: () => () => {},
      close: () => {},
      addUsage: () => {},
    });
    const logger = { warn: (message: string) => void warnings.push(message), info: () => {} };
    const manager = new KeyManager({ ...options(broken), logger });
    await manager.ready;
    expect(manager.getApiKey('acme')).toBe('key-one');
    expect(warnings).toHaveLength(1);
    expect(warnings[0]).toContain('disk on fire');
    await manager.shutdown();
  });
});

describe('shutdown', () => {
  it('waits for requests under way, refuses new ones, and may be called twice', async () => {
    const manager = acmeManager();
    const lease = await manager.acquire('acme');
    let isDown = false;
    const down = manager.shutdown().then(() => (isDown = true));
    await expect(manager.acquire('acme')).rejects.toMatchObject({ code: 'KEYMUX_CLOSED' });
    expect(() => manager.getApiKey('acme')).toThrow(expect.objectContaining({ code: 'KEYMUX_CLOSED' }));
    await new Promise(setImmediate);
    expect(isDown).toBe(false);
    lease.report(SUCCESS);
    lease.end();
    await down;
    await manager.shutdown();
  });

  it('does not wait for ever', async () => {
    const manager = acmeManager({ options: { drainMs: 20 } });
    const lease = await manager.acquire('acme');
    await manager.shutdown();
    lease.end();
  });

  it('rejects those that wait for a key', async () => {
    const manager = acmeManager({
      keys: ['key-one'],
      provider: { limits: [{ requests: 1, per: 'minute' }] },
    });
    (await manager.acquire('acme')).end();
    const waiting = manager.acquire('acme', { timeoutMs: 120_000 });
    await new Promise(setImmediate);
    await manager.shutdown();
    await expect(waiting).rejects.toMatchObject({ code: 'KEYMUX_CLOSED' });
  });

  it('leaves no handle: the process ends by itself', () => {
    const directory = mkdtempSync(join(tmpdir(), 'keymux-life-'));
    const entry = fileURLToPath(new URL('../../dist/index.js', import.meta.url));
    const program = `
      import { MinimalMultiKeyManager } from ${JSON.stringify(entry)};
      const manager = MinimalMultiKeyManager.instance();
      await manager.ready;
      const lease = await manager.acquire('finnhub');
      lease.end();
      await MinimalMultiKeyManager.resetInstance();
      // Node puts off what it does after a garbage collection until then, and counts that as an Immediate.
      await new Promise(setImmediate);
      console.log(JSON.stringify(process.getActiveResourcesInfo().filter((name) => !/^(TTY|Pipe|FS|CloseReq)/.test(name))));`;
    const { stdout, stderr, status } = spawnSync(process.execPath, ['--input-type=module', '-e', program], {
      encoding: 'utf8',
      timeout: 20_000,
      cwd: directory,
      env: { ...process.env, FINNHUB_API_KEY: 'c1a2n3a4r5y6', KEYMUX_STATE_DIR: directory },
    });
    rmSync(directory, { recursive: true, force: true });
    expect({ stdout, stderr, status }).toMatchObject({ stdout: '[]\n', stderr: '', status: 0 });
  });
});

describe('reload', () => {
  it('takes up new keys without a restart and keeps what is known of the old ones', () => {
    const env = acmeEnv(['key-one', 'key-two']);
    const manager = acmeManager({ options: { env } });
    manager.report('acme/main', 'rejected');
    env['ACME_API_KEY_3'] = 'key-three';
    delete env['ACME_API_KEY_2'];
    manager.reload();
    expect(manager.inspect().keys.map(({ id, state }) => [id, state])).toEqual([
      ['acme/main', 'rejected'],
      ['acme/3', 'unproven'],
    ]);
    expect(manager.getApiKey('acme')).toBe('key-three');
  });

  it('does not take a swapped key for the old one', () => {
    const env = acmeEnv(['key-one']);
    const manager = acmeManager({ options: { env } });
    manager.report('acme/main', 'rejected');
    env['ACME_API_KEY'] = 'key-new';
    manager.reload();
    expect(manager.getApiKey('acme')).toBe('key-new');
  });

  it('changes nothing where the configuration became faulty', () => {
    const config = acmeConfig() as { providers: Record<string, object> };
    const manager = acmeManager({ options: { config } });
    config.providers['acme'] = { baseUrl: 'not a url' };
    expect(() => manager.reload()).toThrow(expect.objectContaining({ code: 'KEYMUX_CONFIG_INVALID' }));
    expect(manager.getApiKey('acme')).toBe('key-one');
  });
});

describe('the registry', () => {
  const created: KeyManager[] = [];
  afterEach(async () => {
    for (const manager of created.splice(0)) await manager.shutdown();
  });

  function create(name: string): KeyManager {
    const manager = keyManagers.create(name, options());
    created.push(manager);
    return manager;
  }

  it('keeps managers by name until they are shut down', async () => {
    const manager = create('trading');
    expect(keyManagers.get('trading')).toBe(manager);
    expect(getApiManager('trading')).toBe(manager);
    expect(() => create('trading')).toThrow(expect.objectContaining({ code: 'KEYMUX_USAGE' }));
    await manager.shutdown();
    expect(keyManagers.has('trading')).toBe(false);
    expect(() => keyManagers.get('trading')).toThrow(expect.objectContaining({ code: 'KEYMUX_USAGE' }));
    expect(create('trading')).not.toBe(manager);
  });

  it('gives code below a scope the manager of that scope', async () => {
    await using inner = createKeyManager(options());
    await using outer = createKeyManager(options());
    await runWithKeyManager(outer, async () => {
      expect(getApiManager()).toBe(outer);
      await runWithKeyManager(inner, async () => {
        await new Promise(setImmediate);
        expect(getApiManager()).toBe(inner);
      });
      expect(getApiManager()).toBe(outer);
    });
  });
});
