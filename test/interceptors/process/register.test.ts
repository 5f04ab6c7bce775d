import { describe, expect, it } from 'vitest';
import { ASK, ENTRY, PRELOAD, stage } from './programs.js';

const GOOD = '200 good\n';

describe('the preload', () => {
  it('is needed: without it the program meets the limited key', async () => {
    const { run } = await stage();
    expect((await run(['-e', ASK])).stdout).toMatch(/^429 /);
  });

  it.each([
    ['--require', ['--require', PRELOAD, '-e', ASK], {}],
    ['--import', ['--import', PRELOAD, '-e', ASK], {}],
    ['NODE_OPTIONS', ['-e', ASK], { NODE_OPTIONS: `--require ${JSON.stringify(PRELOAD)}` }],
    ['both at once', ['--require', PRELOAD, '--import', PRELOAD, '-e', ASK], {}],
  ])('works with %s', async (_how, args, env) => {
    const { run, simulator } = await stage();
    expect(await run(args, env)).toEqual({ stdout: GOOD, stderr: '', code: 0 });
    expect(simulator.requests.map(({ key }) => key)).toEqual(['limited', 'revoked', 'good']);
  });

  it('works for ES modules with named imports of node:process and node:http', async () => {
    const { run, write } = await stage();
    const program = write(
      'agent.mjs',
      `import { env } from 'node:process';
       import { get } from 'node:http';
       const { ACME_API_KEY } = env;
       get(env.ACME_URL + '/quote', { headers: { 'x-api-key': ACME_API_KEY } }, (response) => {
         let body = '';
         response.on('data', (chunk) => (body += chunk));
         response.on('end', () => console.log(response.statusCode, JSON.parse(body).key));
       });`,
    );
    expect(await run(['--import', PRELOAD, program])).toEqual({ stdout: GOOD, stderr: '', code: 0 });
  });

  it('leaves a program alone that has nothing to do with it', async () => {
    const { run, write, directory } = await stage();
    write('keymux.config.json', '{}');
    const program = `console.log(JSON.stringify([process.argv.length, process.exitCode ?? null]))`;
    const env = {
      ACME_API_KEY: '',
      ACME_API_KEY_2: '',
      ACME_API_KEY_BACKUP: '',
      KEYMUX_STATE_DIR: directory,
    };
    expect(await run(['--require', PRELOAD, '-e', program], env)).toEqual({
      stdout: '[1,null]\n',
      stderr: '',
      code: 0,
    });
  });

  it('stops a program whose configuration is faulty, with all that is wrong', async () => {
    const { run, write } = await stage();
    write('keymux.config.json', '{ "providers": { "acme": { "baseUrll": "x" } } }');
    const { code, stdout, stderr } = await run(['--require', PRELOAD, '-e', ASK]);
    expect({ code, stdout }).toEqual({ code: 3, stdout: '' });
    expect(stderr).toMatch(/baseUrl/);
  });

  it.each([
    ['spawn', `require('child_process').spawn(process.execPath, ['child.cjs'], { stdio: 'inherit' })`],
    ['fork', `require('child_process').fork('child.cjs')`],
    [
      'exec',
      `require('child_process').exec('"' + process.execPath + '" child.cjs', (e, out) => process.stdout.write(out))`,
    ],
    [
      'execFileSync',
      `process.stdout.write(require('child_process').execFileSync(process.execPath, ['child.cjs']))`,
    ],
    [
      'cluster',
      `const cluster = require('cluster'); cluster.setupPrimary({ exec: 'child.cjs' }); cluster.fork();
       cluster.on('exit', () => process.exit())`,
    ],
  ])('reaches child processes started by %s', async (how, code) => {
    const { run, write } = await stage({ store: 'sqlite' });
    const ends = how === 'cluster' ? '.then(() => process.exit())' : '';
    write('child.cjs', ASK.trim().replace(/;$/, `${ends};`));
    const program = write('parent.cjs', code);
    expect(await run(['--require', PRELOAD, program])).toEqual({ stdout: GOOD, stderr: '', code: 0 });
  });

  it.each([
    ['a file', `new Worker('./child.cjs')`],
    ['eval', `new Worker(require('fs').readFileSync('child.cjs', 'utf8'), { eval: true })`],
    ['an environment of its own', `new Worker('./child.cjs', { env: { ACME_URL: process.env.ACME_URL } })`],
    ['the shared environment', `new Worker('./child.cjs', { env: SHARE_ENV })`],
  ])('reaches worker threads with %s', async (_how, code) => {
    const { run, write } = await stage();
    write('child.cjs', ASK);
    const program = write('parent.cjs', `const { Worker, SHARE_ENV } = require('worker_threads'); ${code};`);
    expect(await run(['--require', PRELOAD, program])).toEqual({ stdout: GOOD, stderr: '', code: 0 });
  });

  it('lets threads share what they learn: the bad keys are met once, not once a thread', async () => {
    const { run, write, simulator } = await stage();
    write('child.cjs', ASK);
    const program = write(
      'parent.cjs',
      `const { Worker } = require('worker_threads'); const { once } = require('events');
       (async () => { for (let i = 0; i < 4; i++) await once(new Worker('./child.cjs'), 'exit'); })();`,
    );
    expect((await run(['--require', PRELOAD, program])).stdout).toBe(GOOD.repeat(4));
    expect(simulator.requests.map(({ key }) => key)).toEqual([
      'limited',
      'revoked',
      'good',
      'good',
      'good',
      'good',
    ]);
  });

  it('tells running threads of keys that come later', async () => {
    const { run, write } = await stage();
    write(
      'child.cjs',
      `const { parentPort } = require('worker_threads');
       process.env.ACME_API_KEY;
       parentPort.on('message', () => {});
       // Not before: 'online' comes while the preload is still starting in the thread.
       parentPort.postMessage('running');
       const look = () => {
         if (process.env.ACME_API_KEY !== 'key-later') return setImmediate(look);
         parentPort.postMessage('learnt'); parentPort.close();
       };
       look();`,
    );
    const program = write(
      'parent.cjs',
      `const { Worker } = require('worker_threads');
       const worker = new Worker('./child.cjs');
       worker.once('message', () => {
         process.env.ACME_API_KEY = 'key-later';
         worker.on('message', (message) => console.log(message));
       });`,
    );
    expect(await run(['--require', PRELOAD, program])).toEqual({ stdout: 'learnt\n', stderr: '', code: 0 });
  });

  it('tells threads of keys that come while they start', async () => {
    const { run, write } = await stage();
    write(
      'child.cjs',
      `const look = () => {
         if (process.env.ACME_API_KEY !== 'key-later') return setImmediate(look);
         console.log('learnt');
       };
       look();`,
    );
    const program = write(
      'parent.cjs',
      `const { Worker } = require('worker_threads');
       process.env.ACME_API_KEY;
       new Worker('./child.cjs');
       process.env.ACME_API_KEY = 'key-later';`,
    );
    expect(await run(['--require', PRELOAD, program])).toEqual({ stdout: 'learnt\n', stderr: '', code: 0 });
  });

  it('lets processes share what they learn through the store', async () => {
    const { run, simulator } = await stage({ store: 'sqlite' });
    expect((await run(['--require', PRELOAD, '-e', ASK])).stdout).toBe(GOOD);
    expect((await run(['--require', PRELOAD, '-e', ASK])).stdout).toBe(GOOD);
    expect(simulator.requests.map(({ key }) => key)).toEqual(['limited', 'revoked', 'good', 'good']);
  });
});

