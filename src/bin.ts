#!/usr/bin/env node
/** The command `keymux`. */
import { createRequire } from 'node:module';

/** In one file: as the many that it is made of, it takes three times as long to start. */
const { runCli } = createRequire(import.meta.url)('#keymux/cli/main.cjs') as typeof import('./cli/main.js');

await runCli(process.argv.slice(2));
