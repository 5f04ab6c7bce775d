import { execFile } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { installPropagation } from '../../interceptors/child-processes.js';
import { PRELOAD_PATH } from '../preload-path.js';
import { failed, passed } from './check.js';
import type { Check } from './check.js';

const TIMEOUT_MS = 10_000;
const REFUSED_KEY = 'refused-by-the-doctor';
const ACCEPTED_KEY = 'accepted-by-the-doctor';

/** Captures a key as programs do, uses it with each kind of client, and reads the name again. */
const PROGRAM = `
const http = require('node:http');
const headers = { 'x-api-key': process.env.KEYMUX_DOCTOR_API_KEY };
const url = process.argv[1];
const viaHttp = () => new Promise((resolve) => http
  .get(url, { headers }, (response) => { response.resume(); resolve(response.statusCode); })
  .on('error', () => resolve(0)));
const viaFetch = () => fetch(url, { headers }).then((response) => response.status, () => 0);
(async () => {
  const statuses = { http: await viaHttp(), fetch: await viaFetch() };
  const env = process.env.KEYMUX_DOCTOR_API_KEY !== headers['x-api-key'];
  process.stdout.write(JSON.stringify({ env, http: statuses.http === 200, fetch: statuses.fetch === 200 }));
})();
`;

const CLIENTS = {
  env: ['process.env', 'process.env answers with the best key'],
  fetch: ['fetch', 'built-in fetch gets a key that works'],
  http: [
    'node:http',
    'node:http and https get a key that works (axios, got, node-fetch, superagent, SDKs, ws)',
  ],
} as const;

type Covered = Readonly<Record<keyof typeof CLIENTS, boolean>>;

/**
 * Which clients are covered: a small program runs under the preload against a server of our own that refuses the key
 * which the program captured. The user's keys and state are not touched.
 */
export async function clientChecks(): Promise<Check[]> {
  const covered = await tryClients();
  if (covered === undefined) {
    const fix = `Run \`node --require ${PRELOAD_PATH} -e 0\` and mend what it says.`;
    return [failed('clients', 'A program under the preload did not come to an end.', fix)];
  }
  return (Object.keys(CLIENTS) as (keyof typeof CLIENTS)[]).map((client) => {
    const [name, text] = CLIENTS[client];
    if (covered[client]) return passed('clients', text);
    const fix = 'Look whether another preload in NODE_OPTIONS replaces it (a tracer, a mock).';
    return failed('clients', `${name} is not covered.`, fix);
  });
}

async function tryClients(): Promise<Covered | undefined> {
  const server = createServer((request, response) => {
    response.writeHead(request.headers['x-api-key'] === ACCEPTED_KEY ? 200 : 429).end();
  });
  const folder = mkdtempSync(join(tmpdir(), 'keymux-doctor-'));
  try {
    const url = await listen(server);
    const config = join(folder, 'keymux.config.json');
    writeFileSync(config, JSON.stringify(configurationFor(url)));
    return await runProgram(url, folder, config);
  } finally {
    server.close();
    server.closeAllConnections();
    rmSync(folder, { recursive: true, force: true });
  }
}

async function listen(server: Server): Promise<string> {
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

function configurationFor(baseUrl: string): object {
  return {
    store: { type: 'memory' },
    providers: {
      keymux_doctor: { baseUrl, auth: { in: 'header', name: 'x-api-key' }, env: ['KEYMUX_DOCTOR_API_KEY'] },
    },
  };
}

async function runProgram(url: string, cwd: string, config: string): Promise<Covered | undefined> {
  const env = {
    ...plainEnvironment(),
    NODE_OPTIONS: optionsWithPreload(),
    KEYMUX_CONFIG: config,
    KEYMUX_DOCTOR_API_KEY: REFUSED_KEY,
    KEYMUX_DOCTOR_API_KEY_2: ACCEPTED_KEY,
  };
  try {
    const { stdout } = await promisify(execFile)(process.execPath, ['-e', PROGRAM, url], {
      cwd,
      env,
      timeout: TIMEOUT_MS,
    });
    return JSON.parse(stdout) as Covered;
  } catch {
    return undefined;
  }
}

/** The variables of this process without keys, settings of keymux and proxies: none of them is under test. */
function plainEnvironment(): NodeJS.ProcessEnv {
  const kept = Object.entries(process.env).filter(([name]) => !/KEY|TOKEN|SECRET|PROXY|^API_/i.test(name));
  return Object.fromEntries(kept);
}

/** `NODE_OPTIONS` as `run` would set it; this process keeps its own. */
function optionsWithPreload(): string {
  const undo = installPropagation(PRELOAD_PATH);
  const options = process.env['NODE_OPTIONS'] ?? '';
  void undo();
  return options;
}
