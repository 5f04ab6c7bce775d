import { execFile as execFileWithCallback } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { describe, expect, it } from 'vitest';
import { refuse } from '#keymux/testing/script.js';
import { startSimulator } from '#keymux/testing/simulator.js';

const execFile = promisify(execFileWithCallback);
const CHILD = fileURLToPath(new URL('./first-use-child.mjs', import.meta.url));

async function firstUse(what: string) {
  await using simulator = await startSimulator({
    auth: { in: 'query', name: 'k' },
    keys: { 'key-limited': { name: 'key-limited', always: refuse(429) }, 'key-good': { name: 'key-good' } },
  });
  const { stdout } = await execFile(process.execPath, [CHILD, simulator.origin, what]);
  const report = JSON.parse(stdout) as Record<string, unknown>;
  return { ...report, seen: simulator.requests.map(({ key }) => key) };
}

describe('the built-in undici', () => {
  it('is not loaded before it is used, and fetch is the original again in the end', async () => {
    expect(await firstUse('nothing')).toEqual({
      result: 'nothing',
      isLoadedBefore: false,
      isLoadedAfter: false,
      source: String(fetch),
      seen: [],
    });
  });

  it.each(['fetch', 'capturedFetch'])('is covered from its first use on: %s', async (what) => {
    const report = await firstUse(what);
    expect(report).toMatchObject({ result: 200, isLoadedBefore: false, seen: ['key-limited', 'key-good'] });
  });

  // Node 20 has none.
  if ('WebSocket' in globalThis) {
    it('is covered where a WebSocket is the first use', async () => {
      const report = await firstUse('WebSocket');
      expect(report).toMatchObject({
        result: 'open',
        isLoadedBefore: false,
        seen: ['key-limited', 'key-good'],
      });
    });
  }
});
