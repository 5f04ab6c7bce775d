// `npm run check:package`: packs the package, and tries it as its users will: installed from the tarball into an
// empty project, imported and required, preloaded, started, and compiled against.
import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { publint } from 'publint';
import { formatMessage } from 'publint/utils';

const root = fileURLToPath(new URL('..', import.meta.url));
const manifest = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));
const require = createRequire(import.meta.url);
const work = mkdtempSync(join(tmpdir(), 'keymux-package-'));
const consumer = join(work, 'consumer');
const npm = process.platform === 'win32' ? 'npm.cmd' : 'npm';

const entries = Object.keys(manifest.exports).filter((subpath) => subpath !== './package.json');
const specifiers = entries.map((subpath) => subpath.replace(/^\./, manifest.name));

let failures = 0;

async function check(title, body) {
  try {
    await body();
    console.log(`  ok    ${title}`);
  } catch (error) {
    failures += 1;
    console.log(`  FAIL  ${title}\n${String(error.message).trim().replace(/^/gm, '        ')}`);
  }
}

/** Runs a command to its end; returns what it printed, and throws that if it failed or complained. */
function run(command, args, { cwd = consumer, quiet = false } = {}) {
  // The project must not see the environment of the npm that runs this script.
  const env = Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith('npm_')));
  const { status, signal, stdout, stderr, error } = spawnSync(command, args, {
    cwd,
    env,
    encoding: 'utf8',
    timeout: 180_000,
    shell: process.platform === 'win32',
  });
  if (error !== undefined) throw error;
  if (status !== 0)
    throw new Error(`${command} ${args.join(' ')} ended with ${status ?? signal}\n${stdout}${stderr}`);
  if (quiet && stdout + stderr !== '') throw new Error(`printed: ${stdout}${stderr}`);
  return stdout;
}

function binOf(name) {
  const path = join(root, 'node_modules', name, 'package.json');
  const { bin } = JSON.parse(readFileSync(path, 'utf8'));
  return join(dirname(path), typeof bin === 'string' ? bin : Object.values(bin)[0]);
}

function pack() {
  const [packed] = JSON.parse(
    run(npm, ['pack', '--json', '--ignore-scripts', '--pack-destination', work], { cwd: root }),
  );
  return { ...packed, path: join(work, packed.filename) };
}

async function checkPublint(tarball) {
  const data = readFileSync(tarball);
  const { messages, pkg } = await publint({
    strict: true,
    pack: { tarball: data.buffer.slice(data.byteOffset, data.byteOffset + data.byteLength) },
  });
  if (messages.length > 0) throw new Error(messages.map((message) => formatMessage(message, pkg)).join('\n'));
}

/**
 * Types must resolve to what runs, for ES modules and for CommonJS. `cjs-resolves-to-esm` is accepted: every Node that
 * the package supports (20.19 and newer) can `require()` an ES module. Resolution without `exports` (node10) is not
 * supported.
 */
function checkTypeResolution(tarball) {
  const ignored = ['--profile', 'node16', '--ignore-rules', 'cjs-resolves-to-esm'];
  run(process.execPath, [binOf('@arethetypeswrong/cli'), tarball, ...ignored], { cwd: root });
}

function install(tarball) {
  mkdirSync(consumer);
  writeFileSync(join(consumer, 'package.json'), '{ "name": "consumer", "private": true }\n');
  run(npm, ['install', tarball, '--prefer-offline', '--no-audit', '--no-fund']);
}

function checkContents(packed) {
  const paths = packed.files.map((file) => file.path);
  const needed = ['README.md', 'LICENSE', 'CHANGELOG.md', ...Object.values(manifest.bin), ...entryFiles()];
  const missing = needed.map((path) => path.replace(/^\.\//, '')).filter((path) => !paths.includes(path));
  if (missing.length > 0) throw new Error(`missing: ${missing.join(', ')}`);
  const unwanted = paths.filter((path) =>
    /^(src|test|scripts|bench|coverage)\/|tsbuildinfo|\.env/.test(path),
  );
  if (unwanted.length > 0) throw new Error(`unwanted: ${unwanted.join(', ')}`);
  const hooks = ['preinstall', 'install', 'postinstall'].filter((name) => name in manifest.scripts);
  if (hooks.length > 0) throw new Error(`runs scripts when it is installed: ${hooks.join(', ')}`);
}

function entryFiles() {
  return entries.flatMap((subpath) => Object.values(manifest.exports[subpath]));
}

function runScript(name, text) {
  writeFileSync(join(consumer, name), text);
  return run(process.execPath, [name]);
}

/** A module that offers nothing is no entry point; `register` is there for what it does. */
function isOffered(specifier) {
  return specifier.endsWith('/register')
    ? ''
    : 'if (Object.keys(loaded).length === 0) throw new Error("exports nothing");';
}

async function checkLoading() {
  for (const specifier of specifiers) {
    const name = `load-${specifier.replaceAll('/', '-')}`;
    await check(`import ${specifier}`, () => {
      runScript(`${name}.mjs`, `import * as loaded from '${specifier}';\n${isOffered(specifier)}`);
    });
    await check(`require ${specifier}`, () => {
      runScript(`${name}.cjs`, `const loaded = require('${specifier}');\n${isOffered(specifier)}`);
    });
  }
  for (const flag of ['--import', '--require']) {
    await check(`node ${flag} ${manifest.name}/register`, () => {
      run(process.execPath, [flag, `${manifest.name}/register`, '-e', '0'], { quiet: true });
    });
  }
}

async function checkCommands() {
  for (const name of Object.keys(manifest.bin)) {
    await check(`npx ${name} --version`, () => {
      const printed = run('npx', ['--no-install', name, '--version']).trim();
      if (printed !== manifest.version) throw new Error(`printed ${printed}, not ${manifest.version}`);
    });
  }
}

function checkCompiling() {
  // Declarations are checked too, with the types of Node that the package is built with.
  const typeRoots = [join(root, 'node_modules/@types')];
  const options = {
    module: 'nodenext',
    target: 'es2023',
    strict: true,
    noEmit: true,
    types: ['node'],
    typeRoots,
  };
  const names = specifiers.map((specifier, index) => `import * as entry${index} from '${specifier}';`);
  const uses = specifiers.map((_, index) => `export type Entry${index} = keyof typeof entry${index};`);
  const text = [...names, ...uses].join('\n');
  writeFileSync(join(consumer, 'tsconfig.json'), JSON.stringify({ compilerOptions: options }));
  writeFileSync(join(consumer, 'consumer.mts'), text);
  writeFileSync(join(consumer, 'consumer.cts'), text);
  run(process.execPath, [require.resolve('typescript/bin/tsc'), '-p', consumer]);
}

function kilobytes(bytes) {
  return `${(bytes / 1024).toFixed(0)} kB`;
}

try {
  run(process.execPath, [join(root, 'scripts/build.mjs')], { cwd: root });
  const packed = pack();
  console.log(
    `${packed.filename}: ${kilobytes(packed.size)} packed, ${kilobytes(packed.unpackedSize)} unpacked`,
  );
  await check('holds what it should, and nothing else', () => checkContents(packed));
  await check('publint', () => checkPublint(packed.path));
  await check('are the types wrong', () => checkTypeResolution(packed.path));
  await check('installs into an empty project', () => install(packed.path));
  await checkLoading();
  await checkCommands();
  await check('TypeScript compiles an ES module and a CommonJS module against it', checkCompiling);
} finally {
  rmSync(work, { recursive: true, force: true });
}
if (failures > 0) {
  console.error(`${failures} checks of the package failed.`);
  process.exitCode = 1;
}
