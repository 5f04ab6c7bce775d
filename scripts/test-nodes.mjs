// Runs the tests of all that touches the platform on the other Node versions that are supported. Each comes from the
// npm package `node`, into .tmp/. Arguments: versions (default: 22 24 26).
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { installClients, installNode } from './test-programs.mjs';

const VERSIONS = ['22', '24', '26'];
const TESTS = ['test/interceptors', 'test/manager', 'test/state', 'test/stores', 'test/cli', 'test/examples'];

const root = fileURLToPath(new URL('..', import.meta.url));

function run(command, args) {
  const env = { ...process.env, NO_COLOR: '1' };
  return spawnSync(command, args, { stdio: 'inherit', cwd: root, env }).status === 0;
}

installClients();
const chosen = process.argv.length > 2 ? process.argv.slice(2) : VERSIONS;
if (!run(process.execPath, ['scripts/build.mjs', '--if-stale'])) process.exit(1);
const failed = chosen.filter((version) => {
  console.log(`\n== Node ${version}`);
  const vitest = join('node_modules', 'vitest', 'vitest.mjs');
  return !run(installNode(version), [vitest, 'run', '--reporter=dot', ...TESTS]);
});
if (failed.length > 0) {
  console.error(`\nFailed on Node ${failed.join(', ')}.`);
  process.exit(1);
}
console.log(`\nPassed on Node ${chosen.join(', ')}.`);
