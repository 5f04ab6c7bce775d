import { execFile } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, it } from 'vitest';
import { virtualProvider } from '../interceptors/virtual.js';
import { makeCanary } from './canary.js';
import { Sinks } from './sinks.js';
import { refusing, startProvider, temporaryFolder } from './stage.js';

const PRELOAD = fileURLToPath(new URL('../../dist/register.cjs', import.meta.url));
const PROGRAM = fileURLToPath(new URL('program.mjs', import.meta.url));
/** It starts seven processes, one after another. */
const TIMEOUT_MS = 120_000;
const ROOT = fileURLToPath(new URL('../../package.json', import.meta.url));

function run(args: readonly string[], cwd: string, env: NodeJS.ProcessEnv) {
  return new Promise<{ code: number; stdout: string; stderr: string }>((resolve) => {
    execFile(process.execPath, args, { cwd, env, maxBuffer: 2 ** 28 }, (error, stdout, stderr) => {
      resolve({
        code: error === null ? 0 : typeof error.code === 'number' ? error.code : -1,
        stdout,
        stderr,
      });
    });
  });
}

it(
  'a program with virtual keys holds none, with any client, in threads, members of a cluster, children and reports',
  async () => {
    const canaries = [makeCanary('bad'), makeCanary('good')] as const;
    const provider = await startProvider(refusing(canaries[0], 429));
    const stranger = await startProvider();
    const folder = temporaryFolder();
    const state = temporaryFolder();
    const secrets = temporaryFolder();
    const config = {
      store: { type: 'sqlite' },
      providers: {
        acme: {
          baseUrl: provider.origin,
          auth: { in: 'header', name: 'x-api-key' },
          env: ['ACME_API_KEY'],
          ...virtualProvider(
            canaries.map(({ text }) => text),
            secrets,
          ),
        },
      },
    };
    writeFileSync(join(folder, 'keymux.config.json'), JSON.stringify(config));
    const env = {
      ...process.env,
      NODE_DEBUG: 'keymux,http,http2,https,net,tls,stream,fetch,undici,timer,worker',
      KEYMUX_DEBUG: '1',
      KEYMUX_STATE_DIR: state,
      KEYMUX_DECISIONS: join(state, 'decisions'),
      ACME_URL: provider.origin,
      OTHER_URL: stranger.origin,
      CLIENTS_FROM: ROOT,
    };
    const { code, stdout, stderr } = await run(['--require', PRELOAD, PROGRAM], folder, env);
    expect([code, stdout.slice(-5)], stderr.slice(-2_000)).toEqual([0, 'done\n']);
    const sinks = new Sinks();
    sinks.add('stdout', stdout);
    sinks.add('stderr', stderr);
    sinks.addFiles('folder', folder);
    sinks.addFiles('state', state);
    for (const { head, body } of stranger.arrivals) sinks.add('stranger', head + body);
    for (const client of ['fetch', 'node:http', 'undici', 'axios', 'got', 'node-fetch', 'superagent'])
      expect(stdout).toContain(`main: ${client} answered`);
    expect(stdout).toContain('member of a cluster: fetch answered');
    expect(stdout).not.toContain('REFUSED NOTHING');
    expect(provider.seen(canaries)).toEqual(expect.arrayContaining(['bad', 'good']));
    sinks.expectNone(
      canaries,
      'folder: report.json',
      'state: fingerprint.key',
      /^state: .*\.db/,
      /^state: decisions/,
    );
  },
  TIMEOUT_MS,
);
