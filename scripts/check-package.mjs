// `npm run check:package`: packs the package, and tries it as its users will: installed from the tarball into an
// empty project, imported and required, preloaded, started, and compiled against. With `--nodes 22 24` it is only
// installed and used, on those versions of Node, which come from npm.
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { Checks } from './package/checks.mjs';
import { compilations } from './package/compilers.mjs';
import { installInto, requireNoInstallScripts, usesOf } from './package/consumer.mjs';
import { pack, requireBoundedSize, requireCleanPublint, requireContents, sizeOf } from './package/packed.mjs';
import { npm, run } from './package/processes.mjs';
import { installNode } from './test-programs.mjs';

const root = fileURLToPath(new URL('..', import.meta.url));
const manifest = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));
const entries = Object.keys(manifest.exports).filter((subpath) => subpath !== './package.json');
const specifiers = entries.map((subpath) => subpath.replace(/^\./, manifest.name));

const work = mkdtempSync(join(tmpdir(), 'keymux-package-'));
const folder = join(work, 'consumer');
const checks = new Checks();

function binOf(name) {
  const path = join(root, 'node_modules', name, 'package.json');
  const { bin } = JSON.parse(readFileSync(path, 'utf8'));
  return join(dirname(path), typeof bin === 'string' ? bin : Object.values(bin)[0]);
}

/**
 * Types must resolve to what runs, for ES modules and for CommonJS. `cjs-resolves-to-esm` is accepted: every Node that
 * the package supports (20.19 and newer) can `require()` an ES module. Resolution without `exports` (node10) is not
 * supported.
 */
function requireResolvedTypes(tarball) {
  const ignored = ['--profile', 'node16', '--ignore-rules', 'cjs-resolves-to-esm'];
  return run(process.execPath, [binOf('@arethetypeswrong/cli'), tarball, ...ignored], { cwd: root });
}

function checksOfTarball(packed) {
  const entryFiles = entries.flatMap((subpath) => Object.values(manifest.exports[subpath]));
  return [
    ['holds what it should, and nothing else', () => requireContents(packed, manifest, entryFiles)],
    ['is no larger than it may be', () => requireBoundedSize(packed)],
    ['publint', () => requireCleanPublint(packed)],
    ['are the types wrong', () => requireResolvedTypes(packed.path)],
  ];
}

function usesOn(node) {
  const { name, version, bin: bins } = manifest;
  return usesOf({ folder, node, name, specifiers, version, bins });
}

const { values, positionals: versions } = parseArgs({
  options: { nodes: { type: 'boolean' } },
  allowPositionals: true,
});

try {
  await run(process.execPath, [join(root, 'scripts/build.mjs')], { cwd: root });
  const packed = await pack(root, work);
  console.log(sizeOf(packed));
  await checks.all([
    ...(values.nodes ? [] : checksOfTarball(packed)),
    ['installs into an empty project', () => installInto(folder, packed.path)],
  ]);
  await checks.all([
    ['nothing runs when it is installed', () => requireNoInstallScripts(folder)],
    ...Object.keys(manifest.bin).map((bin) => [
      `npx ${bin}`,
      () => npm(['exec', '--no', '--', bin, '--version'], folder),
    ]),
  ]);
  for (const version of values.nodes ? versions : []) {
    console.log(`Node ${version}`);
    await checks.all(usesOn(installNode(version)));
  }
  if (!values.nodes)
    await checks.all([...compilations({ root, folder, specifiers }), ...usesOn(process.execPath)]);
} finally {
  rmSync(work, { recursive: true, force: true });
}
if (checks.failures > 0) {
  console.error(`${checks.failures} checks of the package failed.`);
  process.exitCode = 1;
}
