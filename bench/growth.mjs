// What a permit costs, and how that grows with processes, keys and the rate of requests: operations of the store, time
// of the processes and of the server, bytes; for limits that are leased one by one, and in batches.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { startWorkers } from './fleet-worker.mjs';
import { delay } from './measurements.mjs';
import { startRedis } from './redis-server.mjs';

const FOR_MS = 2_000;
const SMALL = [{ requests: 100, per: 'second' }];
const LARGE = [{ requests: 60_000, per: 'minute' }];
const base = { processes: 4, keys: 4, perSecond: 50, limits: LARGE };
const ROWS = [
  ...[1, 2, 4, 8, 16].map((processes) => ({ ...base, processes })),
  ...[1, 16, 64].map((keys) => ({ ...base, keys })),
  ...[5, 200, 1_000].map((perSecond) => ({ ...base, perSecond })),
  ...[1, 4, 16].map((processes) => ({ ...base, processes, limits: SMALL })),
];

const scratch = mkdtempSync(join(tmpdir(), 'keymux-bench-'));
const redis = await startRedis();

async function measure({ store, server }, { processes, keys, perSecond, limits }) {
  const crew = await startWorkers(processes, { kind: 'keymux', store, limits, keys });
  await crew.run({ forMs: 300, perSecond });
  const atRest = server === undefined ? undefined : await restOf(server);
  const before = await server?.used();
  const counted = (await crew.run({ forMs: 0 })).map(({ ops }) => ops);
  const results = await crew.run({ forMs: FOR_MS, perSecond, atATime: Math.ceil(perSecond / 50) });
  await delay(100); // what was spent last is reported by then
  const after = await server?.used();
  const permits = results.reduce((sum, { granted }) => sum + granted, 0);
  const totals = (method) =>
    results.reduce((sum, { ops }, index) => sum + ops[method] - counted[index][method], 0) / permits;
  const cpuMs = results.reduce((sum, result) => sum + result.cpuMs, 0);
  await crew.end();
  return {
    store: store.type,
    limit: limits === SMALL ? 'one by one' : 'batches',
    processes,
    keys,
    perSecond,
    permits,
    leases: totals('lease'),
    settlements: totals('settle'),
    processUs: (1_000 * cpuMs) / permits,
    ...(server === undefined
      ? {}
      : {
          serverUs: (1_000 * (after.cpuMs - before.cpuMs)) / permits,
          bytes: (after.bytes - before.bytes) / permits,
          restCommands: atRest.commands,
          restBytes: atRest.bytes,
        }),
  };
}

/** What the members ask of the server in a second in which nobody wants a permit. */
async function restOf(server) {
  await delay(200);
  const before = await server.used();
  const forMs = 2_000;
  await delay(forMs);
  const after = await server.used();
  const perSecond = (name) => ((after[name] - before[name]) * 1_000) / forMs;
  return { commands: perSecond('commands'), bytes: perSecond('bytes') };
}

/** Title, unit and name of each. */
const COLUMNS = [
  ['store', '', 'store'],
  ['limit', '', 'limit'],
  ['processes', '', 'processes'],
  ['keys', '', 'keys'],
  ['wanted', '/s each', 'perSecond'],
  ['granted', '', 'permits'],
  ['leases', '/permit', 'leases'],
  ['settlements', '/permit', 'settlements'],
  ['process', 'µs/permit', 'processUs'],
  ['server', 'µs/permit', 'serverUs'],
  ['traffic', 'bytes/permit', 'bytes'],
  ['at rest', 'commands/s', 'restCommands'],
  ['at rest', 'bytes/s', 'restBytes'],
];
const cell = (value) =>
  (typeof value === 'number' ? String(Number(value.toPrecision(3))) : (value ?? '')).padStart(13);
const print = (cells) => console.log(cells.map(cell).join(''));

const lines = [];
const isJson = process.argv.includes('--json');
if (!isJson) {
  print(COLUMNS.map(([title]) => title));
  print(COLUMNS.map(([, unit]) => unit));
}
try {
  for (const type of ['redis', 'sqlite']) {
    for (const [index, options] of ROWS.entries()) {
      await redis.flush();
      const place =
        type === 'redis'
          ? { store: { type, url: redis.url }, server: redis }
          : { store: { type, path: join(scratch, `${index}.db`) } };
      const line = await measure(place, options);
      lines.push(line);
      if (!isJson) print(COLUMNS.map(([, , name]) => line[name]));
    }
  }
} finally {
  await redis.stop();
  rmSync(scratch, { recursive: true, force: true });
}
if (isJson) console.log(JSON.stringify({ name: 'growth', groups: {}, figures: [], lines }));
