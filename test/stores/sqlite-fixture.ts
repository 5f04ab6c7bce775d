import { type ChildProcess, fork } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { onTestFinished } from 'vitest';
import type { HealthRecord, LeaseRequest, Store, StoreNotice } from '#keymux/core/ports.js';
import { connect, loadDriver } from '#keymux/stores/sqlite/driver.js';
import type { Database } from '#keymux/stores/sqlite/driver.js';
import { createSqliteStore } from '#keymux/stores/sqlite/store.js';
import type { SqliteInternals, SqliteStoreOptions } from '#keymux/stores/sqlite/store.js';

export function temporaryDirectory(): string {
  const directory = mkdtempSync(join(tmpdir(), 'keymux-sqlite-'));
  onTestFinished(() => rmSync(directory, { recursive: true, force: true }));
  return directory;
}

export interface Watched {
  readonly store: Store;
  readonly notices: StoreNotice[];
}

/** A store that is closed when the test ends, and everything it had to say. */
export function makeStore(
  options: Partial<SqliteStoreOptions>,
  internals: Partial<SqliteInternals> = {},
): Watched {
  const notices: StoreNotice[] = [];
  const store = createSqliteStore(
    { now: Date.now, onNotice: (notice) => notices.push(notice), ...options },
    internals,
  );
  onTestFinished(async () => {
    await store.close();
  });
  return { store, notices };
}

export async function openStore(
  options: Partial<SqliteStoreOptions>,
  internals: Partial<SqliteInternals> = {},
): Promise<Watched> {
  const watched = makeStore(options, internals);
  await watched.store.open();
  return watched;
}

/** A bare connection, closed when the test ends. */
export function connectTo(path: string): Database {
  const db = connect(loadDriver(), path);
  onTestFinished(() => db.close());
  return db;
}

export function readValue(path: string, sql: string): unknown {
  return connectTo(path).prepare(sql).raw().get()?.[0];
}

export function resting(subject: string, version = 1): HealthRecord {
  return {
    subject,
    health: { status: 'resting', version, level: 1, reason: 'rejected', until: 9e12, source: 'guessed' },
    disabled: false,
    disabledVersion: 0,
  };
}

export const DAY_MS = 86_400_000;

export function dailyRequest(requests: number, want: number): LeaseRequest {
  return { bucket: 'p/b', windows: [{ requests, perMs: DAY_MS }], want, ttlMs: 1_000, slackMs: 50 };
}

export interface Member {
  readonly child: ChildProcess;
  /** The next message of the child; rejects if it ends before. */
  next(): Promise<unknown>;
  readonly exited: Promise<{ code: number | null; signal: NodeJS.Signals | null }>;
}

/** Starts `members/<name>.mjs` on the built package. */
export function startMember(name: string, args: readonly string[], execArgv: readonly string[] = []): Member {
  const file = fileURLToPath(new URL(`./members/${name}.mjs`, import.meta.url));
  const child = fork(file, [...args], {
    execArgv: [...execArgv],
    stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
  });
  onTestFinished(() => void child.kill('SIGKILL'));
  const received: unknown[] = [];
  const waiting: ((message: unknown) => void)[] = [];
  child.on('message', (message) => {
    const resolve = waiting.shift();
    if (resolve === undefined) received.push(message);
    else resolve(message);
  });
  const exited = new Promise<{ code: number | null; signal: NodeJS.Signals | null }>((resolve) =>
    child.on('exit', (code, signal) => resolve({ code, signal })),
  );
  return {
    child,
    exited,
    next: () =>
      received.length > 0
        ? Promise.resolve(received.shift())
        : Promise.race([
            new Promise<unknown>((resolve) => waiting.push(resolve)),
            exited.then(({ code, signal }) => {
              throw new Error(`${name} ended early: ${String(code ?? signal)}`);
            }),
          ]),
  };
}
