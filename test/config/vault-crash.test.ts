import { spawn } from 'node:child_process';
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { lockVault, tryLockVault } from '#keymux/config/vault-lock.js';
import { readVaultKey } from '#keymux/config/vault-key.js';
import { changeVault, readVault } from '#keymux/config/vault-write.js';
import { describe, expect, it } from 'vitest';
import { CANARY, filledVault, refusal, textsIn, withKey } from './vault-place.js';
import type { Place } from './vault-place.js';

const WRITER = fileURLToPath(new URL('./vault-writer.mjs', import.meta.url));

interface Ended {
  readonly code: number | null;
  readonly signal: string | null;
  readonly steps: readonly string[];
}

async function writer({ definition, folder }: Place, what: string, detail: string): Promise<Ended> {
  const child = spawn(process.execPath, [WRITER, what, definition.path, folder, detail], {
    env: { ...process.env, KEYMUX_STATE_DIR: join(folder, 'state') },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  let output = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => (output += text));
  return new Promise((resolve, reject) => {
    child.on('error', reject);
    child.on('close', (code, signal) => resolve({ code, signal, steps: output.split('\n').filter(Boolean) }));
  });
}

/** As the next program would open it: with the key file as it now is. */
async function openedAfter({ access, definition, environment }: Place): ReturnType<typeof readVault> {
  return readVault(withKey(access, readVaultKey(definition, environment)));
}

const ROTATION = ['add-key', 'write', 'keep', 'replace', 'remember', 'end', 'drop-key'];
const CHANGE = ['write', 'replace', 'remember', 'end'];

describe('a writer that is killed', () => {
  it.each(ROTATION)('leaves a key that opens every entry: rotation, at %s', async (step) => {
    const place = await filledVault();
    const ended = await writer(place, 'rotate', step);
    expect(ended.signal).toBe('SIGKILL');
    expect(ended.steps.at(-1)).toBe(step);
    const vault = await openedAfter(place);
    expect(vault.names()).toEqual(['acme/main', 'acme/spare']);
    expect(vault.get('acme/main')).toBe(`${CANARY}-main`);
    expect(textsIn(place.folder)).not.toContain(CANARY);
    // The next one finds the lock of the dead, and goes on.
    expect((await writer(place, 'rotate', '')).code).toBe(0);
    expect((await openedAfter(place)).get('acme/spare')).toBe(`${CANARY}-spare`);
    expect(readdirSync(place.folder)).not.toContain('keymux.vault.lock');
  });

  it('passes every step that the cases above name', async () => {
    expect((await writer(await filledVault(), 'rotate', '')).steps).toEqual(ROTATION);
    expect((await writer(await filledVault(), 'set', '')).steps).toEqual(CHANGE);
  });

  it.each(CHANGE)('leaves the vault as it was or as it should be: change, at %s', async (step) => {
    const place = await filledVault();
    expect((await writer(place, 'set', step)).signal).toBe('SIGKILL');
    const isWritten = CHANGE.indexOf(step) > CHANGE.indexOf('replace');
    expect((await openedAfter(place)).get('acme/new')).toBe(isWritten ? 'new' : undefined);
    await changeVault(place.access, (draft) => draft.set('acme/next', 'x'));
    expect((await openedAfter(place)).names()).toContain('acme/next');
  });
});

describe('several writers', () => {
  it('lose nothing of one another', async () => {
    const place = await filledVault();
    const ended = await Promise.all(['a', 'b', 'c'].map((name) => writer(place, 'fill', name)));
    expect(ended.map(({ code }) => code)).toEqual([0, 0, 0]);
    const vault = await openedAfter(place);
    expect(vault.names()).toHaveLength(17);
    expect(vault.generation).toBe(17);
  });
});

describe('the lock', () => {
  it('is held by one at a time, and waited for', async () => {
    const { definition } = await filledVault();
    const first = await lockVault(definition.path);
    expect(tryLockVault(definition.path)).toBeUndefined();
    const error = await refusal(() => lockVault(definition.path, 0));
    expect(error).toMatchObject({ code: 'KEYMUX_TIMEOUT' });
    const second = lockVault(definition.path);
    first.release();
    const held = await second;
    expect([first.isHeld(), held.isHeld()]).toEqual([false, true]);
    first.release();
    expect(held.isHeld()).toBe(true);
    held.release();
    expect(existsSync(`${definition.path}.lock`)).toBe(false);
  });

  it('of a process on another machine is respected while it is young', async () => {
    const { definition } = await filledVault();
    writeFileSync(`${definition.path}.lock`, JSON.stringify([1, `not-${hostname()}`, 'x']));
    expect(tryLockVault(definition.path)).toBeUndefined();
    expect(tryLockVault(definition.path)).toBeUndefined();
  });

  it('that was taken over stops a writer before it replaces anything', async () => {
    const { access, definition } = await filledVault();
    const before = readFileSync(definition.path, 'utf8');
    const error = await refusal(() =>
      changeVault(access, (draft) => draft.set('a', 'x'), {
        onStep: (step) => {
          if (step === 'write') writeFileSync(`${definition.path}.lock`, 'somebody else');
        },
      }),
    );
    expect(error.message).toContain('took over the lock');
    expect(readFileSync(definition.path, 'utf8')).toBe(before);
    expect(readdirSync(join(definition.path, '..')).filter((name) => name.endsWith('.tmp'))).toEqual([]);
  });
});
