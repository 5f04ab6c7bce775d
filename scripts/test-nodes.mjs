// Runs the tests of all that touches the platform on the other Node versions that are supported. Each comes from the
// npm package `node`, into .tmp/. Arguments: versions (default: 22 24 26).
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const VERSIONS = ['22', '24', '26'];
const TESTS = ['test/interceptors', 'test/manager', 'test/state', 'test/stores', 'test/cli', 'test/examples'];

const root = fileURLToPath(new URL('..', import.meta.url));

function install(version) {
  const folder = join(root, '.tmp', `node-${version}`);
  const binary = join(folder, 'node_modules', 'node', 'bin', 'node');
  if (!existsSync(binary)) {
    mkdirSync(folder, { recursive: true });
    const args = ['install', '--prefix', folder, '--no-save', '--no-audit', '--no-fund', `node@${version}`];
    spawnSync('npm', args, { stdio: ['ignore', 'ignore', 'inherit'], cwd: folder });
  }
  if (existsSync(binary)) return binary;
  throw new Error(`node@${version} could not be installed from the registry.`);
}

function run(command, args) {
  const env = { ...process.env, NO_COLOR: '1' };
  return spawnSync(command, args, { stdio: 'inherit', cwd: root, env }).status === 0;
}

const chosen = process.argv.length > 2 ? process.argv.slice(2) : VERSIONS;
if (!run(process.execPath, ['scripts/build.mjs', '--if-stale'])) process.exit(1);
const failed = chosen.filter((version) => {
  console.log(`\n== Node ${version}`);
  const vitest = join('node_modules', 'vitest', 'vitest.mjs');
  return !run(install(version), [vitest, 'run', '--reporter=dot', ...TESTS]);
});
if (failed.length > 0) {
  console.error(`\nFailed on Node ${failed.join(', ')}.`);
  process.exit(1);
}
console.log(`\nPassed on Node ${chosen.join(', ')}.`);
