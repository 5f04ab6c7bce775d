import { fileURLToPath } from 'node:url';
import { defineConfig } from 'vitest/config';

/** A project of its own: it needs what only scripts/test-frameworks.mjs installs. */
export default defineConfig({
  cacheDir: fileURLToPath(new URL('../../node_modules/.vite', import.meta.url)),
  test: {
    root: fileURLToPath(new URL('.', import.meta.url)),
    include: ['*.recipes.ts'],
    pool: 'forks',
    server: { deps: { external: [/\/dist\//] } },
    maxWorkers: 2,
    sequence: { shuffle: { files: true, tests: true } },
    // `next build` compiles a whole application.
    testTimeout: 180_000,
  },
});
