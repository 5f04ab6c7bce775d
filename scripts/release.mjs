// `node scripts/release.mjs`: a dry run of a release, which changes nothing: says what stands in its way, runs every
// check, and shows what npm would publish. With `--publish`, in CI alone, it publishes, with a provenance. See
// docs/releasing.md.
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { refusalsOf } from './package/release-rules.mjs';

/** All of these must pass, cheapest first. */
const CHECKS = [['.ci/run'], ['npm', 'run', 'mutation'], ['npm', 'run', 'test:nodes']];

const root = fileURLToPath(new URL('..', import.meta.url));
const read = (name) => readFileSync(join(root, name), 'utf8');
const manifest = JSON.parse(read('package.json'));

/** What a command prints; undefined if it failed. */
function ask(command, args) {
  const { status, stdout } = spawnSync(command, args, { cwd: root, encoding: 'utf8' });
  return status === 0 ? stdout : undefined;
}

function changedFiles() {
  const printed = ask('git', ['status', '--porcelain']);
  if (printed === undefined) return ['everything: git does not answer'];
  return printed
    .split('\n')
    .filter(Boolean)
    .map((line) => line.slice(3));
}

/** None where the registry does not know the package, as before its first release. */
function publishedVersions() {
  const printed = ask('npm', ['view', manifest.name, 'versions', '--json']);
  return printed === undefined ? [] : [JSON.parse(printed)].flat();
}

function run([command, ...args]) {
  console.log(`\n== ${[command, ...args].join(' ')}`);
  return spawnSync(command, args, { cwd: root, stdio: 'inherit' }).status === 0;
}

const { values } = parseArgs({
  options: { publish: { type: 'boolean', default: false }, unchecked: { type: 'boolean', default: false } },
});
const { publish: publishes, unchecked } = values;
const refusals = refusalsOf({
  manifest,
  changelog: read('CHANGELOG.md'),
  changedFiles: changedFiles(),
  publishedVersions: publishedVersions(),
  publishes,
  env: process.env,
});
if (publishes && unchecked) refusals.push('What is published is checked: leave --unchecked out.');
for (const refusal of refusals) console.error(`REFUSED  ${refusal}`);
if (publishes && refusals.length > 0) process.exit(1);

const failed = unchecked ? undefined : CHECKS.find((check) => !run(check));
if (failed !== undefined) {
  console.error(`\nNot released: ${failed.join(' ')} failed.`);
  process.exit(1);
}
const done = run(['npm', 'publish', '--access', 'public', publishes ? '--provenance' : '--dry-run']);
if (!publishes)
  console.log(
    `\nDry run: nothing was published.${refusals.length > 0 ? ' It would have been refused.' : ''}`,
  );
process.exitCode = done && refusals.length === 0 ? 0 : 1;
