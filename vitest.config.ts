import { fileURLToPath } from 'node:url';
import { defineConfig } from 'vitest/config';

// Tests run against the built package, as users do. KEYMUX_TEST_SOURCE=1 runs them against src/ without a build;
// tests that start threads or processes need the build all the same.
const source = fileURLToPath(new URL('./src/', import.meta.url));
const fromSource = process.env.KEYMUX_TEST_SOURCE === '1';

export default defineConfig({
  resolve: {
    alias: fromSource ? [{ find: /^#keymux\/(.*)\.js$/, replacement: `${source}$1.ts` }] : [],
  },
  test: {
    include: ['test/**/*.test.ts'],
    setupFiles: ['test/setup/coverage.ts'],
    pool: 'forks',
    sequence: { shuffle: { files: true, tests: true } },
    testTimeout: 30_000,
    // Loaded by Node itself, so that its coverage is that of the files as shipped.
    server: { deps: { external: [/\/dist\//] } },
  },
});
