// Records a workday and a Sunday of four programs, with real providers to refuse them, restarts and crashes, in a few minutes:
// `node scripts/record-traffic.mjs [file] [milliseconds of a slot]`. The recording that the tests replay was made by it.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { ok, refuse, startSimulator } from '../dist/testing.js';

const here = (path) => new URL(path, import.meta.url);
const target = process.argv[2] ?? fileURLToPath(here('../test/observe/recorded-traffic.jsonl'));
const slotMs = Number(process.argv[3] ?? 400);
const SLOTS = 2 * 288;
/** When a new version of the chat is deployed; it is killed at the second of them. */
const DEPLOYMENTS = [122, 203, 410];
const NIGHTLY = [24, 288 + 26];

const folder = mkdtempSync(join(tmpdir(), 'keymux-recording-'));
const recording = join(folder, 'traffic.jsonl');
const perSecond = (requests) => ({ limits: [{ requests, perMs: 1_000 }] });
const names = (prefix, scripts) =>
  Object.fromEntries(
    scripts.map((script, index) => [
      `${prefix}-simulated-${index + 1}`,
      { name: `${prefix}-${index}`, ...script },
    ]),
  );
const overloadedAtTimes = () => (Math.random() < 0.03 ? refuse('overloaded') : ok());
const simulators = {
  LLM: await startSimulator({ keys: names('llm', [{ ...perSecond(20), always: overloadedAtTimes }, {}]) }),
  MARKET: await startSimulator({ keys: names('market', [perSecond(25), perSecond(25), {}]) }),
  NEWS: await startSimulator({ keys: names('news', [{ quota: { requests: 180 } }, {}]) }),
};

const env = { PATH: process.env.PATH, HOME: folder, KEYMUX_STATE_DIR: join(folder, 'state') };
const providers = {};
for (const [prefix, { origin }] of Object.entries(simulators)) {
  const id = prefix.toLowerCase();
  providers[id] = { baseUrl: origin, env: [`${prefix}_API_KEY`] };
  env[`${prefix}_URL`] = origin;
  for (let key = 1; key <= 3; key += 1)
    if (key < 3 || id === 'market')
      env[key === 1 ? `${prefix}_API_KEY` : `${prefix}_API_KEY_${key}`] = `${id}-simulated-${key}`;
}
const config = join(folder, 'keymux.json');
writeFileSync(config, JSON.stringify({ providers }), { mode: 0o600 });

const from = Date.now() + 1_500;
const running = new Map();

function start(name) {
  const preload = ['../dist/register.js', './traffic/recorder.mjs'].flatMap((path) => [
    '--import',
    here(path).href,
  ]);
  const child = spawn(process.execPath, [...preload, fileURLToPath(here('./traffic/agents.mjs')), name], {
    cwd: folder,
    stdio: 'inherit',
    env: {
      ...env,
      KEYMUX_CONFIG: config,
      KEYMUX_RECORDING: recording,
      KEYMUX_RECORDING_EVERY_MS: String(slotMs),
      KEYMUX_RECORDING_FROM: String(from),
      KEYMUX_RECORDING_PROGRAM: name,
      AGENT_SLOT_MS: String(slotMs),
      AGENT_FROM: String(from),
      AGENT_UNTIL: String(from + SLOTS * slotMs),
    },
  });
  running.set(name, child);
}

async function end(name, signal) {
  const child = running.get(name);
  const closed = once(child, 'close');
  child.kill(signal);
  await closed;
}

try {
  for (const name of ['quotes', 'analyst', 'chat']) start(name);
  for (let slot = 0; slot < SLOTS; slot += 1) {
    await delay(Math.max(0, from + slot * slotMs - Date.now()));
    if (NIGHTLY.includes(slot)) start('nightly');
    const deployment = DEPLOYMENTS.indexOf(slot);
    if (deployment === -1) continue;
    await end('chat', deployment === 1 ? 'SIGKILL' : 'SIGTERM');
    start('chat');
  }
  await Promise.all([...running.values()].map((child) => child.exitCode ?? once(child, 'close')));
  const lines = readFileSync(recording, 'utf8').trim().split('\n');
  const slotOf = (line) => JSON.parse(line).slot;
  const within = lines.filter((line) => slotOf(line) >= 0 && slotOf(line) < SLOTS);
  writeFileSync(target, `${within.sort((a, b) => slotOf(a) - slotOf(b)).join('\n')}\n`);
  console.log(`${within.length} lines in ${target}`);
} finally {
  for (const child of running.values()) child.kill('SIGKILL');
  for (const simulator of Object.values(simulators)) await simulator.close();
  rmSync(folder, { recursive: true, force: true });
}
