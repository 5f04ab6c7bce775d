// What the tests run against and a release does without: unmodified clients in test/clients and other versions of Node in
// .tmp/, which come from the npm registry, and a Redis server, which comes from the system.
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('..', import.meta.url));
const QUIET = ['--no-audit', '--no-fund', '--loglevel=error'];

/** Installs the clients unless they are there as their lockfile has them. Some want a newer Node than this one. */
export function installClients() {
  const folder = join(root, 'test', 'clients');
  const wanted = readFileSync(join(folder, 'package-lock.json'), 'utf8');
  const stamp = join(folder, 'node_modules', '.keymux-lock.json');
  if (existsSync(stamp) && readFileSync(stamp, 'utf8') === wanted) return;
  console.log('Installing the clients that the tests run (test/clients) …');
  npm(['ci', '--ignore-scripts', ...QUIET], folder);
  writeFileSync(stamp, wanted);
}

/**
 * Sees that there is a Redis server: `redis-server`, or what REDIS_SERVER names (Valkey does as well). Installs it with
 * apt-get where it is missing and we may; otherwise says what to do, and ends.
 */
export function installRedis() {
  const stated = process.env.REDIS_SERVER;
  const binary = stated ?? 'redis-server';
  if (answersToVersion(binary)) return;
  if (stated !== undefined) giveUp(`REDIS_SERVER names ${stated}, which cannot be started.`);
  if (process.getuid?.() !== 0 || !answersToVersion('apt-get')) giveUp('redis-server is not installed.');
  console.log('Installing redis-server with apt-get …');
  // The lists of packages may be missing or old; where they are not, fetching them is needless.
  if (!aptGet('install') && !(aptGet('update') && aptGet('install')))
    giveUp('apt-get could not install redis-server.');
  if (!answersToVersion(binary)) giveUp('redis-server was installed, but cannot be started.');
}

function aptGet(command) {
  const args = { install: ['install', '-y', '--no-install-recommends', 'redis-server'], update: ['update'] }[
    command
  ];
  // A server of the system is of no use here: the tests start their own, on ports of their own.
  const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive', RUNLEVEL: '1' };
  return spawnSync('apt-get', ['-qq', ...args], { stdio: 'ignore', env }).status === 0;
}

function answersToVersion(binary) {
  return spawnSync(binary, ['--version'], { stdio: 'ignore' }).status === 0;
}

function giveUp(problem) {
  console.error(
    `${problem} The tests need a Redis server 7 or newer, or Valkey, which they start themselves:`,
  );
  console.error('  Debian, Ubuntu:  sudo apt-get install redis-server');
  console.error('  Fedora:          sudo dnf install valkey');
  console.error('  macOS:           brew install redis');
  console.error('Or set REDIS_SERVER to the path of its binary.');
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
