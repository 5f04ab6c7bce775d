// A program with `mode: virtual` that asks with every client it has, and prints all that it can reach. It knows no key.
import { execFileSync } from 'node:child_process';
import cluster from 'node:cluster';
import { once } from 'node:events';
import http from 'node:http';
import http2 from 'node:http2';
import { createRequire } from 'node:module';
import { inspect } from 'node:util';
import { Worker } from 'node:worker_threads';

const url = process.env.ACME_URL;
const otherUrl = process.env.OTHER_URL;
const headers = { 'x-api-key': process.env.ACME_API_KEY };
const from = createRequire(process.env.CLIENTS_FROM);

/** Everything of a value, and of an error with all that it hangs on. */
function show(what, value) {
  const options = { depth: 6, showHidden: true, maxArrayLength: 500, maxStringLength: null };
  console.log(what, inspect(value, options), inspect(value, { ...options, customInspect: false }));
  if (value instanceof Error)
    console.log(what, value.stack, inspect(value.cause, options), JSON.stringify(value));
}

const CLIENTS = {
  fetch: (target) => fetch(target, { headers }).then((answer) => (show('Response', answer), answer.json())),
  Request: async (target) => (await fetch(new Request(target, { headers }))).json(),
  'node:http': async (target) => {
    const request = http.get(target, { headers });
    const [answer] = await once(request, 'response');
    show('ClientRequest', request);
    return JSON.parse(Buffer.concat(await answer.toArray()));
  },
  http2: async (target) => {
    const session = http2.connect(target);
    session.on('error', () => {});
    try {
      const stream = session.request({ ':path': '/v1/x', ...headers });
      show('Http2Stream', stream);
      stream.end();
      return JSON.parse(Buffer.concat(await stream.toArray()));
    } finally {
      session.destroy();
    }
  },
  undici: async (target) => {
    const answer = await from('undici').request(target, { headers });
    show('undici', answer);
    return answer.body.json();
  },
  axios: async (target) => {
    const answer = await from('axios').get(target, { headers });
    show('AxiosResponse', answer);
    return answer.data;
  },
  got: async (target) =>
    (await import(from.resolve('got'))).default(target, { headers, retry: { limit: 0 } }).json(),
  'node-fetch': async (target) =>
    (await (await import(from.resolve('node-fetch'))).default(target, { headers })).json(),
  superagent: async (target) => (await from('superagent').get(target).set(headers)).body,
};

async function askWithAll(where) {
  for (const [name, ask] of Object.entries(CLIENTS)) {
    for (const target of [url, otherUrl]) {
      try {
        const { key } = await ask(`${target}/v1/x`);
        console.log(where, name, target === url ? 'answered' : 'REFUSED NOTHING', key);
      } catch (error) {
        show(`${where} ${name} failed`, error);
      }
    }
  }
}

if (cluster.isWorker) {
  await askWithAll('member of a cluster:');
  process.exit();
}
await askWithAll('main:');
const WORKER = `const { parentPort } = require('node:worker_threads');
  fetch(process.env.ACME_URL + '/v1/x', { headers: { 'x-api-key': process.env.ACME_API_KEY } })
    .then(async (answer) => parentPort.postMessage(require('node:util').inspect([answer, process.env, await answer.text()])));`;
const worker = new Worker(WORKER, { eval: true });
console.log('worker:', await once(worker, 'message'));
cluster.setupPrimary({ exec: new URL(import.meta.url).pathname });
const member = cluster.fork();
console.log('cluster ended with', await once(member, 'exit'));
console.log(execFileSync(process.execPath, ['-p', 'JSON.stringify(process.env)'], { encoding: 'utf8' }));
console.log(
  execFileSync('cat', ['/proc/self/environ', `/proc/${process.pid}/environ`], { encoding: 'utf8' }),
);
console.log(JSON.stringify(process.report.getReport()));
process.report.writeReport('report.json');
console.log('done');
