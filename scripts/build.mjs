// Builds dist/: every module by tsc, plus `register` as one CommonJS file, so that --require, --import and
// `eval` workers load the same fast preload. `--if-stale` skips the work when dist/ is newer than src/.
import { spawnSync } from 'node:child_process';
import {
  chmodSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { createRequire } from 'node:module';
import { basename, dirname, join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';

const root = fileURLToPath(new URL('..', import.meta.url));
const { bin, dependencies: ranges } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));
const dependencies = Object.keys(ranges);
const src = join(root, 'src');
const dist = join(root, 'dist');
/**
 * Modules that are also there as one CommonJS file each, with the npm packages that are put into it: as the many files
 * that they are, these take four times as long to load. The last module is the mark of a complete build.
 */
const BUNDLED = {
  'cli/main': ['commander', 'jsonc-parser', 'picocolors', 'yaml', 'zod'],
  'config/file': ['jsonc-parser', 'yaml', 'zod'],
  'config/open-vault': [],
  'config/vault-worker': [
    'age-encryption',
    '@noble/ciphers',
    '@noble/curves',
    '@noble/hashes',
    '@noble/post-quantum',
    '@scure/base',
  ],
  'manager/redis-store': [],
  'observe/preloaded-alerts': [],
  'observe/preloaded-audit': [],
  register: [],
};
/** Parts of a bundle that are modules all the same: loaded by some commands only, and with files beside them. */
const LAZY = /^\.\/(?:demo|gateway-run|serving)\.js$/;
const lastBuilt = join(dist, `${Object.keys(BUNDLED).at(-1)}.cjs`);

function filesIn(folder) {
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => relative(folder, join(entry.parentPath, entry.name)));
}

function isStale() {
  if (!existsSync(lastBuilt)) return true;
  const builtMs = statSync(lastBuilt).mtimeMs;
  const inputs = [join(root, 'package.json'), join(root, 'tsconfig.json'), fileURLToPath(import.meta.url)];
  return [...inputs, ...filesIn(src).map((file) => join(src, file))].some(
    (file) => statSync(file).mtimeMs > builtMs,
  );
}

/** tsc leaves behind what it built from files that are gone; it would be published and counted as not covered. */
function removeOrphans() {
  for (const file of filesIn(dist)) {
    const isBundle = Object.keys(BUNDLED).some((module) =>
      [`${module}.cjs`, `${module}.cjs.map`].includes(file),
    );
    if (isBundle || file === '.tsbuildinfo') continue;
    const source = join(src, file.replace(/(\.js\.map|\.d\.c?ts|\.js)$/, '.ts'));
    if (!existsSync(source) && !existsSync(join(src, file))) rmSync(join(dist, file));
  }
}

/**
 * The maps are for our coverage alone, which knows where they are; they are not published. Named in the files, they
 * would be read by every process whose coverage is measured, and be missed by the users' tools.
 */
function leaveMapsUnnamed() {
  for (const file of filesIn(dist).filter((name) => name.endsWith('.js'))) {
    const text = readFileSync(join(dist, file), 'utf8');
    const unnamed = text.replace(/\n\/\/# sourceMappingURL=\S+\s*$/, '\n');
    if (unnamed !== text) writeFileSync(join(dist, file), unnamed);
  }
}

/** Everything in src/ that is not TypeScript (pages, styles, scripts of stores) stands at the same place in dist/. */
function copyAssets() {
  for (const file of filesIn(src)) {
    if (file.endsWith('.ts')) continue;
    mkdirSync(dirname(join(dist, file)), { recursive: true });
    copyFileSync(join(src, file), join(dist, file));
  }
}

/** The licences of packages ask that their text goes with every copy. */
function licencesOf(packages) {
  return packages.map((name) => {
    const folder = join(root, 'node_modules', name);
    const file = readdirSync(folder).find((entry) => /^licen[cs]e/i.test(entry));
    return `/*! ${name}\n\n${readFileSync(join(folder, file), 'utf8').trim()}\n*/`;
  });
}

/** So that what ran in a bundle is found in src/, not in dist/. */
const followingMaps = {
  name: 'maps',
  setup(bundler) {
    bundler.onLoad({ filter: /\.js$/ }, ({ path }) =>
      path.startsWith(dist)
        ? { contents: `${readFileSync(path, 'utf8')}//# sourceMappingURL=${basename(path)}.map` }
        : undefined,
    );
  },
};

const leavingLazyParts = {
  name: 'lazy parts',
  setup(bundler) {
    bundler.onResolve({ filter: LAZY }, ({ kind, path }) =>
      kind === 'dynamic-import' ? { path, external: true } : undefined,
    );
  },
};

/** One CommonJS file beside its modules: `require`, `import` and `eval` workers load it alike, and fast. */
async function bundleCommonJs(module, packages) {
  await build({
    entryPoints: [join(dist, `${module}.js`)],
    outfile: join(dist, `${module}.cjs`),
    bundle: true,
    platform: 'node',
    format: 'cjs',
    target: 'node20.19',
    sourcemap: 'external',
    // A program keeps the text of what it loaded, and has to read it first. Names stay, for stack traces; statements
    // stay, so that coverage finds them.
    minifyWhitespace: true,
    external: [...dependencies.filter((name) => !packages.includes(name)), '#keymux/*'],
    plugins: [followingMaps, leavingLazyParts],
    // The ES modules of a package: what is not used of them is left out.
    mainFields: ['module', 'main'],
    legalComments: 'none',
    logLevel: 'warning',
    define: { 'import.meta.url': 'keymuxModuleUrl' },
    banner: { js: "const keymuxModuleUrl = require('node:url').pathToFileURL(__filename).href;" },
    footer: { js: licencesOf(packages).join('\n') },
  });
}

if (!process.argv.includes('--if-stale') || isStale()) {
  const tsc = createRequire(import.meta.url).resolve('typescript/bin/tsc');
  const compiled = spawnSync(process.execPath, [tsc, '-p', join(root, 'tsconfig.json')], {
    stdio: 'inherit',
  });
  if (compiled.status !== 0) process.exit(compiled.status ?? 1);
  removeOrphans();
  leaveMapsUnnamed();
  copyAssets();
  for (const [module, packages] of Object.entries(BUNDLED)) await bundleCommonJs(module, packages);
  // A CommonJS file needs CommonJS types, or TypeScript takes what it requires for an ES module.
  copyFileSync(join(dist, 'register.d.ts'), join(dist, 'register.d.cts'));
  for (const file of Object.values(bin)) chmodSync(join(root, file), 0o755);
}
