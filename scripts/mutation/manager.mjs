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

/** Percent of faults that the tests must notice. Some faults change nothing that can be observed. */
const THRESHOLD = 75;
/** A fault may make a loop endless: a run may take so many times as long as the slowest one without any. */
const PATIENCE = 4;
/** A run without any fault comes after so many with one: a test that fails by itself would notice everything. */
const CONTROL_EVERY = 10;
/** Of a normal distribution: 95 % lie within so many standard deviations. */
const DEVIATIONS = 1.96;

const root = fileURLToPath(new URL('../..', import.meta.url));
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

/** Those that start programs or threads test the build, which has no fault in it. */
const tests = listFiles('test/manager', '.test.ts').filter(
  (path) => !/dist\/|fork\(|spawn\(|new Worker\(/.test(readSource(path)),
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

  constructor() {
    const isOwn = (path) => !['node_modules', '.tmp'].includes(basename(path));
    for (const name of ['src', 'test', 'package.json', 'tsconfig.json', 'vitest.config.ts'])
      cpSync(join(root, name), join(this.#folder, name), { recursive: true, filter: isOwn });
    for (const name of ['node_modules', 'dist', 'examples', 'docs'])
      symlinkSync(join(root, name), join(this.#folder, name));
  }

  async control() {
    const startedAt = performance.now();
    const { isPassing, output } = await this.#runTests();
    if (!isPassing) throw new Error(`The tests fail without any fault:\n${output}`);
    this.#timeoutMs = Math.max(this.#timeoutMs ?? 0, PATIENCE * (performance.now() - startedAt));
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
        '--bail=1',
        '--maxWorkers=1',
        '--sequence.seed=1',
        ...tests,
      ],
      { cwd: this.#folder, detached: true, env: { ...process.env, KEYMUX_TEST_SOURCE: '1', NO_COLOR: '1' } },
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
const copies = Array.from({ length: availableParallelism() }, () => new Copy());
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
