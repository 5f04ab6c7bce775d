/** What an operation runs must not grow unseen. Counted, not timed: see bench/operation-counts.mjs. */
import { execFile } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { expect, it } from 'vitest';

const PROGRAM = fileURLToPath(new URL('../../bench/operation-counts.mjs', import.meta.url));
const KEPT = new URL('../../bench/operation-counts.json', import.meta.url);
/** Nodes differ a little, and timers that happen to run in between count too. */
const MOST = 1.1;

it('runs no more code per operation than it did', async () => {
  const { stdout } = await promisify(execFile)(process.execPath, [PROGRAM, '--json'], {
    // One process cannot count for two.
    env: { ...process.env, NODE_V8_COVERAGE: '', NODE_OPTIONS: '' },
  });
  const counts = JSON.parse(stdout) as Record<string, number>;
  const kept = JSON.parse(readFileSync(KEPT, 'utf8')) as Record<string, number>;
  expect(Object.keys(counts)).toEqual(Object.keys(kept));
  const grown = Object.entries(counts).filter(([name, count]) => count > MOST * (kept[name] ?? 0));
  expect(grown, 'find out why; where it must be so: node bench/operation-counts.mjs --write').toEqual([]);
});
