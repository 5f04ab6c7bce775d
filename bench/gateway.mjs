// keymux's gateway beside others, on one provider, in one run: requests per second, p50 and p99 with many connections,
// what a gateway adds to a single request, and to the first byte of a stream. Everybody takes turns in short rounds.
//
// @portkey-ai/gateway is installed from bench/peers when this runs. nginx is the floor; where it is not installed, it is
// left out (Debian: apt-get install nginx-light). A proxy of twenty lines on Node is the other floor.
import { fork, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { TOKENS, startGateway } from '../scripts/gateway-process.mjs';
import { installFolder } from '../scripts/test-programs.mjs';
import { delay, difference, figure, median, paired, publish, ratio, row } from './measurements.mjs';

const ROUNDS = Number(process.env.KEYMUX_BENCH_ROUNDS ?? 15);
const CONNECTIONS = 32;
const LOAD_MS = 700;
const SINGLE_MS = 250;
const KEY = 'bench-key-of-the-provider';
const DIRECT = 'no gateway';
const START_WITHIN_MS = 20_000;

const here = (name) => fileURLToPath(new URL(name, import.meta.url));
const body = (stream) =>
  JSON.stringify({
    model: 'gpt-4o-mini',
    stream,
    messages: [{ role: 'user', content: 'Say sixty words. '.repeat(12) }],
  });
const JSON_TYPE = { 'content-type': 'application/json' };
const stops = [];

async function startFork(file, ...args) {
  const child = fork(here(file), args);
  const [message] = await once(child, 'message');
  stops.push(() => child.disconnect());
  return { child, message };
}

async function freePort() {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address();
  server.close();
  await once(server, 'close');
  return port;
}

async function listening(port) {
  for (const endsAt = performance.now() + START_WITHIN_MS; performance.now() < endsAt; await delay(50)) {
    const socket = connect(port, '127.0.0.1');
    const isUp = await new Promise((resolve) => {
      socket.once('connect', () => resolve(true)).once('error', () => resolve(false));
    });
    socket.destroy();
    if (isUp) return;
  }
  throw new Error(`nothing listens on port ${port}`);
}

async function startServer(command, args, env) {
  const child = spawn(command, args, { stdio: 'ignore', env: { ...process.env, ...env } });
  stops.push(() => child.kill());
  return child;
}

async function startKeymux(upstream) {
  const gateway = await startGateway({
    config: {
      store: { type: 'memory' },
      providers: { bench: { baseUrl: upstream, env: ['BENCH_API_KEY'] } },
    },
    env: { BENCH_API_KEY: KEY },
    execArgv:
      process.env.KEYMUX_BENCH_PROFILE === undefined
        ? []
        : ['--cpu-prof', `--cpu-prof-dir=${process.env.KEYMUX_BENCH_PROFILE}`],
  });
  stops.push(() => gateway.close());
  return {
    origin: gateway.origin,
    path: '/bench/v1/chat/completions',
    headers: { ...JSON_TYPE, authorization: `Bearer ${TOKENS.use}` },
  };
}

async function startPortkey(upstream) {
  installFolder('bench/peers', 'the gateways that the benchmark compares');
  const port = await freePort();
  const program = here('peers/node_modules/@portkey-ai/gateway/build/start-server.js');
  await startServer(process.execPath, [program, `--port=${port}`, '--headless'], {
    NODE_ENV: 'production',
    TRUSTED_CUSTOM_HOSTS: '127.0.0.1',
  });
  await listening(port);
  return {
    origin: `http://127.0.0.1:${port}`,
    path: '/v1/chat/completions',
    headers: {
      ...JSON_TYPE,
      authorization: `Bearer ${KEY}`,
      'x-portkey-provider': 'openai',
      'x-portkey-custom-host': `${upstream}/v1`,
    },
    // 1.15.2 on Node 20.20 answers each with a 500: it adds headers to an answer of fetch, which are immutable.
    hasStreams: false,
  };
}

async function startNginx(upstream) {
  if (spawnSync('nginx', ['-v']).status !== 0) {
    console.error('gateway: nginx is not installed and left out');
    return undefined;
  }
  const folder = mkdtempSync(join(tmpdir(), 'keymux-nginx-'));
  const port = await freePort();
  const temporary = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map(
    (name) => `${name}_temp_path ${folder}/${name};`,
  );
  writeFileSync(
    join(folder, 'nginx.conf'),
    `daemon off; worker_processes 1; pid ${folder}/pid; error_log stderr crit;
     events { worker_connections 1024; }
     http {
       access_log off; ${temporary.join(' ')}
       keepalive_requests 1000000;
       upstream provider { server ${new URL(upstream).host}; keepalive 256; keepalive_requests 1000000; }
       server {
         listen 127.0.0.1:${port};
         location / {
           proxy_pass http://provider; proxy_http_version 1.1; proxy_buffering off;
           proxy_set_header Connection ""; proxy_set_header Authorization "Bearer ${KEY}";
         }
       }
     }`,
  );
  await startServer('nginx', ['-p', folder, '-c', join(folder, 'nginx.conf')]);
  stops.push(() => rmSync(folder, { recursive: true, force: true }));
  await listening(port);
  return plainTarget(`http://127.0.0.1:${port}`);
}

function plainTarget(origin) {
  return {
    origin,
    path: '/v1/chat/completions',
    headers: { ...JSON_TYPE, authorization: `Bearer ${TOKENS.use}` },
  };
}

async function startTargets(upstream) {
  const bare = await startFork('gateway-servers.mjs', 'proxy', upstream, KEY);
  const targets = {
    [DIRECT]: plainTarget(upstream),
    nginx: await startNginx(upstream),
    'bare proxy on Node': plainTarget(`http://127.0.0.1:${bare.message}`),
    keymux: await startKeymux(upstream),
    '@portkey-ai/gateway': await startPortkey(upstream),
  };
  return Object.fromEntries(Object.entries(targets).filter(([, target]) => target !== undefined));
}

const KINDS = {
  many: { connections: CONNECTIONS, ms: LOAD_MS, body: body(false) },
  single: { connections: 1, ms: SINGLE_MS, body: body(false) },
  stream: { connections: 1, ms: SINGLE_MS, body: body(true) },
};

/** By target and kind, one result of each round. */
async function run(targets, order) {
  const names = Object.keys(targets);
  const results = Object.fromEntries(
    names.map((name) => [name, Object.fromEntries(Object.keys(KINDS).map((kind) => [kind, []]))]),
  );
  for (let round = -1; round < ROUNDS; round += 1) {
    for (let turn = 0; turn < names.length; turn += 1) {
      const name = names[(turn + round + 1) % names.length];
      const { hasStreams = true, ...target } = targets[name];
      for (const [kind, load] of Object.entries(KINDS)) {
        if (kind === 'stream' && !hasStreams) continue;
        const result = await order({ ...target, ...load });
        if (result.error !== undefined) throw new Error(`${name}: ${result.error}`);
        if (round >= 0) results[name][kind].push(result); // the first round warms up
      }
    }
  }
  return results;
}

function report(results) {
  const names = Object.keys(results);
  const others = names.filter((name) => name !== DIRECT);
  const values = (name, kind, what) => results[name][kind].map((result) => result[what]);
  const table = (listed, unit, kind, what, floor) =>
    listed.map((name) => row(name, unit, values(name, kind, what), floor && values(floor, kind, what)));
  const added = (name, kind, what) =>
    paired(values(name, kind, what), values(DIRECT, kind, what), difference).map((ms) => ms * 1_000);
  const addedRows = (kind, what) =>
    others
      .filter((name) => results[name][kind].length > 0)
      .map((name) => row(name, 'µs', added(name, kind, what)));
  const times = (name, other, what) =>
    median(paired(values(name, 'many', what), values(other, 'many', what), ratio));
  const groups = {
    [`requests per second, ${CONNECTIONS} connections`]: table(names, '/s', 'many', 'perSecond', 'keymux'),
    [`p50, ${CONNECTIONS} connections`]: table(names, 'ms', 'many', 'p50Ms', 'keymux'),
    [`p99, ${CONNECTIONS} connections`]: table(names, 'ms', 'many', 'p99Ms', 'keymux'),
    'added to one request, p50, 1 connection': addedRows('single', 'p50Ms'),
    'added to the first byte of a stream, p50, 1 connection': addedRows('stream', 'firstByteP50Ms'),
    'added to a whole stream of 20 events, p50, 1 connection': addedRows('stream', 'p50Ms'),
  };
  const figures = [
    figure(
      '@portkey-ai/gateway: requests/s next to keymux',
      times('@portkey-ai/gateway', 'keymux', 'perSecond'),
      1,
      'x',
    ),
    figure(
      'keymux: p99 next to @portkey-ai/gateway',
      times('keymux', '@portkey-ai/gateway', 'p99Ms'),
      1,
      'x',
    ),
  ];
  if (results.nginx !== undefined)
    figures.push(figure('nginx: requests/s next to keymux', times('nginx', 'keymux', 'perSecond'), 2, 'x'));
  publish('gateway', groups, figures);
}

const provider = await startFork('gateway-servers.mjs', 'provider');
const load = await startFork('gateway-load.mjs');
try {
  const targets = await startTargets(`http://127.0.0.1:${provider.message}`);
  const results = await run(targets, async (order) => {
    load.child.send(order);
    const [result] = await once(load.child, 'message');
    return result;
  });
  report(results);
} finally {
  for (const stop of stops.reverse()) await stop();
}
