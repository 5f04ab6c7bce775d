import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished, vi } from 'vitest';
import { stateDirectory } from '#keymux/stores/sqlite/state-directory.js';
import { openStore, temporaryDirectory } from './sqlite-fixture.js';

describe('stateDirectory', () => {
  it.each([
    ['linux', { KEYMUX_STATE_DIR: '/srv/k', XDG_STATE_HOME: '/x' }, '/srv/k'],
    ['darwin', { KEYMUX_STATE_DIR: '/srv/k' }, '/srv/k'],
    ['linux', { XDG_STATE_HOME: '/x' }, join('/x', 'keymux')],
    ['linux', { KEYMUX_STATE_DIR: '', XDG_STATE_HOME: '' }, join('/home/me', '.local', 'state', 'keymux')],
    ['freebsd', {}, join('/home/me', '.local', 'state', 'keymux')],
    ['darwin', { XDG_STATE_HOME: '/x' }, join('/home/me', 'Library', 'Application Support', 'keymux')],
    ['win32', { LOCALAPPDATA: 'C:\\Local' }, join('C:\\Local', 'keymux')],
    ['win32', {}, join('/home/me', 'AppData', 'Local', 'keymux')],
  ] as const)('on %s with %j is %s', (platform, env, expected) => {
    expect(stateDirectory(env, platform, '/home/me')).toBe(expected);
  });

  it('takes the home directory of the environment', () => {
    expect(stateDirectory({ HOME: '/home/other' }, 'linux')).toBe('/home/other/.local/state/keymux');
    expect(stateDirectory({}, 'linux')).toMatch(/^\/.*keymux$/);
  });

  it('is where a store lives that is told of no other place', async () => {
    const directory = temporaryDirectory();
    vi.stubEnv('KEYMUX_STATE_DIR', directory);
    onTestFinished(() => void vi.unstubAllEnvs());
    const { notices } = await openStore({});
    expect(existsSync(join(directory, 'state.db'))).toBe(true);
    expect(notices).toEqual([]);
  });
});
