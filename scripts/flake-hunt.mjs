// `node scripts/flake-hunt.mjs [--runs N] [--load N] [--seed N] [FILE…]`: runs test files (all of them, if none is
// named) again and again, in random order and beside a load, and lists which tests failed how often, with the seeds
// that repeat the order: `npm test -- --sequence.seed=SEED FILE`. Wants a build. Not for CI.
import { spawn, spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { availableParallelism, tmpdir } from 'node:os';
import { join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { installClients, installSystemPrograms } from './test-programs.mjs';

const root = fileURLToPath(new URL('..', import.meta.url));
/** Takes as much of a core as it is given, for a moment at a time, so that what is tested is often kept waiting; ends with its parent. */
const BURN = `const burn = () => { const end = performance.now() + 20; while (performance.now() < end); setTimeout(burn, Math.random() * 20); }; burn();
  process.stdin.on('end', () => process.exit()).resume();`;

const { values, positionals: files } = parseArgs({
  options: {
    runs: { type: 'string', default: '10' },
    /** Processes beside the tests. */
    load: { type: 'string', default: String(availableParallelism()) },
    /** Of the first run; each further one has the next. */
    seed: { type: 'string', default: String(Date.now()) },
  },
  allowPositionals: true,
});
const runs = Number(values.runs);
const firstSeed = Number(values.seed);
if (![runs, firstSeed, Number(values.load)].every(Number.isSafeInteger))
  throw new Error('--runs, --load and --seed take whole numbers.');

const folder = mkdtempSync(join(tmpdir(), 'keymux-flakes-'));
const resultsFile = join(folder, 'results.json');
const programs = { ...installSystemPrograms() };
installClients();

/** The tests that failed in one run; a file that failed as a whole stands for its tests. */
function failuresOf(seed) {
  rmSync(resultsFile, { force: true });
  const vitest = join(root, 'node_modules/vitest/vitest.mjs');
  const reporters = ['--reporter=json', `--outputFile=${resultsFile}`];
  const { stdout, stderr } = spawnSync(
    process.execPath,
    [vitest, 'run', ...reporters, `--sequence.seed=${seed}`, ...files],
    { cwd: root, encoding: 'utf8', env: { ...process.env, ...programs, NO_COLOR: '1' }, maxBuffer: 2 ** 28 },
  );
  let results;
  try {
    results = JSON.parse(readFileSync(resultsFile, 'utf8'));
  } catch {
    throw new Error(`vitest wrote no results:\n${stdout}${stderr}`);
  }
  if (results.numTotalTests === 0) throw new Error('No test was run.');
  return results.testResults.flatMap((file) => {
    const name = relative(root, file.name);
    const failed = file.assertionResults.filter(({ status }) => status === 'failed');
    if (file.status === 'failed' && failed.length === 0) return [{ test: name, message: file.message }];
    return failed.map(({ fullName, failureMessages }) => ({
      test: `${name} > ${fullName}`,
      message: failureMessages.join('\n'),
    }));
  });
}

const load = Array.from({ length: Number(values.load) }, () =>
  spawn(process.execPath, ['-e', BURN], { stdio: ['pipe', 'ignore', 'ignore'] }),
);
/** By test: with which seeds it failed, and the first message. */
const flakes = new Map();
try {
  for (let run = 0; run < runs; run += 1) {
    const seed = firstSeed + run;
    const failures = failuresOf(seed);
    console.log(`run ${run + 1} of ${runs}, seed ${seed}: ${failures.length} failed`);
    for (const { test, message } of failures) {
      const flake = flakes.get(test) ?? { seeds: [], message };
      flake.seeds.push(seed);
      flakes.set(test, flake);
    }
  }
} finally {
  for (const child of load) child.kill('SIGKILL');
  rmSync(folder, { recursive: true, force: true });
}
for (const [test, { seeds, message }] of [...flakes].sort(
  ([, a], [, b]) => b.seeds.length - a.seeds.length,
)) {
  console.log(
    `\n${seeds.length} of ${runs}  ${test}\n  seeds ${seeds.join(' ')}\n${message.replace(/^/gm, '    ')}`,
  );
}
if (flakes.size > 0) process.exitCode = 1;
else console.log(`\nNothing failed in ${runs} runs.`);
