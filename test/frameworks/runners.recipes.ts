import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { describe, expect, it } from 'vitest';
import { Recipe } from './recipe.js';

const JEST = createRequire(new URL('installed/package.json', import.meta.url)).resolve('jest/bin/jest');
/** What node:test runs too (test/testing/test-isolation.test.ts). Its first test fails on purpose. */
const ISOLATION = readFileSync(new URL('../testing/isolation.node.mjs', import.meta.url), 'utf8');

/** The tests look for the state folder that the kit sets. */
const WITHOUT_STATE_FOLDER = 'data:text/javascript,delete process.env.KEYMUX_STATE_DIR';

describe('the testing kit in jest', () => {
  it.each([
    [
      'hooks that are imported',
      `import { afterEach, beforeEach, test } from '@jest/globals';`,
      'isolateTests({ beforeEach, afterEach });',
    ],
    ['its global hooks', '', 'isolateTests();'],
  ])('leaves nothing for the next test, with %s', async (_, imports, call) => {
    const recipe = new Recipe(undefined, {});
    recipe.write(
      'package.json',
      JSON.stringify({ type: 'module', jest: { transform: {}, testEnvironment: 'node' } }),
    );
    recipe.write(
      'isolation.test.js',
      ISOLATION.replace(/^import .* from 'node:test';$/m, imports).replace(/^isolateTests\(.*$/m, call),
    );

    const run = recipe.startBare([
      '--import',
      WITHOUT_STATE_FOLDER,
      '--experimental-vm-modules',
      JEST,
      '--json',
      '--silent',
    ]);
    const output = await run.ended.catch((error: unknown) => String(error));

    expect(output).toMatch(/on purpose/);
    const results = JSON.parse(/^\{.*\}$/m.exec(output)?.[0] ?? '{}') as {
      testResults: { assertionResults: { title: string; status: string }[] }[];
    };
    expect(
      results.testResults.flatMap(({ assertionResults }) =>
        assertionResults.map(({ title, status }) => `${title}: ${status}`),
      ),
    ).toEqual(['leaves everything on and fails: failed', 'begins anew: passed']);
  });
});
