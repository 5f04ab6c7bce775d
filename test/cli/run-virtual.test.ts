import { isVirtualKey } from '#keymux/config/virtual-key.js';
import { startSimulator } from '#keymux/testing/simulator.js';
import { describe, expect, it } from 'vitest';
import { CANARY, Project } from './keymux-process.js';

const CONFIG = `
store: { type: memory }
providers:
  acme:
    baseUrl: http://127.0.0.1:9
    auth: { in: header, name: x-api-key }
    mode: virtual
    keys: [{ id: main, value: "file:acme.key" }]
`;
const PRINT = 'printf "%s %s" "$ACME_API_KEY" "$ACME_API_KEY_2"';

function project(env: Record<string, string> = {}, config = CONFIG): Project {
  return new Project({ 'keymux.config.yaml': config, 'acme.key': `${CANARY}-main` }, env);
}

describe('keymux run with virtual keys', () => {
  it('gives a program of any language the virtual key, and says that it is of no use there', async () => {
    const { code, stdout, stderr } = await project().keymux(['run', '--', 'sh', '-c', PRINT]);
    expect(code).toBe(0);
    expect(isVirtualKey(stdout.trim())).toBe(true);
    expect(stderr).toBe(
      'keymux: the keys of acme are virtual: they work in Node programs only, and to any other they are of no use\n',
    );
  });

  it('hands on no real key that stands in its own environment, and says so', async () => {
    const env = { ACME_API_KEY: `${CANARY}-env`, ACME_API_KEY_2: `${CANARY}-env-2` };
    const { stdout, stderr } = await project(env).keymux(['run', '--', 'sh', '-c', PRINT]);
    const [first = '', second] = stdout.split(' ');
    expect(isVirtualKey(first)).toBe(true);
    expect(second).toBe(first);
    expect(stderr).toContain('ACME_API_KEY held a key, which others could read');
    expect(stderr).toContain('Take the real key out of the environment');
  });

  it('starts Node programs whose requests get the real key, without a word', async () => {
    await using simulator = await startSimulator({
      auth: { in: 'header', name: 'x-api-key' },
      keys: { [`${CANARY}-main`]: { name: 'main' } },
    });
    const program = `
      const key = process.env.ACME_API_KEY;
      fetch('${simulator.origin}', { headers: { 'x-api-key': key } })
        .then((response) => console.log(response.status, key));`;
    const config = CONFIG.replace('http://127.0.0.1:9', simulator.origin);
    const { stdout, stderr } = await project({}, config).keymux(['run', '--', 'node', '-e', program]);
    expect(stderr).toBe('');
    const [status, key = ''] = stdout.trim().split(' ');
    expect([status, isVirtualKey(key)]).toEqual(['200', true]);
    expect(simulator.requests.map(({ key: served }) => served)).toEqual(['main']);
  });

  it('says nothing of keys where none are virtual', async () => {
    const config = CONFIG.replace('virtual', 'direct');
    const running = project({}, config).start(['run', '--', 'sh', '-c', PRINT]);
    expect(await running.ended).toEqual({ code: 0, stdout: `${CANARY}-main `, stderr: '' });
  });
});
