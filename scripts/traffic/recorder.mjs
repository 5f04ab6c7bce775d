// Records how a program uses its keys, for as long as it runs. Loaded behind keymux:
//   KEYMUX_RECORDING=traffic.jsonl node --import keymux/register --import ./scripts/traffic/recorder.mjs program.js
// Each line says what happened within five minutes (`KEYMUX_RECORDING_EVERY_MS`), and holds ids and counts alone:
//   {"slot":5956800,"program":"chat","attempt":{"llm/main success":7},"request":{"llm answered":7},"access":{"llm/main request":7}}
// `slot`: so many times as long since 1970, or since `KEYMUX_RECORDING_FROM` (epoch milliseconds).
import { subscribe } from 'node:diagnostics_channel';
import { appendFileSync } from 'node:fs';
import { basename } from 'node:path';

const path = process.env.KEYMUX_RECORDING;
const everyMs = Number(process.env.KEYMUX_RECORDING_EVERY_MS ?? 300_000);
const from = Number(process.env.KEYMUX_RECORDING_FROM ?? 0);
const program =
  process.env.KEYMUX_RECORDING_PROGRAM ?? basename(process.argv[1] ?? 'node').replace(/\.\w+$/, '');

if (path === undefined) throw new Error('KEYMUX_RECORDING does not say where to write.');
const { getApiManager } = await import('../../dist/index.js');

let counts = {};
let slot = slotNow();
const accesses = getApiManager().watchAccesses();

function slotNow() {
  return Math.floor((Date.now() - from) / everyMs);
}

function count(kind, name) {
  turn();
  counts[kind] ??= {};
  counts[kind][name] = (counts[kind][name] ?? 0) + 1;
}

/** Writes what is over. */
function turn() {
  const now = slotNow();
  if (now === slot) return;
  write();
  slot = now;
}

function write() {
  for (const { key, way, count: times } of accesses.drain()) {
    counts.access ??= {};
    counts.access[`${key} ${way}`] = (counts.access[`${key} ${way}`] ?? 0) + times;
  }
  if (Object.keys(counts).length > 0)
    appendFileSync(path, `${JSON.stringify({ slot, program, ...counts })}\n`);
  counts = {};
}

subscribe('keymux:attempt', ({ key, outcome }) => count('attempt', `${key} ${outcome}`));
subscribe('keymux:request', ({ service, end }) => count('request', `${service} ${end}`));
setInterval(turn, Math.min(everyMs / 4, 1_000)).unref();
process.on('exit', write);
