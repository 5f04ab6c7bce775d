// What the tests run against and a release does without: unmodified clients in test/clients, other versions of Node in
// .tmp/. All of it comes from the npm registry.
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
