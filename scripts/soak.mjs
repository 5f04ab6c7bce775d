// `npm run soak`: twelve hours of the client matrix's traffic in a few minutes, and a look at what is left of it. One
// process for http and one for https run every client of test/clients under keymux, with good and failing keys,
// streams, aborts, resets and redirects; heap, sockets, listeners, timers and leases are taken at plateaus, where
// nothing is under way and the collector has run, and must not grow from the first to the last ones.
//
// An hour stands for 3,600 requests of the application: an agent that asks once a second without a pause. What keymux
// adds by failing over is not counted.
//
// After that the gateway: ten thousand open streams, a reader that does not read, clients and providers that are killed.
//
// --minutes N  ends after this time, whatever was sent (default: when 12 hours are over)
// --short      about a minute, for CI: shows gross leaks only
import { fork, spawnSync } from 'node:child_process';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { build } from 'esbuild';
import { mostStreams, soakGateway } from './soak/gateway.mjs';
import { judge } from './soak/verdict.mjs';
import { installClients } from './test-programs.mjs';

const HOURS = 12;
const REQUESTS_PER_HOUR = 3_600;
const SHORT_MINUTES = 1 / 3;
/** Through the gateway: open at once, and in each of the rounds that are compared. */
const STREAMS = { open: 10_000, each: 1_000 };
const SHORT_STREAMS = { open: 1_000, each: 100 };

const root = fileURLToPath(new URL('..', import.meta.url));
const { values } = parseArgs({ options: { minutes: { type: 'string' }, short: { type: 'boolean' } } });
const minutes = values.short ? SHORT_MINUTES : Number(values.minutes ?? Number.POSITIVE_INFINITY);
if (!(minutes > 0)) throw new Error('--minutes takes a number above 0.');

installClients();
const { status } = spawnSync(process.execPath, [join(root, 'scripts/build.mjs'), '--if-stale'], {
  stdio: 'inherit',
});
if (status !== 0) process.exit(1);

/** The servers are those of the tests, which are TypeScript. */
async function testModule(name) {
  const outfile = join(root, '.tmp', 'soak', `${name}.mjs`);
  await build({
    entryPoints: [join(root, 'test', 'matrix', `${name}.ts`)],
    outfile,
    bundle: true,
    platform: 'node',
    format: 'esm',
    external: ['#keymux/*'],
    logLevel: 'warning',
  });
  return import(pathToFileURL(outfile).href);
}

function run(sites) {
  return new Promise((resolve, reject) => {
    const samples = [];
    const { NODE_OPTIONS: _, ...inherited } = process.env;
    const child = fork(join(root, 'scripts/soak/traffic.mjs'), [], {
      execArgv: ['--expose-gc', '--import', join(root, 'dist/register.cjs')],
      env: {
        ...inherited,
        ...sites.environment('managed'),
        SOAK_REQUESTS: String(minutes === Number.POSITIVE_INFINITY ? (HOURS * REQUESTS_PER_HOUR) / 2 : 0),
        SOAK_MS: String(minutes * 60_000),
      },
    });
    child.on('message', ({ event, sample }) => {
      if (event === 'first') {
        sites.openGates();
        child.send({ reply: 'first' });
      }
      if (sample !== undefined) samples.push(sample);
    });
    child.on('exit', (code) =>
      code === 0 ? resolve(samples) : reject(new Error(`The traffic ended with ${code}.`)),
    );
  });
}

const { startSites } = await testModule('sites');
const startedAt = performance.now();
const runs = await Promise.all(
  ['http', 'https'].map(async (scheme) => {
    const sites = await startSites(scheme);
    try {
      return { scheme, samples: await run(sites), left: inFlight(sites) };
    } finally {
      await sites.close();
    }
  }),
);
const seconds = (performance.now() - startedAt) / 1_000;

/** Requests that the servers still have open. */
function inFlight(sites) {
  return [...sites.simulators.values()]
    .flatMap(({ keys }) => keys)
    .reduce((sum, key) => sum + key.inFlight, 0);
}

let total = 0;
let failed = false;
for (const { scheme, samples, left } of runs) {
  const { table, problems } = judge(samples);
  total += samples.at(-1)?.requests ?? 0;
  if (left > 0) problems.push(`${left} requests are still open at the servers`);
  console.log(
    `\n${scheme}: ${samples.at(-1)?.requests ?? 0} requests, ${samples.length} plateaus after warming up`,
  );
  console.log(table);
  for (const problem of problems) console.error(`FAILED: ${problem}`);
  failed ||= problems.length > 0;
}
await gatewaySoak(values.short ? SHORT_STREAMS : STREAMS);

async function gatewaySoak({ open, each }) {
  const streams = Math.min(open, mostStreams());
  console.log(`\ngateway: ${streams} streams at once, then rounds of ${each}`);
  if (streams < open) console.log(`(this system lets a process open too few files for ${open})`);
  const { lines, problems } = await soakGateway({ streams, each });
  console.log(lines.join('\n'));
  for (const problem of problems) console.error(`FAILED: ${problem}`);
  failed ||= problems.length > 0;
}

const hours = total / REQUESTS_PER_HOUR;
console.log(
  `\n${total} requests in ${seconds.toFixed(0)} s: ${hours.toFixed(1)} hours at ${REQUESTS_PER_HOUR} an hour, on Node ${process.versions.node}.`,
);
process.exitCode = failed ? 1 : 0;
