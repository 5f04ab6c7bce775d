// `npm run bench`: every benchmark, each in a process of its own, and one report of them all. `--only NAME` for some
// (it may be repeated), `--json` for machines, `--publish` for docs/benchmarks/. The last report stays in .tmp/bench/:
// tables and pictures in report.md, all numbers in bench.json.
import { spawnSync } from 'node:child_process';
import { mkdirSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { machine, show } from './measurements.mjs';
import { reportFiles } from './report.mjs';

const folder = fileURLToPath(new URL('.', import.meta.url));
const root = fileURLToPath(new URL('..', import.meta.url));
const NOT_BENCHMARKS = [
  'run.mjs',
  'measurements.mjs',
  'operation-counts.mjs',
  'fleet-worker.mjs',
  'gateway-load.mjs',
  'gateway-servers.mjs',
  'plot.mjs',
  'report.mjs',
  'redis-server.mjs',
];
const known = readdirSync(folder)
  .filter((file) => file.endsWith('.mjs') && !NOT_BENCHMARKS.includes(file))
  .map((file) => file.replace(/\.mjs$/, ''));

function chosenNames() {
  const { values } = parseArgs({
    options: {
      json: { type: 'boolean', default: false },
      publish: { type: 'boolean', default: false },
      only: { type: 'string', multiple: true },
    },
  });
  const names = values.only ?? known;
  const unknown = names.filter((name) => !known.includes(name));
  if (unknown.length > 0)
    throw new Error(`No benchmark ${unknown.join(', ')}. There are: ${known.join(', ')}`);
  return { names, json: values.json, publish: values.publish };
}

function node(args, stdout) {
  const result = spawnSync(process.execPath, args, {
    cwd: root,
    encoding: 'utf8',
    stdio: ['ignore', stdout, 'inherit'],
  });
  if (result.status !== 0) throw new Error(`${args.join(' ')} ended with ${result.signal ?? result.status}`);
  return result.stdout;
}

function keep(target, files) {
  rmSync(target, { recursive: true, force: true });
  mkdirSync(target, { recursive: true });
  for (const [name, text] of files) writeFileSync(new URL(name, target), text);
}

const { names, json, publish } = chosenNames();
node(['scripts/build.mjs', '--if-stale'], 'inherit');

const report = { date: new Date().toISOString().slice(0, 10), machine: machine(), benchmarks: [] };
const failed = [];
if (!json) {
  const { cpu, cores, node: version, system } = report.machine;
  console.log(`${report.date}, ${cores} cores (${cpu}), Node ${version}, ${system}`);
}
for (const name of names) {
  try {
    const benchmark = JSON.parse(node([`bench/${name}.mjs`, '--json'], 'pipe'));
    report.benchmarks.push(benchmark);
    if (!json) show(benchmark);
  } catch (error) {
    failed.push(name);
    console.error(`${name}: ${error.message}`);
  }
}
const figures = report.benchmarks.flatMap((benchmark) => benchmark.figures);
const missed = figures.filter(({ met }) => !met);
keep(new URL('../.tmp/bench/', import.meta.url), [
  ['bench.json', `${JSON.stringify(report, null, 2)}\n`],
  ...reportFiles(report),
]);
if (publish) keep(new URL('../docs/benchmarks/', import.meta.url), reportFiles(report));
if (json) console.log(JSON.stringify(report));
else console.log(`\n${figures.length - missed.length} of ${figures.length} figures met`);
// A missed figure is a finding, which depends on the machine; a benchmark that does not run is a defect.
process.exitCode = failed.length > 0 ? 1 : 0;
