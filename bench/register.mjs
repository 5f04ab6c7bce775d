// What loading the preload adds to the start of a process: wall time, CPU time and peak memory, next to
// bare Node in turn. On a busy machine wall time says more about the others.
import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { difference, elapsedMs, figure, median, paired, publish, row } from './measurements.mjs';

const PAIRS = 30;
const MAX_MS = 40;
const MAX_MB = 10;
/** Written past `process.stdout`, which would load what the preload may have loaded already. */
const PROGRAM = "require('fs').writeSync(1, JSON.stringify(process.resourceUsage()))";

const preload = fileURLToPath(new URL('../dist/register.cjs', import.meta.url));
const keys = Object.fromEntries(
  ['FINNHUB_API_KEY', 'FINNHUB_API_KEY_2', 'OPENAI_API_KEY', 'OPENAI_API_KEY_2'].map((name, index) => [
    name,
    `bench-key-number-${index}-of-four`,
  ]),
);
const CONFIG = `services:
  market_data: { providers: [finnhub, acme], strategy: round-robin }
providers:
  finnhub: { limits: [{ requests: 60, per: minute }] }
  acme:
    baseUrl: http://127.0.0.1:9/v2
    env: [ACME_API_KEY]
    limits: [{ requests: 5, per: minute }, { requests: 25, per: day, resetsAt: "00:00", timeZone: UTC }]
`;

const scratch = mkdtempSync(join(tmpdir(), 'keymux-bench-'));

function start(args, env, cwd) {
  const startedAt = process.hrtime.bigint();
  const { status, stdout, stderr } = spawnSync(process.execPath, [...args, '-e', PROGRAM], {
    cwd,
    env: { HOME: scratch, ...env },
    encoding: 'utf8',
  });
  const ms = elapsedMs(startedAt);
  if (status !== 0) throw new Error(`the process ended with ${status}: ${stderr}`);
  const { maxRSS, userCPUTime, systemCPUTime } = JSON.parse(stdout);
  return { ms, cpuMs: (userCPUTime + systemCPUTime) / 1_000, mb: maxRSS / 1_024 };
}

function folder(name, config) {
  const path = join(scratch, name);
  mkdirSync(path);
  if (config !== undefined) writeFileSync(join(path, 'keymux.config.yaml'), config);
  return path;
}

const cases = {
  'no key': { env: {}, cwd: folder('bare') },
  '4 keys': { env: keys, cwd: folder('keys') },
  '4 keys and a YAML file': { env: keys, cwd: folder('file', CONFIG) },
};

const groups = {};
const figures = [];
try {
  for (const [name, { env, cwd }] of Object.entries(cases)) {
    const samples = { bare: [], loaded: [] };
    for (let pair = -2; pair < PAIRS; pair += 1) {
      const bare = start([], env, cwd);
      const loaded = start(['--require', preload], env, cwd);
      if (pair < 0) continue; // the first ones fill the caches of the file system
      samples.bare.push(bare);
      samples.loaded.push(loaded);
    }
    const wall = (list) => list.map(({ ms }) => ms);
    const cpu = (list) => list.map(({ cpuMs }) => cpuMs);
    const peak = (list) => list.map(({ mb }) => mb);
    const addedMs = paired(wall(samples.loaded), wall(samples.bare), difference);
    const addedMb = paired(peak(samples.loaded), peak(samples.bare), difference);
    groups[name] = [
      row('bare Node', 'ms', wall(samples.bare)),
      row('with keymux/register', 'ms', wall(samples.loaded)),
      row('added', 'ms', addedMs),
      row('CPU time, added', 'ms', paired(cpu(samples.loaded), cpu(samples.bare), difference)),
      row('peak memory, bare Node', 'MB', peak(samples.bare)),
      row('peak memory, added', 'MB', addedMb),
    ];
    figures.push(
      figure(`loading register adds, ${name}`, median(addedMs), MAX_MS, 'ms'),
      figure(`loading register adds, ${name}`, median(addedMb), MAX_MB, 'MB'),
    );
  }
} finally {
  rmSync(scratch, { recursive: true, force: true });
}
publish('register', groups, figures);
