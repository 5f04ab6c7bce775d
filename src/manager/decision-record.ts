import { mkdirSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { threadId } from 'node:worker_threads';
import type { Configuration } from '../config/configuration.js';
import type { DecisionRecord } from '../core/decision.js';
import type { Decisions } from './decisions.js';
import { messageOf } from './events.js';
import { onProcessExit } from './process-exit.js';
import { emitWarning } from './process-redaction.js';

/** All that is remembered, as it is written to a file. */
export function recordOf(
  decisions: Decisions | undefined,
  { services, providers }: Configuration,
  at: number,
): DecisionRecord {
  const first = (ids: readonly string[]): number => providers.get(ids[0] ?? '')?.retry.maxAttempts ?? 1;
  return {
    format: 'keymux-decisions',
    version: 1,
    at,
    forgotten: decisions?.forgotten ?? 0,
    maxAttempts: Object.fromEntries(
      [...services.values()].map((service) => [service.name, first(service.providers)]),
    ),
    requests: decisions?.requests() ?? [],
  };
}

/**
 * Writes the record once, when the process ends or the returned function is called. In a folder each process, and each
 * thread, has a file of its own; a process that decided nothing writes none.
 */
export function keepDecisions(path: string, record: () => DecisionRecord): () => void {
  let isWritten = false;
  const write = (): void => {
    if (isWritten) return;
    isWritten = true;
    forget();
    const content = record();
    if (content.requests.length === 0) return;
    try {
      writeFileSync(fileFor(path), `${JSON.stringify(content)}\n`, { mode: 0o600 });
    } catch (error) {
      emitWarning(`keymux could not write its decisions (KEYMUX_DECISIONS): ${messageOf(error)}`);
    }
  };
  const forget = onProcessExit(write);
  return write;
}

function fileFor(path: string): string {
  if (path.endsWith('/')) mkdirSync(path, { recursive: true, mode: 0o700 });
  if (statSync(path, { throwIfNoEntry: false })?.isDirectory() !== true) return path;
  return join(path, `decisions-${process.pid}-${threadId}.json`);
}
