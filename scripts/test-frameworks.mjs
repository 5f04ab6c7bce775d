// Runs the recipes of docs/frameworks.md in the frameworks themselves. Those come from the npm registry into
// test/frameworks/installed, and find this checkout there as the package `keymux`. Further arguments go to vitest.
import { spawnSync } from 'node:child_process';
import { copyFileSync, cpSync, rmSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { installFolder } from './test-programs.mjs';

const root = fileURLToPath(new URL('..', import.meta.url));
const folder = join(root, 'test/frameworks');

const vitest = join(dirname(createRequire(import.meta.url).resolve('vitest/package.json')), 'vitest.mjs');

function runNode(args) {
  const { status, error } = spawnSync(process.execPath, args, { cwd: root, stdio: 'inherit' });
  if (error !== undefined) throw error;
  if (status !== 0) process.exit(status ?? 1);
}

/** A copy, as npm makes one: bundlers take a package for one only where its files are in `node_modules`. */
function installThisCheckout() {
  const keymux = join(folder, 'installed/node_modules/keymux');
  rmSync(keymux, { recursive: true, force: true });
  cpSync(join(root, 'dist'), join(keymux, 'dist'), { recursive: true });
  copyFileSync(join(root, 'package.json'), join(keymux, 'package.json'));
}

installFolder('test/frameworks/installed', 'the frameworks that the recipes are for');
runNode([join(root, 'scripts/build.mjs'), '--if-stale']);
installThisCheckout();
runNode([vitest, 'run', '--config', join(folder, 'vitest.config.ts'), ...process.argv.slice(2)]);
