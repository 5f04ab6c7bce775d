import { readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { createSealedStore } from '#keymux/stores/sealed-store.js';
import { openStore, readValue, startMember, temporaryDirectory } from './sqlite-fixture.js';

const BUCKET = 'canaryprovider/canarybucket';
const LIMIT = 400;
const KEY = new Uint8Array(32).fill(7);

describe('four processes on one bucket of a sealed store', () => {
  it('spend what there is and no more, also where one of them is killed', { timeout: 60_000 }, async () => {
    const directory = temporaryDirectory();
    const log = join(directory, 'log');
    const start = (then: string) =>
      startMember('sealed-spender', [directory, log, BUCKET, String(LIMIT), then]);
    const victim = start('on');
    const others = [start('end'), start('end'), start('end')];
    for (const member of [victim, ...others]) expect(await member.next()).toBe('ready');
    victim.child.send('go');
    expect(await victim.next()).toBe('spending');
    for (const { child } of others) child.send('go');
    victim.child.kill('SIGKILL');
    expect((await victim.exited).signal).toBe('SIGKILL');
    for (const { exited } of others) expect(await exited).toEqual({ code: 0, signal: null });

    const granted = readFileSync(log, 'utf8').length;
    expect(granted).toBeLessThanOrEqual(LIMIT);
    // What the killed one was granted at its last moment, nobody else gets.
    expect(granted).toBeGreaterThanOrEqual(LIMIT - 1);
    const { store } = await openStore({ directory });
    const windows = [{ requests: LIMIT, perMs: 86_400_000 }];
    const request = { bucket: BUCKET, windows, want: 1, ttlMs: 1_000, slackMs: 50 };
    expect(await createSealedStore(store, KEY).lease(request)).toMatchObject({ granted: 0, left: 0 });
    expect(readValue(join(directory, 'state.db'), 'PRAGMA integrity_check')).toBe('ok');
    for (const name of readdirSync(directory).filter((one) => one.startsWith('state.db')))
      expect(readFileSync(join(directory, name), 'latin1')).not.toContain('canary');
  });
});
