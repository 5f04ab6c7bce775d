// Installs the packed package into an empty project and uses it there, on the oldest Node that is supported and on
// others; then runs the tests of all that touches the platform on those others. Each comes from the npm package `node`,
// into .tmp/. Arguments: versions (default: 22 24 26); with `--package` no tests run; with `--matrix` only the client
// matrix runs, where no version is named on this Node as well; with `--quick` it leaves out the redirects.
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { installClients, installNode, installSystemPrograms } from './test-programs.mjs';

const VERSIONS = ['22', '24', '26'];
/** As `engines` has it. */
const OLDEST = '20.19.0';
const MATRIX = ['test/matrix'];
const TESTS = [
  ...MATRIX,
  'test/interceptors',
  'test/manager',
  'test/state',
  'test/stores',
  'test/cli',
  'test/gateway',
  'test/observe',
  'test/examples',
];

/** The Node that runs this. */
const THIS = process.versions.node;

const root = fileURLToPath(new URL('..', import.meta.url));

function run(command, args, programs) {
  const env = { ...process.env, ...programs, NO_COLOR: '1' };
  return spawnSync(command, args, { stdio: 'inherit', cwd: root, env }).status === 0;
}

const { values, positionals } = parseArgs({
  options: { package: { type: 'boolean' }, matrix: { type: 'boolean' }, quick: { type: 'boolean' } },
  allowPositionals: true,
});
const versions = positionals.length > 0 ? positionals : VERSIONS;
const chosen = values.matrix && positionals.length === 0 ? [THIS, ...versions] : versions;
const matrix = values.quick ? ['test/matrix/http.test.ts', 'test/matrix/https.test.ts'] : MATRIX;
const tests = values.matrix ? matrix : TESTS;
if (!values.matrix && !run(process.execPath, ['scripts/check-package.mjs', '--nodes', OLDEST, ...versions]))
  process.exit(1);
if (values.package) process.exit();
const programs = installSystemPrograms();
installClients();
if (!run(process.execPath, ['scripts/build.mjs', '--if-stale'])) process.exit(1);
const failed = chosen.filter((version) => {
  console.log(`\n== Node ${version}`);
  const vitest = join('node_modules', 'vitest', 'vitest.mjs');
  const node = version === THIS ? process.execPath : installNode(version);
  return !run(node, [vitest, 'run', '--reporter=dot', ...tests], programs);
});
if (failed.length > 0) {
  console.error(`\nFailed on Node ${failed.join(', ')}.`);
  process.exit(1);
}
console.log(`\nPassed on Node ${chosen.join(', ')}.`);
