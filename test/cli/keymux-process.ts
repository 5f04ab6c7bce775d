/** The built command in real processes, each with a home, a state directory and a project of its own. */
import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { KeyManager } from '#keymux/manager/key-manager.js';
import { expect, onTestFinished } from 'vitest';

export const BIN = fileURLToPath(new URL('../../dist/bin.js', import.meta.url));

/** Every key of a project begins with it; it must never be in any output. */
export const CANARY = 'canary-4f9c2e';

type Env = Readonly<Record<string, string>>;

export interface Result {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

export interface Running {
  readonly process: ChildProcess;
  /** Resolves when stdout holds this, with everything so far. */
  saw(text: string | RegExp): Promise<string>;
  readonly ended: Promise<Result>;
}

export class Project {
  readonly folder = mkdtempSync(join(tmpdir(), 'keymux-cli-'));
  readonly env: Env;

  constructor(files: Readonly<Record<string, string>> = {}, env: Env = {}) {
    for (const [name, text] of Object.entries({ ...files, 'home/.keep': '' })) {
      mkdirSync(dirname(join(this.folder, name)), { recursive: true });
      writeFileSync(join(this.folder, name), text, { mode: 0o600 });
    }
    const { PATH = '', NODE_V8_COVERAGE } = process.env;
    this.env = {
      PATH,
      ...(NODE_V8_COVERAGE === undefined ? {} : { NODE_V8_COVERAGE }),
      HOME: join(this.folder, 'home'),
      KEYMUX_STATE_DIR: join(this.folder, 'state'),
      ...env,
    };
    onTestFinished(() => rmSync(this.folder, { recursive: true, force: true }));
  }

  path(name: string): string {
    return join(this.folder, name);
  }

  start(args: readonly string[], env: Env = {}, cwd = this.folder): Running {
    return this.startProgram(process.execPath, [BIN, ...args], env, cwd);
  }

  startProgram(command: string, args: readonly string[], env: Env = {}, cwd = this.folder): Running {
    return follow(spawn(command, args, { cwd, env: { ...this.env, ...env } }));
  }

  /** Runs to the end, and checks that no key was said. */
  async keymux(args: readonly string[], env: Env = {}, cwd = this.folder): Promise<Result> {
    const running = this.start(args, env, cwd);
    running.process.stdin?.end();
    const result = await running.ended;
    expect(result.stdout + result.stderr).not.toContain(CANARY);
    return result;
  }

  /** A manager as a program in this project would have it, on the same store. */
  async manager(): Promise<KeyManager> {
    const manager = new KeyManager({ cwd: this.folder, env: this.env });
    onTestFinished(() => manager.shutdown());
    await manager.ready;
    return manager;
  }
}

function follow(child: ChildProcess): Running {
  let stdout = '';
  let stderr = '';
  child.stdout?.setEncoding('utf8').on('data', (text: string) => (stdout += text));
  child.stderr?.setEncoding('utf8').on('data', (text: string) => (stderr += text));
  // Whoever ended no longer reads.
  child.stdin?.on('error', () => {});
  const ended = new Promise<Result>((resolve, reject) => {
    child.on('error', reject);
    child.on('close', (code) => resolve({ code, stdout, stderr }));
  });
  onTestFinished(async () => {
    if (child.exitCode === null && child.signalCode === null) child.kill('SIGKILL');
    await ended;
  });
  const saw = (text: string | RegExp): Promise<string> =>
    new Promise((resolve, reject) => {
      const look = (): void => {
        if (typeof text === 'string' ? stdout.includes(text) : text.test(stdout)) resolve(stdout);
      };
      child.stdout?.on('data', look);
      child.on('close', () => reject(new Error(`never saw ${String(text)} in:\n${stdout}\n${stderr}`)));
      look();
    });
  return { process: child, saw, ended };
}

export const ACME = `
services:
  data: { providers: [acme] }
providers:
  acme:
    baseUrl: http://127.0.0.1:9
    auth: { in: header, name: x-api-key }
    limits: [{ requests: 5, per: hour }]
store: { type: sqlite, path: ./store/state.db }
`;

/** A project with the provider `acme`, its service `data` and two keys, `acme/main` and `acme/2`. */
export function acmeProject(config = ACME): Project {
  return new Project(
    { 'keymux.config.yaml': config },
    { ACME_API_KEY: `${CANARY}-one`, ACME_API_KEY_2: `${CANARY}-two` },
  );
}
