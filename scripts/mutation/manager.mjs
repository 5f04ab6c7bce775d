// `npm run mutation:manager [-- --faults N] [--seed N] [--json PATH]`: puts small faults into manager/, one at a time, and
// asks whether test/manager notices. The tests need servers, timers and worker threads, so each fault takes a run of
// vitest in a copy of this checkout: a sample is tried, drawn evenly over all faults, and what is true of all of them is
// told with its margin. Tests of manager/ from outside (interceptors, command line, fleets) are not asked.
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { cpSync, mkdtempSync, readFileSync, readdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { availableParallelism, tmpdir } from 'node:os';
import { basename, join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { transform } from 'esbuild';
import { mutantsOf, siblingWords } from './mutants.mjs';

/** Percent of faults that these tests must notice. Some change nothing that can be observed, others only what tests elsewhere see. */
const THRESHOLD = 60;
/** A fault may make a loop endless: a run may take so many times as long as the slowest one without any. */
const PATIENCE = 4;
/** A run without any fault comes after so many with one: a test that fails by itself would notice everything. */
const CONTROL_EVERY = 25;
/** At once, for each core: tests of timers mostly wait. */
const COPIES_PER_CORE = 2.5;
/** Its subject is what no other module of the process has loaded. */
const NEEDS_A_PROCESS = 'test/manager/registry.test.ts';
/** Of a normal distribution: 95 % lie within so many standard deviations. */
const DEVIATIONS = 1.96;

const root = fileURLToPath(new URL('../..', import.meta.url));
/** Runs test files in the order of KEYMUX_TEST_ORDER, those that it does not name last. */
const CONFIG = `
import { BaseSequencer } from 'vitest/node';
import base from './vitest.config.ts';

const order = JSON.parse(process.env.KEYMUX_TEST_ORDER);
const placeOf = ({ moduleId }) => (order.findIndex((name) => moduleId.endsWith(name)) + 1) || Infinity;
class InOrder extends BaseSequencer {
  async sort(files) {
    return files.toSorted((one, other) => placeOf(one) - placeOf(other));
  }
}
const { projects: _, ...test } = base.test;
export default { ...base, test: { ...test, sequence: { sequencer: InOrder }, maxWorkers: 1, isolate: false } };
`;
const { values } = parseArgs({
  options: {
    faults: { type: 'string', default: '150' },
    seed: { type: 'string', default: '1' },
    json: { type: 'string' },
  },
});
const wanted = Number(values.faults);
const seed = Number(values.seed);
if (![wanted, seed].every(Number.isSafeInteger) || wanted < 1)
  throw new Error('--faults and --seed take whole numbers.');

const listFiles = (folder, suffix) =>
  readdirSync(join(root, folder), { recursive: true })
    .filter((name) => name.endsWith(suffix))
    .map((name) => join(folder, name))
    .sort();
const readSource = (path) => readFileSync(join(root, path), 'utf8');

/** Those that start programs test the build, which has no fault in it; all others run in one process. */
const tests = listFiles('test/manager', '.test.ts').filter(
  (path) => path !== NEEDS_A_PROCESS && !/\.\.\/dist\/|fork\(|spawn\(/.test(readSource(path)),
);

/** One out of each of `wanted` equal stretches, so that every file has its share. */
function sample(mutants) {
  const stretch = mutants.length / Math.min(wanted, mutants.length);
  let state = seed >>> 0;
  const random = () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return state / 2 ** 32;
  };
  return Array.from(
    { length: Math.min(wanted, mutants.length) },
    (_, index) => mutants[Math.floor((index + random()) * stretch)],
  );
}

/** A copy of this checkout that takes one fault at a time. */
class Copy {
  #folder = mkdtempSync(join(tmpdir(), 'keymux-mutation-'));
  #timeoutMs;
  /** The quick ones first: most faults are noticed by several. */
  #order = [];

  constructor() {
    const isOwn = (path) => !['node_modules', '.tmp'].includes(basename(path));
    for (const name of ['src', 'test', 'package.json', 'tsconfig.json', 'vitest.config.ts'])
      cpSync(join(root, name), join(this.#folder, name), { recursive: true, filter: isOwn });
    for (const name of ['node_modules', 'dist', 'examples', 'docs'])
      symlinkSync(join(root, name), join(this.#folder, name));
    writeFileSync(join(this.#folder, 'vitest.mutation.config.ts'), CONFIG);
  }

  async control() {
    const startedAt = performance.now();
    const { isPassing, output } = await this.#runTests();
    if (!isPassing) throw new Error(`The tests fail without any fault:\n${output}`);
    this.#timeoutMs = Math.max(this.#timeoutMs ?? 0, PATIENCE * (performance.now() - startedAt));
    const { testResults } = JSON.parse(readFileSync(this.#resultsFile, 'utf8'));
    const tookMs = ({ startTime, endTime }) => endTime - startTime;
    this.#order = testResults
      .toSorted((one, other) => tookMs(one) - tookMs(other))
      .map(({ name }) => relative(this.#folder, name));
  }

  get #resultsFile() {
    return join(this.#folder, 'results.json');
  }

  /** Whether the tests pass in spite of the fault; `undefined` where it does not compile, which proves nothing. */
  async survives({ path, start, end, text }) {
    const source = readSource(path);
    const faulty = source.slice(0, start) + text + source.slice(end);
    const compiles = await transform(faulty, { loader: 'ts' }).then(
      () => true,
      () => false,
    );
    if (!compiles) return undefined;
    writeFileSync(join(this.#folder, path), faulty);
    try {
      return (await this.#runTests()).isPassing;
    } finally {
      writeFileSync(join(this.#folder, path), source);
    }
  }

  async #runTests() {
    const child = spawn(
      process.execPath,
      [
        join(this.#folder, 'node_modules/vitest/vitest.mjs'),
        'run',
        '--config=vitest.mutation.config.ts',
        '--bail=1',
        '--reporter=default',
        '--reporter=json',
        `--outputFile.json=${this.#resultsFile}`,
        ...tests,
      ],
      {
        cwd: this.#folder,
        detached: true,
        env: {
          ...process.env,
          KEYMUX_TEST_SOURCE: '1',
          KEYMUX_TEST_ORDER: JSON.stringify(this.#order),
          NO_COLOR: '1',
        },
      },
    );
    let output = '';
    for (const stream of [child.stdout, child.stderr])
      stream.setEncoding('utf8').on('data', (part) => (output += part));
    const end =
      this.#timeoutMs !== undefined
        ? setTimeout(() => process.kill(-child.pid, 'SIGKILL'), this.#timeoutMs)
        : undefined;
    const [code] = await once(child, 'close');
    clearTimeout(end);
    return { isPassing: code === 0, output };
  }

  remove() {
    rmSync(this.#folder, { recursive: true, force: true });
  }
}

const startedAt = Date.now();
const words = siblingWords(
  [...listFiles('src/core', '.ts'), ...listFiles('src/manager', '.ts')].map(readSource),
);
const all = listFiles('src/manager', '.ts').flatMap((path) => mutantsOf(path, readSource(path), words));
const queue = sample(all);
const copies = Array.from({ length: Math.ceil(COPIES_PER_CORE * availableParallelism()) }, () => new Copy());
const survivors = [];
let tried = 0;
try {
  let next = 0;
  await Promise.all(
    copies.map(async (copy) => {
      for (let runs = 0; next < queue.length; runs += 1) {
        if (runs % CONTROL_EVERY === 0) await copy.control();
        const mutant = queue[next++];
        if (mutant === undefined) break;
        const survived = await copy.survives(mutant);
        if (survived === undefined) continue;
        tried += 1;
        if (!survived) continue;
        survivors.push(mutant);
        console.log(`  no test noticed ${mutant.path}:${mutant.line}  ${mutant.label}`);
      }
      await copy.control();
    }),
  );
} finally {
  for (const copy of copies) copy.remove();
}

const noticed = tried - survivors.length;
const share = noticed / tried;
/** Of what was not tried; drawing without replacement narrows it. */
const margin = DEVIATIONS * Math.sqrt(((share * (1 - share)) / tried) * (1 - tried / all.length));
const percent = (number) => (100 * number).toFixed(1);
const seconds = Math.round((Date.now() - startedAt) / 1000);
console.log(
  `Noticed ${noticed} of ${tried} faults, ${percent(share)} %; of all ${all.length}: ${percent(share)} ± ${percent(margin)} %, in ${seconds} s (at least ${THRESHOLD} % are required).`,
);
if (values.json !== undefined) {
  const git = (...args) => spawnSync('git', args, { cwd: root, encoding: 'utf8' }).stdout.trim();
  const isChanged = git('status', '--porcelain', 'src', 'test/manager') !== '';
  const missed = survivors
    .map(({ path, line, label }) => ({ file: relative('.', path), line, change: label }))
    .sort((a, b) => a.file.localeCompare(b.file) || a.line - b.line);
  const measured = { commit: git('rev-parse', 'HEAD'), isChanged, node: process.version, seconds, seed };
  writeFileSync(
    values.json,
    `${JSON.stringify({ ...measured, all: all.length, tried, noticed, percent: 100 * share, marginPercent: 100 * margin, missed }, null, 2)}\n`,
  );
}
if (100 * share < THRESHOLD) process.exitCode = 1;
