// Run by node:test, from test-isolation.test.ts. Its first test fails on purpose.
import assert from 'node:assert/strict';
import { afterEach, beforeEach, test } from 'node:test';
import { MinimalMultiKeyManager, keyManagers } from 'keymux';
import { createTestManager, isolateTests } from 'keymux/testing';

isolateTests({ beforeEach, afterEach });

const before = { environment: process.env, fetch: globalThis.fetch, variables: Object.keys(process.env) };
const left = [];

test('leaves everything on and fails', async () => {
  process.env.LEFT_BEHIND = 'yes';
  left.push(keyManagers.create('leftover', { config: false, env: {} }));
  left.push((await createTestManager({ intercept: true })).manager);
  assert.notEqual(process.env, before.environment);
  assert.fail('on purpose');
});

test('begins anew', () => {
  assert.deepEqual(
    left.map(({ closed }) => closed),
    [true, true],
  );
  assert.equal(process.env, before.environment);
  assert.equal(globalThis.fetch, before.fetch);
  assert.deepEqual(
    Object.keys(process.env).filter((name) => !before.variables.includes(name)),
    ['KEYMUX_STATE_DIR'],
  );
  assert.equal(MinimalMultiKeyManager.instance({ config: false, env: {} }).closed, false);
});
