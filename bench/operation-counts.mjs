// What one operation runs, as V8 counts it: calls of keymux's functions, and of their blocks whose count is their own.
// No clock is read, so that a busy machine counts the same; `test/package/operation-counts.test.ts` compares with
// operation-counts.json, which `--write` renews. Without an argument: a table.
import { createServer, get } from 'node:http';
import { once } from 'node:events';
import { readFileSync, writeFileSync } from 'node:fs';
import { Session } from 'node:inspector/promises';
import { setFlagsFromString } from 'node:v8';
import { createGateway } from '../dist/gateway.js';
import { createKeyManager } from '../dist/index.js';
import { installEnv } from '../dist/interceptors/env.js';
import { installHttp } from '../dist/interceptors/http.js';
import { installUndici } from '../dist/interceptors/undici.js';

const KEYS = 8;
const TIMES = 50;
const ROUNDS = 3;
const OURS = new URL('../dist/', import.meta.url).href;
const KEPT = new URL('./operation-counts.json', import.meta.url);
const SUCCESS = { kind: 'success', scope: 'request', executed: 'yes' };
const TOKEN = `kmx_use_${'b'.repeat(32)}`;

// Code that V8 has put into its caller is not counted in full.
setFlagsFromString('--no-opt');

const keys = Array.from({ length: KEYS }, (_, index) => `bench-key-${index}`);
const provider = createServer((_request, response) => response.end('{"price":7}')).listen(0, '127.0.0.1');
await once(provider, 'listening');
const origin = `http://127.0.0.1:${provider.address().port}`;

const definition = (names, more = {}) => ({
  baseUrl: origin,
  auth: { in: 'header', name: 'x-api-key' },
  env: names,
  limits: [{ requests: 1_000_000, per: 'day' }],
  ...more,
});
const manager = createKeyManager({
  env: { BENCH_API_KEYS: keys.join(','), TURNS_API_KEYS: keys.map((key) => `${key}-turn`).join(',') },
  cwd: '/',
  config: {
    store: { type: 'memory' },
    providers: {
      bench: definition(['BENCH_API_KEY']),
      turns: definition(['TURNS_API_KEY'], { baseUrl: 'http://127.0.0.1:9', strategy: 'round-robin' }),
    },
  },
});
await manager.ready;
const [first] = manager.inspect().keys;
await manager.disable(first.id);
const gateway = createGateway({ manager, tokens: [TOKEN], port: 0 });
const { origin: gatewayOrigin } = await gateway.listen();
const undo = [installEnv(manager), installHttp(manager), installUndici(manager)];
const headers = { 'x-api-key': keys[0] };
let sink = 0;

const operations = {
  'getApiKey, priority': () => (sink += manager.getApiKey('bench').length),
  'getApiKey, round-robin': () => (sink += manager.getApiKey('turns').length),
  'process.env, another name': () => (sink += process.env.PATH.length),
  'acquire, report and end': async () => {
    const lease = await manager.acquire('bench');
    lease.report(SUCCESS);
    lease.end();
  },
  'fetch, key replaced': async () => {
    await (await fetch(origin, { headers })).text();
  },
  'node:http, key replaced': async () => {
    const [response] = await once(get(origin, { headers }), 'response');
    response.resume();
    await once(response, 'end');
  },
  'manager.fetch': async () => {
    await (await manager.fetch('bench', '/')).text();
  },
  'a request through the gateway': async () => {
    const asked = get(`${gatewayOrigin}/bench/`, { headers: { authorization: `Bearer ${TOKEN}` } });
    const [response] = await once(asked, 'response');
    response.resume();
    await once(response, 'end');
    if (response.statusCode !== 200) throw new Error(`the gateway answered ${response.statusCode}`);
  },
};

const session = new Session();
session.connect();
await session.post('Profiler.enable');
await session.post('Profiler.startPreciseCoverage', { callCount: true, detailed: true });

/** Since it was asked last. */
async function counted() {
  const { result } = await session.post('Profiler.takePreciseCoverage');
  let sum = 0;
  for (const { url, functions } of result) {
    if (url.startsWith(OURS))
      for (const { ranges } of functions) for (const { count } of ranges) sum += count;
  }
  return sum;
}

const counts = {};
for (const [name, operation] of Object.entries(operations)) {
  for (let time = 0; time < TIMES; time += 1) await operation();
  let least = Number.POSITIVE_INFINITY;
  // What timers run in between counts too; in the least of the rounds there is least of it.
  for (let round = 0; round < ROUNDS; round += 1) {
    await counted();
    for (let time = 0; time < TIMES; time += 1) await operation();
    least = Math.min(least, (await counted()) / TIMES);
  }
  counts[name] = Number(least.toPrecision(4));
}
session.disconnect();
for (const step of undo) step();
await gateway.close();
await manager.shutdown();
provider.closeAllConnections();
provider.close();
if (sink === 0) throw new Error('nothing was read');

if (process.argv.includes('--json')) console.log(JSON.stringify(counts));
else if (process.argv.includes('--write')) writeFileSync(KEPT, `${JSON.stringify(counts, null, 2)}\n`);
else {
  const kept = JSON.parse(readFileSync(KEPT, 'utf8'));
  for (const [name, count] of Object.entries(counts))
    console.log(`${name.padEnd(32)}${String(count).padStart(10)}${String(kept[name] ?? 'new').padStart(10)}`);
}
