// A program with `mode: virtual` that prints all it can reach by ordinary means. It knows no real key.
import { execFileSync } from 'node:child_process';
import diagnostics from 'node:diagnostics_channel';
import { once } from 'node:events';
import http from 'node:http';
import { createRequire } from 'node:module';
import { inspect } from 'node:util';
import { BroadcastChannel, Worker, getEnvironmentData } from 'node:worker_threads';
import { getApiManager } from 'keymux';

const url = process.env.ACME_URL;
const deadUrl = process.env.DEAD_URL;
const key = process.env.ACME_API_KEY;
const headers = { 'x-api-key': key };

/** Everything of a value that a logger could print, now. */
function show(what, value) {
  const views = [
    () =>
      inspect(value, {
        depth: 8,
        showHidden: true,
        showProxy: true,
        maxArrayLength: null,
        maxStringLength: null,
      }),
    () => inspect(value, { depth: 8, customInspect: false, getters: true }),
    () => JSON.stringify(value, breakCycles()),
    () => String(value?.stack),
  ];
  for (const view of views) {
    try {
      console.log(what, view());
    } catch (error) {
      console.log(what, 'cannot be shown:', error.message);
    }
  }
}

function breakCycles() {
  const seen = new WeakSet();
  return (_name, value) => {
    if (typeof value === 'bigint') return String(value);
    if (typeof value !== 'object' || value === null) return value;
    if (seen.has(value)) return '[again]';
    seen.add(value);
    return value;
  };
}

class Sdk {
  constructor(apiKey) {
    this.apiKey = apiKey;
    this.defaults = { headers: { 'x-api-key': apiKey } };
  }
  async ask(target) {
    const request = new Request(`${target}/quote`, this.defaults);
    show('Request', request);
    const response = await fetch(request);
    show('Response', response);
    return response.json();
  }
}

for (const channel of [
  'http.client.request.start',
  'http.client.request.created',
  'http.client.response.finish',
  'http.client.request.error',
  'net.client.socket',
])
  diagnostics.subscribe(channel, (message) => show(channel, message));
const told = new BroadcastChannel('keymux:configuration');
told.onmessage = ({ data }) => show('BroadcastChannel', data);
told.unref();

const manager = getApiManager();
for (const name of ['failover', 'cooldown', 'rejected', 'recovered', 'reloaded', 'quota'])
  manager.on(name, (event) => show(name, event));

// --- fetch ---------------------------------------------------------------------------------------------------

const sdk = new Sdk(key);
console.log('answer of fetch:', (await sdk.ask(url)).key);
show('Sdk', sdk);
for (const target of [process.env.OTHER_URL, deadUrl]) {
  const error = await fetch(`${target}/quote`, {
    headers: target === deadUrl ? { authorization: `Bearer ${process.env.DEAD_API_KEY}` } : headers,
  }).then(
    () => console.log('NOT refused'),
    (caught) => caught,
  );
  console.log('failed:', error?.cause?.code);
  show('error of fetch', error);
}

// --- node:http -----------------------------------------------------------------------------------------------

async function ask(target, options) {
  const request = http.request(`${target}/quote`, options);
  for (const event of ['socket', 'finish', 'response', 'error', 'close'])
    request.on(event, () => show(`request at ${event}`, request));
  request.end();
  show('request after end', request);
  show('its head', [
    request._header,
    request.path,
    request.getHeaders(),
    request.getRawHeaderNames(),
    request.outputData,
  ]);
  const response = await once(request, 'response').then(
    ([answer]) => answer,
    (error) => {
      show('error of node:http', error);
      return { error };
    },
  );
  if (response.error) return response.error.code;
  show('response', response);
  show('its request', response.req);
  const chunks = await response.toArray();
  return JSON.parse(Buffer.concat(chunks)).key;
}
console.log('answer of node:http:', await ask(url, { headers }));
console.log(
  'answer of node:http with an agent:',
  await ask(url, { headers, agent: new http.Agent({ keepAlive: true }) }),
);
console.log('failed:', await ask(process.env.OTHER_URL, { headers }));
console.log(
  'failed:',
  await ask(deadUrl, { headers: { authorization: `Bearer ${process.env.DEAD_API_KEY}` } }),
);

// --- an undici from npm --------------------------------------------------------------------------------------

const undici = createRequire(process.env.UNDICI_FROM)('undici');
const result = await undici.request(`${url}/quote`, { headers });
show('result of undici', result);
console.log('answer of undici:', (await result.body.json()).key);
show('agent of undici', undici.getGlobalDispatcher());

// --- the process -----------------------------------------------------------------------------------------------

show('env', { ...process.env });
show('proxy', process.env);
show('clone', structuredClone({ ...process.env }));
show('report', process.report.getReport());
console.log(execFileSync('printenv', { encoding: 'utf8' }));
console.log(execFileSync('printenv', { encoding: 'utf8', env: { ...process.env } }));
show('environment data', getEnvironmentData('keymux'));
show('manager', manager);
show('inspect', manager.inspect());
show('explain', manager.explain('acme'));
show('global', Object.getOwnPropertyDescriptors(globalThis));
show(
  'globals by symbol',
  Object.getOwnPropertySymbols(globalThis).map((symbol) => globalThis[symbol]),
);
manager.reload();

const WORKER = `
  const { inspect } = require('node:util');
  const { parentPort, getEnvironmentData, workerData } = require('node:worker_threads');
  const data = inspect([process.env, { ...process.env }, getEnvironmentData('keymux'), workerData], { depth: 8, showHidden: true });
  fetch(process.env.ACME_URL + '/quote', { headers: { 'x-api-key': process.env.ACME_API_KEY } })
    .then((response) => response.json())
    .then(({ key }) => parentPort.postMessage({ data, key }));`;
for (const options of [
  {},
  { env: process.env },
  { execArgv: [], env: { ...process.env, NODE_OPTIONS: '' } },
]) {
  const worker = new Worker(WORKER, { eval: true, ...options });
  const [{ data, key: served }] = await once(worker, 'message');
  console.log('answer in a worker:', served, data);
  await worker.terminate();
}
console.log('done');
