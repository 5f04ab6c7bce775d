import { execFile } from 'node:child_process';
import { copyFileSync, mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { isVirtualKey, virtualKeyFor } from '#keymux/config/virtual-key.js';
import type { Simulator } from '#keymux/testing/simulator-api.js';
import { refuse } from '#keymux/testing/script.js';
import { startSimulator } from '#keymux/testing/simulator.js';
import { describe, expect, it, onTestFinished } from 'vitest';
import { temporaryFolder, virtualProvider } from '../virtual.js';
import { ASK, PRELOAD } from './programs.js';

const LIMITED = 'sk-CANARY4f9c2e/limited+';
const GOOD = 'sk-CANARY7b1d0a/good+';
const DEAD = 'sk-CANARYc03f55/dead+';

const ROOT = fileURLToPath(new URL('../../../', import.meta.url));

/** A key in the forms in which it may be met. */
function formsOf(text: string): string[] {
  const base64 = btoa(text).replaceAll('=', '').slice(0, -1);
  const json = JSON.stringify(text).slice(1, -1);
  return [text, base64, Buffer.from(text).toString('hex'), encodeURIComponent(text), json, text.slice(3, 15)];
}

function leaksIn(output: string): string[] {
  const lines = output.split('\n');
  return [LIMITED, GOOD, DEAD]
    .flatMap(formsOf)
    .flatMap((form) => lines.filter((line) => line.includes(form)));
}

interface Stage {
  readonly folder: string;
  readonly simulator: Simulator;
  /** What came in at a server that belongs to nobody. */
  readonly strangers: string[];
  write(name: string, code: string): string;
  run(args: readonly string[], env?: NodeJS.ProcessEnv): Promise<Result>;
}

interface Result {
  readonly stdout: string;
  readonly stderr: string;
  readonly code: number;
}

async function stage(store: object = { type: 'memory' }): Promise<Stage> {
  const simulator = await startSimulator({
    auth: { in: 'header', name: 'x-api-key' },
    keys: {
      [LIMITED]: { name: 'limited', always: refuse(429, { retryAfterSeconds: 60 }) },
      [GOOD]: { name: 'good' },
    },
  });
  const strangers: string[] = [];
  const stranger = createServer((request, response) => {
    strangers.push(JSON.stringify([request.url, request.headers]));
    response.end('{}');
  });
  const otherPort = await listen(stranger);
  const gone = createServer();
  const deadPort = await listen(gone);
  gone.close();
  onTestFinished(async () => {
    stranger.close();
    await simulator.close();
  });
  const folder = temporaryFolder();
  mkdirSync(join(folder, 'dead'));
  const config = {
    store,
    providers: {
      acme: {
        baseUrl: simulator.origin,
        auth: { in: 'header', name: 'x-api-key' },
        env: ['ACME_API_KEY'],
        ...virtualProvider([LIMITED, GOOD], folder),
      },
      dead: { baseUrl: `http://127.0.0.1:${deadPort}`, ...virtualProvider([DEAD], join(folder, 'dead')) },
    },
  };
  writeFileSync(join(folder, 'keymux.config.json'), JSON.stringify(config));
  const env: NodeJS.ProcessEnv = {
    ...process.env,
    KEYMUX_STATE_DIR: folder,
    ACME_URL: simulator.origin,
    OTHER_URL: `http://127.0.0.1:${otherPort}`,
    DEAD_URL: `http://127.0.0.1:${deadPort}`,
    UNDICI_FROM: ROOT,
  };
  return {
    folder,
    simulator,
    strangers,
    write: (name, code) => {
      const path = join(folder, name);
      writeFileSync(path, code);
      return path;
    },
    run: (args, more = {}) =>
      new Promise((resolve) => {
        const options = { cwd: folder, env: { ...env, ...more }, timeout: 25_000, maxBuffer: 2 ** 28 };
        execFile(process.execPath, args, options, (error, stdout, stderr) => {
          const code = error === null ? 0 : typeof error.code === 'number' ? error.code : -1;
          resolve({ stdout, stderr, code });
        });
      }),
  };
}

async function listen(server: ReturnType<typeof createServer>): Promise<number> {
  await new Promise<void>((resolve) => void server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('no port');
  return address.port;
}

describe('a program with virtual keys', () => {
  it('can reach no real key by ordinary means, while its provider gets one each time', async () => {
    const { folder, simulator, strangers, run } = await stage();
    mkdirSync(join(folder, 'node_modules'));
    symlinkSync(ROOT, join(folder, 'node_modules/keymux'));
    const program = join(folder, 'canary.mjs');
    copyFileSync(new URL('canary.mjs', import.meta.url), program);
    const { stdout, stderr, code } = await run(['--require', PRELOAD, program]);
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    expect(leaksIn(stdout)).toEqual([]);
    const said = stdout.split('\n').filter((line) => /^(?:answer|failed|done|NOT)/.test(line));
    expect(said.map((line) => line.split(' [')[0])).toEqual([
      'answer of fetch: good',
      'failed: KEYMUX_ORIGIN_REFUSED',
      'failed: ECONNREFUSED',
      'answer of node:http: good',
      'answer of node:http with an agent: good',
      'failed: KEYMUX_ORIGIN_REFUSED',
      'failed: ECONNREFUSED',
      'answer of undici: good',
      'answer in a worker: good',
      'answer in a worker: good',
      expect.stringMatching(/^answer in a worker: undefined/),
      'done',
    ]);
    expect(simulator.requests.map(({ key }) => key)).toEqual(
      expect.arrayContaining(['limited', 'good', undefined]),
    );
    expect(strangers).toEqual([]);
  });

  it('is looked through for every form of a key', () => {
    for (const form of formsOf(GOOD)) expect(leaksIn(`a\nb ${form} c`)).not.toEqual([]);
    expect(leaksIn(virtualKeyFor('acme', '/', new Uint8Array(32)))).toEqual([]);
  });

  it('holds the same virtual key after a restart, in children and in workers, under any store', async () => {
    const { run, write } = await stage({ type: 'sqlite' });
    const program = write(
      'family.mjs',
      `import { execFileSync } from 'node:child_process';
       import { Worker } from 'node:worker_threads';
       const print = 'console.log(process.env.ACME_API_KEY)';
       console.log(process.env.ACME_API_KEY);
       process.stdout.write(execFileSync(process.execPath, ['-e', print]));
       process.stdout.write(execFileSync(process.execPath, ['-e', print], { env: { ...process.env, ACME_API_KEY: '' } }));
       new Worker(print, { eval: true, env: { ...process.env, ACME_API_KEY: '' } });`,
    );
    const outputs = [await run(['--require', PRELOAD, program]), await run(['--require', PRELOAD, program])];
    const keys = outputs.flatMap(({ stdout }) => stdout.trim().split('\n'));
    expect(keys).toHaveLength(8);
    expect(new Set(keys).size).toBe(1);
    expect(isVirtualKey(keys[0] ?? '')).toBe(true);
  });

  it('works in a child of another application, which has keys of its own to turn the inherited one into', async () => {
    const parent = await stage();
    const child = await stage();
    const ask = child.write('ask.cjs', ASK.replace('process.env.ACME_API_KEY', 'process.argv[2]'));
    const program = parent.write(
      'parent.mjs',
      `import { execFileSync } from 'node:child_process';
       const options = { cwd: ${JSON.stringify(child.folder)}, env: { ...process.env, ACME_URL: ${JSON.stringify(child.simulator.origin)} } };
       process.stdout.write(execFileSync(process.execPath, [${JSON.stringify(ask)}, process.env.ACME_API_KEY], options));`,
    );
    expect(await parent.run(['--require', PRELOAD, program])).toEqual({
      stdout: '200 good\n',
      stderr: '',
      code: 0,
    });
    expect(child.simulator.requests.map(({ key }) => key)).toEqual(['limited', 'good']);
    expect(parent.simulator.requests).toEqual([]);
  });

  it('gets nothing where its configuration is not found: the virtual key is of no use there', async () => {
    const { run, write, simulator } = await stage();
    const ask = write('ask.cjs', ASK);
    const program = write(
      'parent.mjs',
      `import { spawnSync } from 'node:child_process';
       const { stdout, stderr } = spawnSync(process.execPath, [${JSON.stringify(ask)}], { cwd: '/', encoding: 'utf8' });
       process.stdout.write(stdout + stderr);`,
    );
    const { stdout } = await run(['--require', PRELOAD, program]);
    expect(stdout).toMatch(/^401 /);
    expect(simulator.requests.map(({ key }) => key)).toEqual([undefined]);
  });

  it('gets no key of the environment, and is told to take it out of there', async () => {
    const { run, write, simulator } = await stage();
    write('.env', 'ACME_API_KEY_2=canary-in-env-file');
    const env = { ACME_API_KEY: 'canary-in-environment' };
    const { stdout, stderr, code } = await run(
      ['--require', PRELOAD, '-e', `${ASK} console.log(process.env)`],
      env,
    );
    expect(code).toBe(0);
    expect(stdout).toContain('200 good');
    expect(stdout + stderr).not.toContain('canary-in');
    expect(stderr).toContain('ACME_API_KEY held a key, which others could read');
    expect(simulator.requests.map(({ key }) => key)).toEqual(['limited', 'good']);
  });

  it('can see the real key where docs/security.md says so: in the diagnostics channels of undici', async () => {
    const { run } = await stage();
    const listen = `require('node:diagnostics_channel').subscribe('undici:request:create', ({ request }) =>
      console.log(require('node:util').inspect(request.headers)));`;
    const { stdout } = await run(['--require', PRELOAD, '-e', listen + ASK]);
    expect(stdout).toContain('200 good');
    expect(leaksIn(stdout)).not.toEqual([]);
  });
});
