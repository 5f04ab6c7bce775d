// Processes that a check starts, and what became of them.
import { spawn } from 'node:child_process';

const TIMEOUT_MS = 180_000;

/** npm tells its scripts about itself; a project of its own must not see that. */
const env = Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith('npm_')));

/** Runs a command to its end; returns what it printed, and throws that if it failed. `quiet`: or if it printed anything. */
export async function run(command, args, { cwd, quiet = false }) {
  const child = spawn(command, args, {
    cwd,
    env,
    timeout: TIMEOUT_MS,
    shell: process.platform === 'win32',
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const printed = { stdout: '', stderr: '' };
  for (const name of ['stdout', 'stderr']) {
    child[name].setEncoding('utf8').on('data', (text) => (printed[name] += text));
  }
  const { code, signal } = await new Promise((resolve, reject) => {
    child.on('error', reject).on('close', (code, signal) => resolve({ code, signal }));
  });
  const all = printed.stdout + printed.stderr;
  if (code !== 0) throw new Error(`${command} ${args.join(' ')} ended with ${code ?? signal}\n${all}`);
  if (quiet && all !== '') throw new Error(`printed: ${all}`);
  return printed.stdout;
}

export function npm(args, cwd) {
  return run(process.platform === 'win32' ? 'npm.cmd' : 'npm', args, { cwd });
}
