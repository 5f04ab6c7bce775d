// What the tests run against and a release does without: unmodified clients in test/clients and other versions of Node in
// .tmp/, which come from the npm registry, and what comes from the system: a Redis server, Python, curl,
// age and a browser.
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('..', import.meta.url));
const QUIET = ['--no-audit', '--no-fund', '--loglevel=error'];

/** Installs the clients unless they are there as their lockfile has them. Some want a newer Node than this one. */
export function installClients() {
  installFolder('test/clients', 'the clients that the tests run');
}

/** The same for any folder of this repository with a lockfile of its own. `what` is for people. */
export function installFolder(path, what) {
  const folder = join(root, path);
  const wanted = readFileSync(join(folder, 'package-lock.json'), 'utf8');
  const stamp = join(folder, 'node_modules', '.keymux-lock.json');
  if (existsSync(stamp) && readFileSync(stamp, 'utf8') === wanted) return;
  console.error(`Installing ${what} (${path}) …`);
  npm(['ci', '--ignore-scripts', ...QUIET], folder);
  writeFileSync(stamp, wanted);
}

/**
 * What the tests start that npm does not bring. `variable` names another binary; a program that has several names is
 * told to the tests there.
 */
const SYSTEM_PROGRAMS = [
  {
    what: 'a Redis server 7 or newer, or Valkey',
    variable: 'REDIS_SERVER',
    binaries: ['redis-server', 'valkey-server'],
    debian: ['redis-server'],
    fedora: 'valkey',
    mac: 'brew install redis',
  },
  {
    what: 'Python 3.8 or newer',
    variable: 'PYTHON',
    binaries: ['python3'],
    debian: ['python3', 'python3-requests'],
    fedora: 'python3 python3-requests',
    mac: 'brew install python',
  },
  {
    what: 'curl',
    variable: 'CURL',
    binaries: ['curl'],
    debian: ['curl'],
    fedora: 'curl',
    mac: 'brew install curl',
  },
  {
    what: 'age',
    variable: 'AGE',
    binaries: ['age'],
    debian: ['age'],
    fedora: 'age',
    mac: 'brew install age',
  },
  {
    what: 'Chromium or Chrome',
    variable: 'CHROMIUM',
    binaries: ['chromium', 'chromium-browser', 'google-chrome', 'google-chrome-stable'],
    debian: ['chromium'],
    fedora: 'chromium',
    mac: 'brew install --cask chromium',
  },
];

/**
 * Sees that the programs are there which the tests start. Installs with apt-get what is missing, where we may;
 * otherwise says what to do, and ends. Returns the variables that tell the tests where each of them is.
 */
export function installSystemPrograms() {
  const stated = SYSTEM_PROGRAMS.find(
    ({ variable }) => process.env[variable] !== undefined && !answersToVersion(process.env[variable]),
  );
  if (stated !== undefined) {
    const problem = `${stated.variable} names ${process.env[stated.variable]}, which cannot be started.`;
    giveUp(problem, [stated]);
  }
  const missing = SYSTEM_PROGRAMS.filter((program) => binaryOf(program) === undefined);
  if (missing.length > 0) installWithApt(missing);
  return Object.fromEntries(SYSTEM_PROGRAMS.map((program) => [program.variable, binaryOf(program)]));
}

function binaryOf({ variable, binaries }) {
  return process.env[variable] ?? binaries.find(answersToVersion);
}

function installWithApt(missing) {
  const names = missing.flatMap(({ debian }) => debian);
  if (process.getuid?.() !== 0 || !answersToVersion('apt-get'))
    giveUp(`Missing: ${missing.map(({ what }) => what).join('; ')}.`, missing);
  console.log(`Installing ${names.join(', ')} with apt-get …`);
  // The lists of packages may be missing or old; where they are not, fetching them is needless.
  const install = ['install', '-y', '--no-install-recommends', ...names];
  if (!aptGet(install) && !(aptGet(['update']) && aptGet(install)))
    giveUp(`apt-get could not install ${names.join(', ')}.`, missing);
  const unusable = missing.filter((program) => binaryOf(program) === undefined);
  if (unusable.length > 0)
    giveUp(`Installed, but cannot be started: ${unusable.map(({ what }) => what).join('; ')}.`, unusable);
}

function aptGet(args) {
  // A server of the system is of no use here: the tests start their own, on ports of their own.
  const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive', RUNLEVEL: '1' };
  return spawnSync('apt-get', ['-qq', ...args], { stdio: 'ignore', env }).status === 0;
}

function answersToVersion(binary) {
  return spawnSync(binary, ['--version'], { stdio: 'ignore' }).status === 0;
}

function giveUp(problem, programs) {
  const list = (pick) => programs.flatMap(pick).join(' ');
  console.error(problem);
  console.error(`The tests start ${programs.map(({ what }) => what).join('; ')}:`);
  console.error(`  Debian, Ubuntu:  sudo apt-get install ${list(({ debian }) => debian)}`);
  console.error(`  Fedora:          sudo dnf install ${list(({ fedora }) => fedora)}`);
  console.error(`  macOS:           ${programs.map(({ mac }) => mac).join(' && ')}`);
  console.error(`Or set ${programs.map(({ variable }) => variable).join(', ')} to the path of its binary.`);
  process.exit(1);
}

/** The path of the binary of a version such as `22`. */
export function installNode(version) {
  const folder = join(root, '.tmp', `node-${version}`);
  const binary = join(folder, 'node_modules', 'node', 'bin', 'node');
  if (existsSync(binary)) return binary;
  mkdirSync(folder, { recursive: true });
  npm(['install', '--prefix', folder, '--no-save', ...QUIET, `node@${version}`], folder);
  if (existsSync(binary)) return binary;
  throw new Error(`node@${version} could not be installed from the registry.`);
}

function npm(args, cwd) {
  const { status, error } = spawnSync('npm', args, { stdio: ['ignore', 'ignore', 'inherit'], cwd });
  if (error !== undefined) throw error;
  if (status !== 0) throw new Error(`npm ${args[0]} in ${cwd} ended with ${status}.`);
}