describe('the manager of the process', () => {
  it('is one, however often and by whichever copy of the package it is asked for', async () => {
    const { run, write } = await stage();
    const program = write(
      'agent.mjs',
      `import { MinimalMultiKeyManager, KeymuxError, getApiManager } from ${JSON.stringify(ENTRY)};
       const first = MinimalMultiKeyManager.instance();
       const all = await Promise.all(Array.from({ length: 1_000 }, async () => MinimalMultiKeyManager.instance()));
       console.log(all.every((one) => one === first), first instanceof MinimalMultiKeyManager, getApiManager() === first);
       console.log(first.getApiKey('acme'));
       try { first.getApiKey('nobody'); } catch (error) { console.log(error instanceof KeymuxError, error.code); }`,
    );
    const { stdout, stderr } = await run(['--require', PRELOAD, program]);
    expect({ stdout, stderr }).toEqual({
      stdout: 'true true true\nkey-limited\ntrue KEYMUX_UNKNOWN_SERVICE\n',
      stderr: '',
    });
  });

  it('is created once by threads that race for it, over one table', async () => {
    const { run, write } = await stage();
    write(
      'child.mjs',
      `import { parentPort, workerData } from 'node:worker_threads';
       import { MinimalMultiKeyManager } from ${JSON.stringify(ENTRY)};
       const gate = new Int32Array(workerData);
       Atomics.add(gate, 1, 1); Atomics.notify(gate, 1);
       Atomics.wait(gate, 0, 0);
       const manager = MinimalMultiKeyManager.instance();
       manager.report('acme/main', 'bad-request');
       parentPort.postMessage(manager.table.buffer);`,
    );
    const program = write(
      'parent.mjs',
      `import { Worker } from 'node:worker_threads';
       import { once } from 'node:events';
       import { MinimalMultiKeyManager } from ${JSON.stringify(ENTRY)};
       const manager = MinimalMultiKeyManager.instance();
       const gate = new Int32Array(new SharedArrayBuffer(8));
       const workers = Array.from({ length: 8 }, () => new Worker('./child.mjs', { workerData: gate.buffer }));
       while (Atomics.load(gate, 1) < 8) await new Promise(setImmediate);
       Atomics.store(gate, 0, 1); Atomics.notify(gate, 0);
       await Promise.all(workers.map((worker) => once(worker, 'exit')));
       console.log(manager.inspect().keys.find(({ id }) => id === 'acme/main').uses);
       await MinimalMultiKeyManager.resetInstance();`,
    );
    expect(await run([program])).toEqual({ stdout: '8\n', stderr: '', code: 0 });
  });

  it('gives back everything on reset, and a new one works', async () => {
    const { run, write } = await stage();
    const program = write(
      'agent.mjs',
      `import http from 'node:http';
       import https from 'node:https';
       import { MinimalMultiKeyManager } from ${JSON.stringify(ENTRY)};
       const parts = (object) => Reflect.ownKeys(object).flatMap((name) => {
         const { value, get, set, ...flags } = Object.getOwnPropertyDescriptor(object, name);
         return [name, value, get, set, JSON.stringify(flags)];
       });
       const only = (object, ...names) => names.flatMap((name) => Object.values(Object.getOwnPropertyDescriptor(object, name)));
       const look = () => [
         only(process, 'env', 'loadEnvFile'), only(globalThis, 'fetch'), parts(http), parts(https),
         parts(http.ClientRequest.prototype), parts(http.Agent.prototype), [process.env.NODE_OPTIONS],
       ];
       const same = (a, b) => a.length === b.length && a.every((part, index) => Object.is(part, b[index]));
       globalThis.fetch;
       const before = look();
       const first = MinimalMultiKeyManager.instance();
       console.log('patched', before.filter((part, index) => !same(part, look()[index])).length >= 4);
       await MinimalMultiKeyManager.resetInstance();
       console.log('restored', before.map((part, index) => same(part, look()[index])).join());
       const second = MinimalMultiKeyManager.instance();
       console.log('new', second !== first, second.getApiKey('acme'));
       await MinimalMultiKeyManager.resetInstance();
       console.log(process.env.ACME_API_KEY);`,
    );
    const { stdout, stderr } = await run([program]);
    expect({ stdout, stderr }).toEqual({
      stdout: `patched true\nrestored ${Array(7).fill(true).join()}\nnew true key-limited\nkey-limited\n`,
      stderr: '',
    });
  });
});
