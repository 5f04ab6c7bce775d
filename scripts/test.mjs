// `npm test`: builds, runs every test in random order against the build, and measures what all processes and
// threads of the run executed. Further arguments go to vitest; with any but a seed the run is partial, and
// coverage is then shown without being enforced.
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, rmSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { reportCoverage } from './coverage.mjs';
import { installClients, installSystemPrograms } from './test-programs.mjs';

const root = fileURLToPath(new URL('..', import.meta.url));
const coverageDir = join(root, 'coverage');
const rawDir = join(coverageDir, 'v8');
const resultsFile = join(coverageDir, 'results.json');

function runNode(args, env) {
  const { status, signal, error } = spawnSync(process.execPath, args, { cwd: root, stdio: 'inherit', env });
  if (error !== undefined) throw error;
  if (signal !== null) console.error(`${args[0]} was ended by ${signal}`);
  return status ?? 1;
}

/** Vitest's own count leaves out files that failed before their first test; each counts as one failure here. */
function readResults() {
  if (!existsSync(resultsFile)) return { passed: 0, failures: ['vitest wrote no results'] };
  const results = JSON.parse(readFileSync(resultsFile, 'utf8'));
  const failures = results.testResults.flatMap((file) => {
    const name = relative(root, file.name);
    const failed = file.assertionResults.filter((test) => test.status === 'failed');
    if (file.status === 'failed' && failed.length === 0) return [`${name}\n${file.message}`];
    return failed.map((test) => `${name} > ${test.fullName}\n${test.failureMessages.join('\n')}`);
  });
  return { passed: results.numPassedTests, failures };
}

const args = process.argv.slice(2);
const isSeed = (arg, index) => arg.startsWith('--sequence.seed') || args[index - 1] === '--sequence.seed';
const isPartial = !args.every(isSeed);
const seedArgs = args.some(isSeed) ? [] : [`--sequence.seed=${Date.now()}`];

const programs = installSystemPrograms();
installClients();

const built = runNode([join(root, 'scripts/build.mjs')], process.env);
if (built !== 0) process.exit(built);

rmSync(coverageDir, { recursive: true, force: true });
mkdirSync(rawDir, { recursive: true });

const vitest = join(dirname(createRequire(import.meta.url).resolve('vitest/package.json')), 'vitest.mjs');
const { KEYMUX_TEST_SOURCE: _, ...env } = process.env;
const status = runNode(
  [
    vitest,
    'run',
    '--reporter=default',
    '--reporter=json',
    `--outputFile.json=${resultsFile}`,
    ...seedArgs,
    ...args,
  ],
  { ...env, ...programs, NODE_V8_COVERAGE: rawDir },
);

const { passed, failures } = readResults();
const isGreen = status === 0 && failures.length === 0 && passed > 0;
// The coverage of a run that failed says nothing, and would push the failures out of sight.
const isCovered =
  isGreen && (await reportCoverage({ root, rawDir, outputDir: coverageDir, enforce: !isPartial }));
rmSync(rawDir, { recursive: true, force: true });

for (const failure of failures) console.error(`\nFAILED ${failure}`);
console.log(`${passed} passed, ${failures.length} failed`);
process.exitCode = isGreen && isCovered ? 0 : 1;
