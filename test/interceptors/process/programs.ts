/** Runs small unmodified programs under the preload, against a simulated provider. */
import { execFile } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { startSimulator } from '#keymux/testing/simulator.js';
import { refuse } from '#keymux/testing/script.js';
import type { Simulator } from '#keymux/testing/simulator-api.js';
import { onTestFinished } from 'vitest';

export const PRELOAD = fileURLToPath(new URL('../../../dist/register.cjs', import.meta.url));
export const ENTRY = fileURLToPath(new URL('../../../dist/index.js', import.meta.url));

export interface Stage {
  readonly directory: string;
  readonly simulator: Simulator;
  readonly env: NodeJS.ProcessEnv;
  write(name: string, code: string): string;
  run(args: readonly string[], env?: NodeJS.ProcessEnv): Promise<Result>;
}

export interface Result {
  readonly stdout: string;
  readonly stderr: string;
  readonly code: number;
}

/** A folder with a configuration for `acme`: its first key is limited, its second revoked, its third good. */
export async function stage(
  options: { store?: 'memory' | 'sqlite'; provider?: object } = {},
): Promise<Stage> {
  const simulator = await startSimulator({
    auth: { in: 'header', name: 'x-api-key' },
    keys: {
      'key-limited': { name: 'limited', always: refuse(429, { retryAfterSeconds: 60 }) },
      'key-revoked': { name: 'revoked', always: refuse(401) },
      'key-good': { name: 'good' },
    },
  });
  const directory = mkdtempSync(join(tmpdir(), 'keymux-process-'));
  onTestFinished(async () => {
    await simulator.close();
    rmSync(directory, { recursive: true, force: true });
  });
  const write = (name: string, code: string): string => {
    const path = join(directory, name);
    writeFileSync(path, code);
    return path;
  };
  write(
    'keymux.config.json',
    JSON.stringify({
      store: { type: options.store ?? 'memory' },
      providers: {
        acme: {
          baseUrl: simulator.origin,
          auth: { in: 'header', name: 'x-api-key' },
          env: ['ACME_API_KEY'],
          ...options.provider,
        },
      },
    }),
  );
  const env: NodeJS.ProcessEnv = {
    ...process.env,
    KEYMUX_STATE_DIR: directory,
    ACME_API_KEY: 'key-limited',
    ACME_API_KEY_2: 'key-revoked',
    ACME_API_KEY_BACKUP: 'key-good',
    ACME_URL: simulator.origin,
  };
  return {
    directory,
    simulator,
    env,
    write,
    run: (args, extra = {}) =>
      new Promise((resolve) => {
        const options = { cwd: directory, env: { ...env, ...extra }, timeout: 25_000 };
        execFile(process.execPath, args, options, (error, stdout, stderr) => {
          resolve({
            stdout,
            stderr,
            code: error === null ? 0 : typeof error.code === 'number' ? error.code : -1,
          });
        });
      }),
  };
}

/** A program that asks once and prints what it got; written as anybody would write it. */
export const ASK = `
  const key = process.env.ACME_API_KEY;
  fetch(process.env.ACME_URL + '/quote', { headers: { 'x-api-key': key } })
    .then(async (response) => console.log(response.status, (await response.json()).key));`;
