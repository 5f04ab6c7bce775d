import { fileURLToPath } from 'node:url';
import { defineConfig } from 'vitest/config';

// Tests run against the built package, as users do. KEYMUX_TEST_SOURCE=1 runs them against src/ without a build;
// tests that start threads or processes need the build all the same.
const source = fileURLToPath(new URL('./src/', import.meta.url));
const fromSource = process.env.KEYMUX_TEST_SOURCE === '1';

/** What keeps every core busy with processes of its own, or needs its servers' answers in time; nothing runs beside it. */
const FLEETS = [
  'test/chaos/**/*.test.ts',
  'test/fleet/exactness.test.ts',
  'test/cli/demo.test.ts',
  'test/stores/redis-store-topologies.test.ts',
  'test/stores/sqlite-lock-holder.test.ts',
];
/** Also on two cores: much of the time is spent waiting for sockets and other processes. */
const WORKERS = 3;

export default defineConfig({
  resolve: {
    alias: fromSource ? [{ find: /^#keymux\/(.*)\.js$/, replacement: `${source}$1.ts` }] : [],
  },
  test: {
    setupFiles: ['test/setup/coverage.ts'],
    pool: 'forks',
    sequence: { shuffle: { files: true, tests: true } },
    testTimeout: 30_000,
    // Loaded by Node itself, so that its coverage is that of the files as shipped.
    server: { deps: { external: [/\/dist\//] } },
    projects: [
      {
        extends: true,
        test: {
          name: 'tests',
          include: ['test/**/*.test.ts'],
          exclude: ['**/node_modules/**', ...FLEETS],
          maxWorkers: WORKERS,
          sequence: { groupOrder: 0 },
        },
      },
      {
        extends: true,
        test: { name: 'fleets', include: FLEETS, maxWorkers: 1, sequence: { groupOrder: 1 } },
      },
    ],
  },
});
