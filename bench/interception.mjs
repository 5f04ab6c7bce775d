// What keymux adds to a request that is answered at the first attempt: the same client on the same kept connection,
// with and without keymux in turns. The provider is a server in a process of its own.
import { fork } from 'node:child_process';
import { once } from 'node:events';
import http from 'node:http';
import { fileURLToPath } from 'node:url';
import { createKeyManager } from '../dist/index.js';
import { installHttp } from '../dist/interceptors/http.js';
import { installUndici } from '../dist/interceptors/undici.js';
import { difference, elapsedMs, figure, median, paired, publish, row } from './measurements.mjs';

const ROUNDS = 150;
const WARM_UP = 15;
const REQUESTS = 40;
const MAX_ADDED_US = 20;
const FIRST = 'bench-key-first';
const SECOND = 'bench-key-second';

const agent = new http.Agent({ keepAlive: true, maxSockets: 1 });

function serve() {
  const server = http.createServer((_request, response) => response.end('{"price":7}'));
  server.listen(0, '127.0.0.1', () => process.send(server.address().port));
  process.once('disconnect', () => process.exit());
}

async function viaFetch(url, headers) {
  await (await fetch(url, { headers })).text();
}

async function viaNode(url, headers) {
  const request = http.get(url, { headers, agent });
  const [response] = await once(request, 'response');
  response.resume();
  await once(response, 'end');
}

function managerFor(origin) {
  return createKeyManager({
    env: { BENCH_API_KEYS: `${FIRST},${SECOND}` },
    cwd: '/',
    config: { store: { type: 'memory' }, providers: { bench: { baseUrl: origin, env: ['BENCH_API_KEY'] } } },
  });
}

const nothing = () => () => {};

function install(manager) {
  const undos = [installHttp(manager), installUndici(manager)];
  return () => undos.reverse().forEach((undo) => undo());
}

async function microsecondsPerRequest(send, url, { patch, key }) {
  const headers = { authorization: `Bearer ${key}` };
  const undo = patch();
  const startedAt = process.hrtime.bigint();
  for (let n = 0; n < REQUESTS; n += 1) await send(url, headers);
  const us = (elapsedMs(startedAt) * 1_000) / REQUESTS;
  undo();
  return us;
}

async function measure() {
  const provider = fork(fileURLToPath(import.meta.url), ['serve']);
  const [port] = await once(provider, 'message');
  const origin = `http://127.0.0.1:${port}`;
  const managers = { here: managerFor(origin), elsewhere: managerFor('http://127.0.0.1:9') };
  await Promise.all(Object.values(managers).map(({ ready }) => ready));
  await fetch('data:,'); // the built-in undici is loaded before the first round
  const variants = {
    'without keymux': { patch: nothing, key: FIRST },
    'another host': { patch: () => install(managers.elsewhere), key: FIRST },
    'the key of the moment already': { patch: () => install(managers.here), key: FIRST },
    'the key replaced': { patch: () => install(managers.here), key: SECOND },
  };
  const names = Object.keys(variants);
  const groups = {};
  const figures = [];
  for (const [client, send] of Object.entries({ fetch: viaFetch, 'node:http': viaNode })) {
    const samples = Object.fromEntries(names.map((name) => [name, []]));
    for (let round = -WARM_UP; round < ROUNDS; round += 1) {
      for (let turn = 0; turn < names.length; turn += 1) {
        const name = names[(turn + round + WARM_UP) % names.length];
        const us = await microsecondsPerRequest(send, origin, variants[name]);
        if (round >= 0) samples[name].push(us);
      }
    }
    const bare = samples[names[0]];
    const added = (name) => paired(samples[name], bare, difference);
    groups[`${client}, one request`] = names.map((name) => row(name, 'µs', samples[name], bare));
    groups[`${client}, added to one request`] = names.slice(1).map((name) => row(name, 'µs', added(name)));
    const measured = median(added('the key replaced'));
    figures.push(figure(`${client}: added where the key is replaced`, measured, MAX_ADDED_US, 'µs'));
  }
  await Promise.all(Object.values(managers).map((manager) => manager.shutdown()));
  agent.destroy();
  provider.disconnect();
  publish('interception', groups, figures);
}

if (process.argv[2] === 'serve') serve();
else await measure();
