/** An audit folder of its own for a test, and managers that write to it. */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { startAudit } from '#keymux/observe/audit.js';
import type { AuditOptions } from '#keymux/observe/audit.js';
import { allRecords, auditFiles } from '#keymux/observe/audit-folder.js';
import { lineAfter, NO_HASH, signedText } from '#keymux/observe/audit-record.js';
import type { Link, NewRecord } from '#keymux/observe/audit-record.js';
import type { AuditSigner } from '#keymux/observe/audit-signing.js';
import { verifyAudit } from '#keymux/observe/audit-verify.js';
import { onTestFinished } from 'vitest';
import { acmeManager } from '../manager/acme.js';
import type { AcmeOptions } from '../manager/acme.js';

export function auditPlace() {
  const root = mkdtempSync(join(tmpdir(), 'keymux-audit-'));
  onTestFinished(() => rmSync(root, { recursive: true, force: true }));
  const folder = join(root, 'audit');
  const stateFolder = join(root, 'state');
  const warnings: string[] = [];
  const options: AuditOptions = {
    path: folder,
    stateFolder,
    application: 'test',
    // Tests say when.
    flushEveryMs: 3_600_000,
    logger: { warn: (message) => void warnings.push(message), info: () => {} },
  };
  return {
    root,
    folder,
    stateFolder,
    options,
    warnings,
    start(acme: AcmeOptions = {}, more: AuditOptions = {}) {
      const manager = acmeManager(acme);
      const audit = startAudit(manager, { ...options, ...more });
      onTestFinished(() => audit.stop());
      return { manager, audit };
    },
    files: () => auditFiles(folder),
    pathOf: (index: number) => join(folder, auditFiles(folder)[index] ?? 'none'),
    records: () => [...allRecords(folder)],
    types: () => [...allRecords(folder)].map(({ type }) => type),
    text: (index = 0) => readFileSync(join(folder, auditFiles(folder)[index] ?? 'none'), 'utf8'),
    verify: (more: { readonly signedBy?: readonly string[] } = {}) =>
      verifyAudit(folder, { stateFolder, ...more }),
  };
}

/** The lines of a batch, as whoever holds a signing key can write them. */
export function batchOf(
  signer: AuditSigner,
  file: string,
  records: readonly Omit<NewRecord, 'at'>[],
  after: Link = { seq: 0, hash: NO_HASH },
): string[] {
  let link = after;
  const lines: string[] = [];
  const add = (record: Omit<NewRecord, 'at'>): void => {
    const next = lineAfter(link, { at: 1, ...record });
    lines.push(next.line);
    link = next.link;
  };
  records.forEach(add);
  add({ type: 'checkpoint', data: { signature: signer.sign(signedText(file, link)) } });
  return lines;
}
