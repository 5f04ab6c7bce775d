// `npm run chaos`: real agents on real processes, stores and hosts, in storms that a seed makes and makes again; a
// simulator that counts in rolling windows is the judge. docs/operations.md tells what it proves.
//
// --seed N         the storm to make; default: a new one, which is printed
// --scenario NAME  this one alone
// --store NAME     sqlite, redis or both (default)
// --minutes N      rounds with growing seeds until this time is over; default: one round
// --short          a few short storms, about a minute
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { build } from 'esbuild';

const root = fileURLToPath(new URL('..', import.meta.url));
const { status } = spawnSync(process.execPath, [join(root, 'scripts/build.mjs'), '--if-stale'], {
  stdio: 'inherit',
});
if (status !== 0) process.exit(1);

/** Inside the package, where its own modules are found. */
const outfile = join(root, '.tmp', 'chaos', 'main.mjs');
await build({
  entryPoints: [join(root, 'test', 'chaos', 'main.ts')],
  outfile,
  bundle: true,
  platform: 'node',
  format: 'esm',
  external: ['#keymux/*'],
  logLevel: 'warning',
});
const { main } = await import(pathToFileURL(outfile).href);
process.exitCode = await main();
