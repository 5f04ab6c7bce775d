// What keymux adds to a request that is answered at the first attempt. Each variant is a process of its own, as it is
// for users (patching and unpatching within one process would measure the compiler); they take turns on one provider,
// which is a further process.
import { fork } from 'node:child_process';
import { once } from 'node:events';
import http from 'node:http';
import { fileURLToPath } from 'node:url';
import { createKeyManager } from '../dist/index.js';
import { installHttp } from '../dist/interceptors/http.js';
import { installUndici } from '../dist/interceptors/undici.js';
import { catalogue } from '../dist/providers/catalogue.js';
import { difference, elapsedMs, figure, median, paired, publish, row } from './measurements.mjs';

const ROUNDS = 120;
const WARM_UP = 25;
const REQUESTS = 60;
const MAX_ADDED_US = 20;
const FIRST = 'bench-key-first';
const SECOND = 'bench-key-second';

/** The rules of the catalogue that look into good answers, all together; no provider has as many. */
const SOFT_ERRORS = [...catalogue.values()].flatMap(({ errors }) =>
  errors.filter(({ status, sse }) => sse === undefined && [status ?? 200].flat().includes(200)),
);

const VARIANTS = {
  'without keymux': { key: FIRST },
  'another host': { key: FIRST, managed: 'http://127.0.0.1:9' },
  'the key of the moment already': { key: FIRST, managed: 'here' },
  'the key replaced': { key: SECOND, managed: 'here' },
  'the key replaced, each answer searched for errors': { key: SECOND, managed: 'here', errors: SOFT_ERRORS },
};

const agent = new http.Agent({ keepAlive: true, maxSockets: 1 });

const CLIENTS = {
  fetch: async (url, headers) => {
    await (await fetch(url, { headers })).text();
  },
  'node:http': async (url, headers) => {
    const request = http.get(url, { headers, agent });
    const [response] = await once(request, 'response');
    response.resume();
    await once(response, 'end');
  },
};

function serve() {
  const server = http.createServer((_request, response) => response.end('{"price":7}'));
  server.listen(0, '127.0.0.1', () => process.send(server.address().port));
}

async function answerRounds(origin, { key, managed, errors = [] }) {
  await fetch('data:,'); // loads the built-in undici
  if (managed !== undefined) {
    const manager = createKeyManager({
      env: { BENCH_API_KEYS: `${FIRST},${SECOND}` },
      cwd: '/',
      config: {
        store: { type: 'memory' },
        providers: {
          bench: { baseUrl: managed === 'here' ? origin : managed, env: ['BENCH_API_KEY'], errors },
        },
      },
    });
    await manager.ready;
    installHttp(manager);
    installUndici(manager);
  }
  const headers = { authorization: `Bearer ${key}` };
  process.on('message', async (client) => {
    const startedAt = process.hrtime.bigint();
    for (let n = 0; n < REQUESTS; n += 1) await CLIENTS[client](origin, headers);
    process.send((elapsedMs(startedAt) * 1_000) / REQUESTS);
  });
  process.send('ready');
}

async function start(...args) {
  const child = fork(fileURLToPath(import.meta.url), args);
  const [message] = await once(child, 'message');
  child.on('error', () => {});
  return { child, message };
}

async function measure() {
  const provider = await start('serve');
  const names = Object.keys(VARIANTS);
  const members = {};
  for (const name of names) {
    members[name] = (await start('client', `http://127.0.0.1:${provider.message}`, name)).child;
  }
  const groups = {};
  const figures = [];
  for (const client of Object.keys(CLIENTS)) {
    const samples = Object.fromEntries(names.map((name) => [name, []]));
    for (let round = -WARM_UP; round < ROUNDS; round += 1) {
      for (let turn = 0; turn < names.length; turn += 1) {
        const name = names[(turn + round + WARM_UP) % names.length];
        members[name].send(client);
        const [us] = await once(members[name], 'message');
        if (round >= 0) samples[name].push(us);
      }
    }
    const bare = samples[names[0]];
    const added = (name) => paired(samples[name], bare, difference);
    groups[`${client}, one request`] = names.map((name) => row(name, 'µs', samples[name], bare));
    groups[`${client}, added to one request`] = names.slice(1).map((name) => row(name, 'µs', added(name)));
    for (const name of names.slice(3)) {
      figures.push(figure(`${client}: added, ${name}`, median(added(name)), MAX_ADDED_US, 'µs'));
    }
  }
  for (const child of [provider.child, ...Object.values(members)]) child.disconnect();
  publish('interception', groups, figures);
}

process.once('disconnect', () => process.exit());
if (process.argv[2] === 'serve') serve();
else if (process.argv[2] === 'client') await answerRounds(process.argv[3], VARIANTS[process.argv[4]]);
else await measure();
