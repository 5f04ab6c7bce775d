/** Keeps what one test did to its process from the next one, by the hooks of any runner. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { KeymuxError } from '../core/errors.js';
import { MinimalMultiKeyManager } from '../interceptors/process-manager.js';
import { shutDownNamedManagers } from '../manager/registry.js';
import { disposeTestManagers } from './test-manager.js';

/** The hooks of a test runner, as vitest, jest and node:test have them. */
export interface TestHooks {
  readonly beforeEach: (hook: () => Promise<void>) => unknown;
  readonly afterEach: (hook: () => Promise<void>) => unknown;
}

/**
 * Registers a reset around each test, whether it passes or fails: every test begins without a manager of the process,
 * without named ones and without test managers, with a state folder of its own (`KEYMUX_STATE_DIR`), and with the
 * variables that were set before. Call it once at the top of a test file, or within a `describe`. For tests that run
 * one after the other; those that run at once use `createTestManager` with `await using`.
 *
 * Default: the hooks that the runner has made global. Throws `KEYMUX_USAGE` where there are none.
 *
 * @example
 * import { afterEach, beforeEach } from 'node:test'; // or from 'vitest', or from '@jest/globals'
 * isolateTests({ beforeEach, afterEach });
 */
export function isolateTests(hooks: TestHooks = globalHooks()): void {
  let undo: (() => void) | undefined;
  hooks.beforeEach(async () => {
    await resetKeymux();
    undo = isolateEnvironment();
  });
  hooks.afterEach(async () => {
    try {
      await resetKeymux();
    } finally {
      undo?.();
      undo = undefined;
    }
  });
}

/** Disposes of every test manager, and shuts the manager of the process and all named managers down. */
export async function resetKeymux(): Promise<void> {
  const results = await Promise.allSettled([
    disposeTestManagers(),
    MinimalMultiKeyManager.resetInstance(),
    shutDownNamedManagers(),
  ]);
  for (const result of results) if (result.status === 'rejected') throw result.reason;
}

/** Sets a state folder that is empty. Returns how everything is put back. */
function isolateEnvironment(): () => void {
  const before = { ...process.env };
  const folder = mkdtempSync(join(tmpdir(), 'keymux-test-'));
  process.env['KEYMUX_STATE_DIR'] = folder;
  return () => {
    for (const name of Object.keys(process.env)) if (!(name in before)) delete process.env[name];
    for (const [name, value] of Object.entries(before))
      if (process.env[name] !== value) process.env[name] = value;
    rmSync(folder, { recursive: true, force: true });
  };
}

function globalHooks(): TestHooks {
  const { beforeEach, afterEach } = globalThis as Partial<TestHooks>;
  if (beforeEach !== undefined && afterEach !== undefined) return { beforeEach, afterEach };
  throw new KeymuxError('KEYMUX_USAGE', 'This test runner has no global beforeEach and afterEach.', {
    fix: 'Import them from the runner and pass them: isolateTests({ beforeEach, afterEach }).',
  });
}
