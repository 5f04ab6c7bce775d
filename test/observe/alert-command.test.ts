import { spawn } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, realpathSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { commandName, runCommand } from '#keymux/observe/alert-command.js';
import type { Undelivered } from '#keymux/observe/alert-outbox.js';
import type { AlertPayload } from '#keymux/observe/alert-payload.js';
import { describe, expect, it, onTestFinished } from 'vitest';
import { watched } from './alert-receiver.js';

const soon = { timeout: 15_000, interval: 10 };

function folder(): string {
  const path = realpathSync(mkdtempSync(join(tmpdir(), 'keymux-alert-')));
  onTestFinished(() => rmSync(path, { recursive: true, force: true }));
  return path;
}

const PAYLOAD = { id: 'x', message: 'y' } as AlertPayload;

/** Runs a script of Node, with what it is given; the arguments follow. */
async function faultOf(
  script: string,
  { args = [], deadlineMs, signal = new AbortController().signal }: Partial<Given> = {},
): Promise<Undelivered | undefined> {
  const command = [process.execPath, '-e', script, ...args];
  const context = { folder: tmpdir(), env: process.env, deadlineMs };
  return runCommand(command, PAYLOAD, context, signal).then(
    () => undefined,
    (error: unknown) => error as Undelivered,
  );
}

interface Given {
  readonly args: readonly string[];
  readonly deadlineMs: number;
  readonly signal: AbortSignal;
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}

describe('a command', () => {
  it('gets the alert on its input, its folder, and of the environment what it needs', async () => {
    const path = folder();
    const file = join(path, 'seen.json');
    writeFileSync(
      join(path, 'note.mjs'),
      `import { text } from 'node:stream/consumers';
       import { renameSync, writeFileSync } from 'node:fs';
       const seen = { input: JSON.parse(await text(process.stdin)), env: process.env, cwd: process.cwd() };
       writeFileSync('draft.json', JSON.stringify(seen));
       renameSync('draft.json', 'seen.json');`,
    );
    const { manager, watching } = watched({
      options: { cwd: path },
      alerts: [{ when: 'keys-left', below: 2, command: [process.execPath, 'note.mjs'] }],
      watch: {
        env: {
          PATH: process.env['PATH'],
          HOME: '/home/somebody',
          OPENAI_API_KEY: 'CANARY-in-the-environment',
          NODE_OPTIONS: '--require ./preload.cjs',
        },
      },
    });
    manager.disable('acme/main');
    await expect.poll(() => watching.counts, soon).toEqual({ delivered: 1, failed: 0 });
    const { input, env, cwd } = JSON.parse(readFileSync(file, 'utf8'));
    expect(input).toMatchObject({ id: 'keys-left/acme', state: 'raised', value: 1, threshold: 2 });
    expect(cwd).toBe(path);
    expect(env).toMatchObject({ HOME: '/home/somebody' });
    expect(env).not.toHaveProperty('OPENAI_API_KEY');
    expect(env).not.toHaveProperty('NODE_OPTIONS');
  });

  it('that ends badly is tried again; one that cannot be run is not', async () => {
    expect(await faultOf('process.exit(3)')).toMatchObject({
      message: 'it ended with exit code 3',
      retry: { mayRetry: true },
    });
    expect(await faultOf("process.kill(process.pid, 'SIGTERM')")).toMatchObject({
      message: 'it ended with signal SIGTERM',
    });
    const absent = runCommand(
      ['/nonexistent/program'],
      PAYLOAD,
      { folder: tmpdir(), env: {} },
      new AbortController().signal,
    );
    await expect(absent).rejects.toMatchObject({
      message: 'it cannot be run (ENOENT)',
      retry: { mayRetry: false },
    });
  });

  it('need not read its input', async () => {
    expect(await faultOf('process.stdin.destroy(); process.exit(0)')).toBeUndefined();
  });

  it('that hangs is ended with all that it started, and nothing else', async () => {
    const path = folder();
    const pidFile = join(path, 'pids');
    const bystander = spawn(process.execPath, ['-e', 'setInterval(() => {}, 1000)'], { stdio: 'ignore' });
    onTestFinished(() => void bystander.kill('SIGKILL'));
    // The program and a child of its own both ignore what asks politely.
    const script = `
      const { spawn } = require('node:child_process');
      const { writeFileSync } = require('node:fs');
      process.on('SIGTERM', () => {});
      const child = spawn(process.execPath, ['-e', 'setInterval(() => {}, 1000)'], { stdio: 'ignore' });
      writeFileSync(process.argv[1], JSON.stringify([process.pid, child.pid]));
      setInterval(() => {}, 1000);`;
    const fault = await faultOf(script, { args: [pidFile], deadlineMs: 5_000 });
    expect(fault).toMatchObject({ message: 'it did not end within 5 s', retry: { mayRetry: false } });
    expect(existsSync(pidFile)).toBe(true);
    const pids = JSON.parse(readFileSync(pidFile, 'utf8')) as number[];
    expect(pids).toHaveLength(2);
    await expect.poll(() => pids.map(isAlive), soon).toEqual([false, false]);
    expect(isAlive(bystander.pid!)).toBe(true);
  });

  it('is ended when keymux stops', async () => {
    const path = folder();
    const started = join(path, 'started');
    const stop = new AbortController();
    const run = faultOf(
      "require('node:fs').writeFileSync(process.argv[1], 'x'); setInterval(() => {}, 1000)",
      {
        args: [started],
        signal: stop.signal,
      },
    );
    await expect.poll(() => existsSync(started), soon).toBe(true);
    stop.abort();
    expect(await run).toMatchObject({ message: 'keymux stopped' });
  });

  it('is called by its name alone, since its arguments may be secret', async () => {
    expect(commandName(['/usr/local/bin/page', 'CANARY-token'])).toBe('the command page');
    const { manager, log } = watched({
      alerts: [{ when: 'keys-left', below: 2, command: ['/nonexistent/page', 'CANARY-token'] }],
    });
    manager.disable('acme/main');
    await expect
      .poll(() => log, soon)
      .toEqual([
        'keymux: An alert could not be told to the command page: it cannot be run (ENOENT). Requests are not affected.',
      ]);
  });
});
