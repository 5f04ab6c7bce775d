// A request that meets a rate-limited key and is answered with the next one, next to the same request to a key that
// works: what the failover costs its caller. The provider is a server in a process of its own.
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { createServer, get } from 'node:http';
import { fileURLToPath } from 'node:url';
import { elapsedMs, publish, row } from './measurements.mjs';

const TRIALS = 400;
const WARM_UP = 60;
const REFUSED = 'bench-key-refused';
const GOOD = 'bench-key-good';
const FIRST = 'bench/main';

function serve() {
  const server = createServer((request, response) => {
    const isRefused = request.headers.authorization === `Bearer ${REFUSED}`;
    response.writeHead(
      isRefused ? 429 : 200,
      isRefused ? { 'retry-after': '600' } : { 'content-type': 'application/json' },
    );
    response.end(isRefused ? '{"error":"rate limited"}' : '{"price":7}');
  });
  server.listen(0, '127.0.0.1', () => process.send(server.address().port));
  process.once('disconnect', () => process.exit());
}

async function fetchOnce(url) {
  const response = await fetch(url, { headers: { authorization: `Bearer ${REFUSED}` } });
  await response.text();
  return response.status;
}

async function getOnce(url) {
  const [response] = await once(get(url, { headers: { authorization: `Bearer ${REFUSED}` } }), 'response');
  response.resume();
  await once(response, 'end');
  return response.statusCode;
}

async function measure() {
  const provider = fork(fileURLToPath(import.meta.url), ['serve']);
  const [port] = await once(provider, 'message');
  const { MinimalMultiKeyManager } = await import('../dist/index.js');
  const manager = MinimalMultiKeyManager.instance({
    env: { BENCH_API_KEY: REFUSED, BENCH_API_KEY_2: GOOD },
    config: {
      store: { type: 'memory' },
      providers: { bench: { baseUrl: `http://127.0.0.1:${port}`, env: ['BENCH_API_KEY'] } },
    },
  });
  await manager.ready;
  let failovers = 0;
  manager.on('failover', () => (failovers += 1));

  async function timed(send) {
    const startedAt = process.hrtime.bigint();
    const status = await send(`http://127.0.0.1:${port}/quote`);
    const ms = elapsedMs(startedAt);
    if (status !== 200) throw new Error(`the application was answered with ${status}`);
    return ms;
  }

  const groups = {};
  for (const [client, send] of Object.entries({ fetch: fetchOnce, 'node:http': getOnce })) {
    const samples = { plain: [], failover: [] };
    const failoversBefore = failovers;
    for (let trial = -WARM_UP; trial < TRIALS; trial += 1) {
      manager.reset(FIRST);
      const failover = await timed(send);
      const plain = await timed(send); // the first key rests now
      if (trial < 0) continue;
      samples.failover.push(failover);
      samples.plain.push(plain);
    }
    if (failovers - failoversBefore !== TRIALS + WARM_UP) throw new Error(`${failovers} failovers`);
    groups[`${client}, both through keymux`] = [
      row('answered by the first key tried', 'ms', samples.plain),
      row('refused with 429, answered by the next', 'ms', samples.failover, samples.plain),
    ];
  }
  await manager.shutdown();
  provider.disconnect();
  publish('failover', groups);
}

if (process.argv[2] === 'serve') serve();
else await measure();
