// What a read of `process.env` costs with the preload, next to the same program without it. Both run in processes of
// their own, which take turns.
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { figure, median, paired, publish, ratio, row } from './measurements.mjs';

const PAIRS = 12;
const MAX_MANAGED_RATIO = 0.5;
const MAX_OTHER_RATIO = 1.3;

const PROGRAM = `
  const best = {};
  for (const name of ['FINNHUB_API_KEY', 'SOME_SETTING', 'NOT_SET']) {
    const run = new Function(\`let n = 0; for (let i = 0; i < 100000; i += 1) if (process.env.\${name} !== undefined) n += 1; return n;\`);
    best[name] = Infinity;
    for (let batch = 0; batch < 12; batch += 1) {
      const startedAt = process.hrtime.bigint();
      run();
      best[name] = Math.min(best[name], Number(process.hrtime.bigint() - startedAt) / 100000);
    }
  }
  console.log(JSON.stringify(best));
`;

const preload = fileURLToPath(new URL('../dist/register.cjs', import.meta.url));
const scratch = mkdtempSync(join(tmpdir(), 'keymux-bench-'));
const env = {
  HOME: scratch,
  PATH: '/usr/bin',
  SOME_SETTING: 'a value of some length',
  FINNHUB_API_KEY: 'bench-key-number-one-of-two',
  FINNHUB_API_KEY_2: 'bench-key-number-two-of-two',
};

function read(args) {
  const { status, stdout, stderr } = spawnSync(process.execPath, [...args, '-e', PROGRAM], {
    cwd: scratch,
    env,
    encoding: 'utf8',
  });
  if (status !== 0) throw new Error(stderr);
  return JSON.parse(stdout);
}

const plain = [];
const intercepted = [];
try {
  for (let pair = 0; pair < PAIRS; pair += 1) {
    plain.push(read([]));
    intercepted.push(read(['--require', preload]));
  }
} finally {
  rmSync(scratch, { recursive: true, force: true });
}

const names = {
  'a managed name': 'FINNHUB_API_KEY',
  'another name': 'SOME_SETTING',
  'a name that is not set': 'NOT_SET',
};
const times = (list, name) => list.map((best) => best[name]);
const ratioOf = (name) => median(paired(times(intercepted, name), times(plain, name), ratio));
const rows = Object.entries(names).flatMap(([title, name]) => [
  row(`${title}, bare Node`, 'ns', times(plain, name)),
  row(`${title}, with keymux`, 'ns', times(intercepted, name), times(plain, name)),
]);
publish('env', { 'process.env read, best batch of each process': rows }, [
  figure(
    'read of a managed name, next to bare Node',
    ratioOf(names['a managed name']),
    MAX_MANAGED_RATIO,
    'x',
  ),
  ...['another name', 'a name that is not set'].map((title) =>
    figure(`read of ${title}, next to bare Node`, ratioOf(names[title]), MAX_OTHER_RATIO, 'x'),
  ),
]);
