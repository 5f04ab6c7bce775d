// `npm run mutation [-- FILE…] [--json PATH]`: puts small faults into the rules of core/, one at a time, and asks whether
// the tests in test/core/ notice. Prints the faults that none did and a score by file, and fails below the threshold.
// `--all`: into every file of core/ that has any code. It says what coverage cannot: whether the tests would fail if the
// code were wrong. `--json` writes what is printed as data, with the commit that it was measured on.
import { once } from 'node:events';
import { spawnSync } from 'node:child_process';
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { join, relative, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { Worker } from 'node:worker_threads';
import { build } from 'esbuild';
import { mutantsOf, siblingWords } from './mutants.mjs';

/** Percent of faults that the tests must notice. Some faults change nothing that can be observed. */
const THRESHOLD = 85;
/** A fault may make a loop endless; a run of the tests of one file takes far less than this. */
const TIMEOUT_MS = 20_000;

const root = fileURLToPath(new URL('../..', import.meta.url));
const core = join(root, 'src/core');
const tests = join(root, 'test/core');

function listFiles(folder, suffix) {
  return readdirSync(folder, { recursive: true })
    .filter((name) => name.endsWith(suffix))
    .map((name) => join(folder, name))
    .sort();
}

const { values: options, positionals: chosen } = parseArgs({
  options: { all: { type: 'boolean', default: false }, json: { type: 'string' } },
  allowPositionals: true,
});

function targets() {
  if (chosen.length > 0) return chosen.map((path) => resolve(path));
  if (options.all) return listFiles(core, '.ts');
  const files = ['health.ts', 'quota.ts', 'select.ts'].map((name) => join(core, name));
  return [...files, ...listFiles(join(core, 'strategies'), '.ts')];
}

/** One script of the given tests and the code under test, with `mutant` in it. */
async function bundle(testFiles, mutant) {
  const source = {
    name: 'source',
    setup({ onResolve, onLoad }) {
      onResolve({ filter: /^#keymux\// }, ({ path }) => ({
        path: join(root, 'src', path.replace(/^#keymux\//, '').replace(/\.js$/, '.ts')),
      }));
      onLoad({ filter: /\.ts$/ }, ({ path }) => {
        if (path !== mutant?.path) return undefined;
        const text = readFileSync(path, 'utf8');
        return { contents: text.slice(0, mutant.start) + mutant.text + text.slice(mutant.end), loader: 'ts' };
      });
    },
  };
  const result = await build({
    stdin: {
      contents: testFiles.map((path) => `import ${JSON.stringify(path)};`).join('\n'),
      resolveDir: root,
    },
    bundle: true,
    write: false,
    metafile: true,
    platform: 'node',
    format: 'cjs',
    packages: 'external',
    // The package declares its modules free of side effects, which tests are not.
    ignoreAnnotations: true,
    plugins: [source],
    logLevel: 'silent',
  });
  return {
    code: result.outputFiles[0].text,
    inputs: Object.keys(result.metafile.inputs).map((path) => resolve(path)),
  };
}

/** A thread that runs one bundle at a time; after an endless loop it is replaced. */
class Bench {
  #worker;

  async #start() {
    this.#worker = new Worker(new URL('worker.mjs', import.meta.url), {
      workerData: { root, timeoutMs: TIMEOUT_MS },
      stdout: true,
      stderr: true,
    });
    await this.#answer();
  }

  /** What the thread says next; `undefined` if it ends, or says nothing in time. */
  async #answer() {
    const aborting = AbortSignal.timeout(TIMEOUT_MS);
    try {
      const [message] = await once(this.#worker, 'message', { signal: aborting });
      return message;
    } catch {
      return undefined;
    }
  }

  async run(code) {
    if (this.#worker === undefined) await this.#start();
    this.#worker.postMessage(code);
    const answer = await this.#answer();
    if (typeof answer === 'object') return answer;
    await this.stop();
    return { passed: 0, killer: 'ran into the time limit' };
  }

  async stop() {
    await this.#worker?.terminate();
    this.#worker = undefined;
  }
}

