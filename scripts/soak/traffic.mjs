// One process of the soak: an application with every client in it. Tells its parent what it looks like at each plateau.
import diagnostics from 'node:diagnostics_channel';
import { existsSync, readdirSync } from 'node:fs';
import http from 'node:http';
import https from 'node:https';
import { setImmediate as nextTurn, setTimeout as sleep } from 'node:timers/promises';
import { getApiManager } from '#keymux/index.js';
import { targetOf, tellReplied } from '../../test/clients/application.mjs';
import { exceptionFor } from '../../test/clients/exceptions.mjs';
import { rows } from '../../test/clients/rows.mjs';
import { stops } from '../../test/clients/stops.mjs';

/** Requests under way at once. */
const WIDTH = 32;
/** Rounds over all clients between two plateaus. */
const ROUNDS = 2;
/** Plateaus until every client is loaded, every pool is filled and the code is compiled. */
const WARM_UP = 3;
/** Fewer of them tell nothing, however short the run is to be. */
const FEWEST_PLATEAUS = 6;
/** Longer than any time limit of keymux or of the clients. */
const PATIENCE_MS = 45_000;
const ABORT_AFTER_MS = [0, 1, 5, 20];

const isAble = ({ name }) => exceptionFor(name) === undefined;

const { SOAK_REQUESTS, SOAK_MS } = process.env;
const endsAt = performance.now() + Number(SOAK_MS);
const scheme = targetOf('bearer').origin.split(':')[0];
const manager = getApiManager();
const warnings = new Set();
const lost = {};
let requests = 0;

process.on('warning', ({ name, message }) => name === 'MaxListenersExceededWarning' && warnings.add(message));
process.on('message', ({ reply }) => tellReplied(reply));

function forget() {
  for (const { id } of manager.inspect().keys) manager.reset(id);
}

/** Each of these is one request of the application; those that are to succeed have a name. */
function round(number) {
  const answered = rows
    .filter(isAble)
    .filter(({ schemes }) => schemes.includes(scheme))
    .map(({ name, site, call, once }) => ({
      label: name,
      name: once ? undefined : name,
      send: () => call(targetOf(site)),
    }));
  const aborted = stops
    .filter(isAble)
    .filter(({ aborts }) => aborts)
    .map(({ name: label, site = 'bearer', call }, index) => ({
      label,
      send: () => {
        const controller = new AbortController();
        const timer = setTimeout(
          () => controller.abort(),
          ABORT_AFTER_MS[(index + number) % ABORT_AFTER_MS.length],
        );
        return call({ ...targetOf(site), signal: controller.signal }).finally(() => clearTimeout(timer));
      },
    }));
  const expiring = stops
    .filter(isAble)
    .filter(({ aborts }) => !aborts)
    .map(({ name: label, site = 'bearer', call }) => ({ label, send: () => call(targetOf(site)) }));
  return [...broken(), ...answered, ...aborted, ...(number % 8 === 0 ? expiring : [])];
}

const PLAIN = [
  'fetch, an address',
  'http.get',
  'undici 7, request',
  'axios, http adapter',
  'got 14',
  'node-fetch 2',
];

/**
 * The connection breaks before or amid the answer, or a redirect leads nowhere; from a provider of their own, as its
 * circuit opens. node-fetch 2 never settles when a body breaks off, with keymux or without.
 */
function broken() {
  const plain = rows.filter(({ name }) => PLAIN.includes(name));
  const nowhere = Buffer.from('http://127.0.0.1:1/').toString('base64url');
  return ['/reset/early', '/reset/late', `/go/302/${nowhere}`].flatMap((path) =>
    plain
      .filter(({ name }) => !(name === 'node-fetch 2' && path === '/reset/late'))
      .map(({ name, call }) => ({
        label: `${name}, ${path}`,
        send: () => {
          const target = targetOf('unstable');
          return call({ ...target, origin: `${target.origin}${path}` });
        },
      })),
  );
}

/** A request that is neither answered nor refused is as good as lost; the others must not wait for it. */
function inTime(request, label) {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => {
      lost[label] = `neither an answer nor an error in ${PATIENCE_MS / 1_000} s`;
      reject(new Error(label));
    }, PATIENCE_MS);
    request.then(resolve, reject).finally(() => clearTimeout(timer));
  });
}

async function send({ name, label = name, send: go }) {
  requests += 1;
  try {
    const answer = await inTime(go(), label);
    if (name !== undefined && /"(error|rejected)"/.test(String(answer)))
      lost[name] = String(answer).slice(0, 200);
  } catch (error) {
    if (name !== undefined) lost[name] = String(error);
  }
}

async function runRound(number) {
  const tasks = round(number);
  let next = 0;
  const worker = async () => {
    while (next < tasks.length) await send(tasks[next++]);
  };
  await Promise.all(Array.from({ length: WIDTH }, worker));
}

const inFlight = () => manager.inspect().keys.reduce((sum, key) => sum + key.inFlight, 0);

/** Waits for what goes on behind the application's back: drained answers, closing sockets. */
async function settle() {
  for (let turn = 0; turn < 40 && inFlight() > 0; turn += 1) await sleep(50);
  await sleep(100);
  for (let time = 0; time < 4; time += 1) {
    globalThis.gc();
    await nextTurn();
  }
}

/** Linux only. */
const FILES = '/proc/self/fd';

const CHANNELS = [
  ...['create', 'bodySent', 'headers', 'trailers', 'error'].map((name) => `undici:request:${name}`),
  ...['sendHeaders', 'beforeConnect', 'connected', 'connectError'].map((name) => `undici:client:${name}`),
  ...['created', 'start', 'error'].map((name) => `http.client.request.${name}`),
  'http.client.response.finish',
  'net.client.socket',
];

function sample() {
  const { heapUsed, external, arrayBuffers } = process.memoryUsage();
  const resources = process.getActiveResourcesInfo();
  const count = (pattern) => resources.filter((name) => pattern.test(name)).length;
  const listenersOf = (emitter) =>
    emitter.eventNames().reduce((sum, name) => sum + emitter.listenerCount(name), 0);
  return {
    requests,
    heapBytes: heapUsed,
    bufferBytes: external + arrayBuffers,
    // Idle connections are in no list of Node, but each is a file.
    files: existsSync(FILES) ? readdirSync(FILES).length : 0,
    sockets: count(/TCPSocketWrap|TLSWrap|TCPWRAP/),
    timers: count(/Timeout|Immediate/),
    processListeners: listenersOf(process),
    agentListeners: [http.globalAgent, https.globalAgent].reduce((sum, agent) => sum + listenersOf(agent), 0),
    subscribers: CHANNELS.reduce(
      (sum, name) => sum + (diagnostics.channel(name)._subscribers?.length ?? 0),
      0,
    ),
    keys: manager.inspect().keys.length,
    inFlight: inFlight(),
    warnings: [...warnings],
    lost,
  };
}

for (let plateau = 0; ; plateau += 1) {
  for (let time = 0; time < ROUNDS; time += 1) {
    forget();
    await runRound(plateau * ROUNDS + time);
  }
  await settle();
  if (plateau >= WARM_UP) process.send({ sample: sample() });
  const isOver =
    performance.now() >= endsAt || (Number(SOAK_REQUESTS) > 0 && requests >= Number(SOAK_REQUESTS));
  if (isOver && plateau >= WARM_UP + FEWEST_PLATEAUS - 1) break;
}
process.disconnect();
process.exit();
