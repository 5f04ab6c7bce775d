import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { maxInAnyWindow } from '#keymux/testing/rolling-window.js';
import { describe, expect, it, onTestFinished } from 'vitest';

function stateDirectory(): string {
  const directory = mkdtempSync(join(tmpdir(), 'keymux-restart-'));
  onTestFinished(() => rmSync(directory, { recursive: true, force: true }));
  return directory;
}

function member(name: string): string {
  return fileURLToPath(new URL(`./members/${name}.mjs`, import.meta.url));
}

function report(
  directory: string,
  keys: Record<string, string>,
  reports: { keyId: string; kind: string; forMs: number }[],
  mode: 'die' | 'end',
): unknown {
  const { stdout, stderr } = spawnSync(
    process.execPath,
    [member('reporter'), JSON.stringify(keys), JSON.stringify(reports), JSON.stringify(mode)],
    { encoding: 'utf8', env: { ...process.env, KEYMUX_STATE_DIR: directory } },
  );
  expect(stderr).toBe('');
  return JSON.parse(stdout);
}

const TWO_KEYS = { ACME_API_KEY: 'canary-key-one', ACME_API_KEY_2: 'canary-key-two' };

describe('a restart on the SQLite store', () => {
  it('knows cooldowns and rejections again after kill -9', () => {
    const directory = stateDirectory();
    report(
      directory,
      TWO_KEYS,
      [
        { keyId: 'acme/main', kind: 'rate-limited', forMs: 3_600_000 },
        { keyId: 'acme/2', kind: 'rejected', forMs: 3_600_000 },
      ],
      'die',
    );
    expect(report(directory, TWO_KEYS, [], 'end')).toEqual([
      ['acme/main', 'resting'],
      ['acme/2', 'rejected'],
    ]);
  });

  it('does not take a key that was swapped for the old one, and knows a key that moved', () => {
    const directory = stateDirectory();
    report(directory, TWO_KEYS, [{ keyId: 'acme/main', kind: 'rejected', forMs: 3_600_000 }], 'end');
    const swapped = { ACME_API_KEY: 'canary-key-new', ACME_API_KEY_BACKUP: 'canary-key-one' };
    expect(report(directory, swapped, [], 'end')).toEqual([
      ['acme/main', 'unproven'],
      ['acme/backup', 'rejected'],
    ]);
  });

  it('keeps no key in any file of the state directory', () => {
    const directory = stateDirectory();
    report(directory, TWO_KEYS, [{ keyId: 'acme/main', kind: 'rejected', forMs: 3_600_000 }], 'die');
    for (const file of readdirSync(directory)) {
      const bytes = readFileSync(join(directory, file));
      for (const key of Object.values(TWO_KEYS)) {
        for (const form of [key, Buffer.from(key).toString('base64'), Buffer.from(key).toString('hex')]) {
          expect(bytes.includes(form), `${file} holds ${form}`).toBe(false);
        }
      }
    }
  });
});

interface Spender {
  readonly granted: number[];
  next(): Promise<unknown>;
  kill(): Promise<void>;
}

function startSpender(directory: string, options: { limits: object[]; hold?: boolean }): Spender {
  const child = spawn(process.execPath, [member('spender'), JSON.stringify({ hold: false, ...options })], {
    stdio: ['ignore', 'pipe', 'inherit'],
    env: { ...process.env, KEYMUX_STATE_DIR: directory },
  });
  const granted: number[] = [];
  const lines = createInterface({ input: child.stdout });
  lines.on('line', (line) => granted.push(Number(line)));
  return {
    granted,
    next: () => once(lines, 'line'),
    kill: async () => {
      const closed = once(child, 'close');
      child.kill('SIGKILL');
      await closed;
    },
  };
}

describe('limits over processes', () => {
  it('hold in every rolling window through kill -9 and restart', async () => {
    const directory = stateDirectory();
    const limits = [
      { requests: 4, perMs: 400 },
      { requests: 30, perMs: 60_000 },
    ];
    const granted: number[] = [];
    // What a killed process had under way stays charged for half a minute, so later lives may get little.
    for (let life = 0; life < 6; life++) {
      const spenders = [startSpender(directory, { limits }), startSpender(directory, { limits })];
      // Each life ends at some moment of its choice: after its second grant, or while it waits for one. In the first
      // one nothing stands in the way of a grant.
      const twoGrants = Promise.any(spenders.map((spender) => spender.next().then(() => spender.next())));
      const tired = new Promise((resolve) => setTimeout(resolve, life === 0 ? 20_000 : 900));
      await Promise.race([twoGrants, tired]);
      await Promise.all(spenders.map((spender) => spender.kill()));
      granted.push(...spenders.flatMap((spender) => spender.granted));
    }
    granted.sort((a, b) => a - b);
    expect(maxInAnyWindow(granted, 400)).toBeLessThanOrEqual(4);
    expect(granted.length).toBeLessThanOrEqual(30);
    expect(granted.length).toBeGreaterThanOrEqual(2);
  });

  it('count a request that was under way when its process was killed', async () => {
    const directory = stateDirectory();
    const limits = [{ requests: 1, perMs: 60_000 }];
    const first = startSpender(directory, { limits, hold: true });
    await first.next();
    await first.kill();
    const second = startSpender(directory, { limits });
    const won = await Promise.race([
      second.next().then(() => 'granted'),
      new Promise((resolve) => setTimeout(() => resolve('refused'), 700)),
    ]);
    await second.kill();
    expect(won).toBe('refused');
  });
});