/** Which tests reach which file, so that a fault is tried on those alone. */
async function testsByFile() {
  const map = new Map();
  for (const test of listFiles(tests, '.test.ts')) {
    for (const input of (await bundle([test])).inputs) map.set(input, [...(map.get(input) ?? []), test]);
  }
  return map;
}

async function requirePassingTests(bench, reaching) {
  for (const path of targets()) {
    if (!reaching.has(path)) continue;
    const { killer } = await bench.run((await bundle(reaching.get(path))).code);
    if (killer !== undefined) throw new Error(`The tests fail without any fault: ${killer}`);
  }
}

/** Whether the tests pass in spite of the fault; `undefined` where it does not compile, which proves nothing. */
async function survives(bench, mutant, reaching) {
  if (!reaching.has(mutant.path)) return true;
  let code;
  try {
    ({ code } = await bundle(reaching.get(mutant.path), mutant));
  } catch {
    return undefined;
  }
  return (await bench.run(code)).killer === undefined;
}

const startedAt = Date.now();
const reaching = await testsByFile();
const words = siblingWords(listFiles(core, '.ts').map((path) => readFileSync(path, 'utf8')));
const queue = targets().flatMap((path) => mutantsOf(path, readFileSync(path, 'utf8'), words));
const benches = Array.from({ length: Math.max(1, Math.min(4, availableParallelism())) }, () => new Bench());
await requirePassingTests(benches[0], reaching);

const survivors = [];
const tried = new Map(targets().map((path) => [path, { total: 0, noticed: 0 }]));
let next = 0;
await Promise.all(
  benches.map(async (bench) => {
    while (next < queue.length) {
      const mutant = queue[next++];
      const survived = await survives(bench, mutant, reaching);
      if (survived === undefined) continue;
      const count = tried.get(mutant.path);
      count.total += 1;
      if (survived) survivors.push(mutant);
      else count.noticed += 1;
    }
    // A fault that outlived its run would have failed all that came after it.
    await requirePassingTests(bench, reaching);
    await bench.stop();
  }),
);

const percent = (noticed, total) => (total === 0 ? 100 : (100 * noticed) / total);
survivors.sort((a, b) => a.path.localeCompare(b.path) || a.start - b.start);
const files = [...tried]
  .filter(([, { total }]) => total > 0)
  .map(([path, { total, noticed }]) => ({
    file: relative(root, path),
    faults: total,
    noticed,
    percent: percent(noticed, total),
    missed: survivors
      .filter((mutant) => mutant.path === path)
      .map(({ line, label }) => ({ line, change: label })),
  }));
const faults = files.reduce((sum, file) => sum + file.faults, 0);
const score = faults === 0 ? 0 : percent(faults - survivors.length, faults);
const seconds = Math.round((Date.now() - startedAt) / 1000);

if (survivors.length > 0) console.log('Faults that no test noticed:');
for (const { file, missed } of files)
  for (const { line, change } of missed) console.log(`  ${file}:${line}  ${change}`);
for (const file of files)
  console.log(
    `${file.percent.toFixed(1).padStart(5)} %  ${file.file}: ${file.noticed} of ${file.faults} noticed`,
  );
console.log(
  `Noticed ${score.toFixed(1)} % of ${faults} faults in ${seconds} s (at least ${THRESHOLD} % are required).`,
);
if (options.json !== undefined) {
  const git = (...args) => spawnSync('git', args, { cwd: root, encoding: 'utf8' }).stdout.trim();
  const isChanged = git('status', '--porcelain', 'src/core', 'test/core') !== '';
  const measured = { commit: git('rev-parse', 'HEAD'), isChanged, node: process.version, seconds };
  const noticed = faults - survivors.length;
  writeFileSync(
    options.json,
    `${JSON.stringify({ ...measured, faults, noticed, percent: score, files }, null, 2)}\n`,
  );
}
if (score < THRESHOLD) process.exitCode = 1;
