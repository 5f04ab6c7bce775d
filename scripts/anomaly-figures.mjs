// The figures of docs/anomalies.md: false alarms and delays over many seeds of synthetic and recorded traffic, as a table.
// `node scripts/anomaly-figures.mjs [seeds]`; ten seeds take about three minutes.
import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';

const seeds = process.argv[2] ?? '10';
const child = spawn(
  process.execPath,
  [
    'node_modules/vitest/vitest.mjs',
    'run',
    'test/core/anomaly-traffic.test.ts',
    'test/observe/recorded-traffic.test.ts',
  ],
  {
    cwd: new URL('..', import.meta.url),
    env: { ...process.env, KEYMUX_TEST_SOURCE: '1', KEYMUX_ANOMALY_SEEDS: seeds },
    stdio: ['ignore', 'pipe', 'inherit'],
  },
);
const rows = [];
createInterface({ input: child.stdout }).on('line', (line) => {
  const [, row] = /FIGURE (\|.*)$/.exec(line) ?? [];
  if (row !== undefined) rows.push(row);
});
child.on('close', (code) => {
  console.log(rows.sort().join('\n'));
  process.exitCode = code ?? 1;
});
