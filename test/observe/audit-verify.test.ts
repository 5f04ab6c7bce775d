import { createHash } from 'node:crypto';
import {
  appendFileSync,
  mkdirSync,
  readFileSync,
  readdirSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { allRecords, lastRecords } from '#keymux/observe/audit-folder.js';
import { signerFromFile } from '#keymux/observe/audit-signing.js';
import { verifyAudit } from '#keymux/observe/audit-verify.js';
import { lineAfter } from '#keymux/observe/audit-record.js';
import { describe, expect, it } from 'vitest';
import { auditPlace, batchOf } from './audit-folder.js';

type Place = ReturnType<typeof auditPlace>;

/** One file, or several: closed, with two administered keys in each. */
function written(files = 1): Place {
  const place = auditPlace();
  const { manager, audit } = place.start({}, { maxFileBytes: 1 });
  for (let count = 0; count < files; count += 1) {
    manager.disable('acme/main');
    manager.disable('acme/2');
    audit.flush();
  }
  audit.stop();
  return place;
}

const linesOf = (place: Place, index = 0): string[] => place.text(index).trimEnd().split('\n');
const write = (place: Place, lines: readonly string[], index = 0): void =>
  writeFileSync(place.pathOf(index), lines.map((line) => `${line}\n`).join(''));

async function firstFault(place: Place) {
  const { ok, faults } = await place.verify();
  expect(ok).toBe(false);
  return faults[0];
}

const anchorFolderOf = ({ stateFolder }: Place): string => {
  const anchors = join(stateFolder, 'audit-anchors');
  return join(anchors, readdirSync(anchors)[0] ?? 'none');
};

describe('verifyAudit', () => {
  it('finds nothing wrong where nothing is', async () => {
    const place = written(3);
    expect(await place.verify()).toMatchObject({ ok: true, files: 3, faults: [] });
    expect(await auditPlace().verify()).toMatchObject({ ok: true, files: 0, records: 0 });
  });

  it('notices a record that was edited, also where its hash was made anew', async () => {
    const place = written();
    const lines = linesOf(place);
    const index = lines.findIndex((line) => line.includes('acme/main'));
    write(place, lines.with(index, lines[index]!.replace('disable', 'enable')));
    expect(await firstFault(place)).toMatchObject({
      line: index + 1,
      why: expect.stringContaining('changed'),
    });
    expect(place.records()).toHaveLength(lines.length - 1);
    const body = `${lines[index]!.replace('disable', 'enable').slice(0, -75)}}`;
    const hash = createHash('sha256').update(body).digest('hex');
    write(place, lines.with(index, `${body.slice(0, -1)},"hash":"${hash}"}`));
    expect(await firstFault(place)).toMatchObject({ line: index + 2, why: expect.stringContaining('hang') });
  });

  it('notices a record that was taken out, put in twice, or moved', async () => {
    const place = written();
    const lines = linesOf(place);
    write(place, lines.toSpliced(2, 1));
    expect(await firstFault(place)).toMatchObject({ line: 3 });
    write(place, lines.toSpliced(3, 0, lines[2]!));
    expect(await firstFault(place)).toMatchObject({ line: 4 });
    write(place, lines.with(2, lines[3]!).with(3, lines[2]!));
    expect(await firstFault(place)).toMatchObject({ line: 3 });
    write(place, lines.slice(2));
    expect(await firstFault(place)).toMatchObject({ line: 1 });
    write(place, [...lines, lines[0]!]);
    expect(await firstFault(place)).toMatchObject({ line: lines.length + 1 });
  });

  it('notices a file that was shortened to a checkpoint, by its anchor or by a later file', async () => {
    const place = written(2);
    write(place, linesOf(place).slice(0, 2));
    expect(await firstFault(place)).toMatchObject({ line: 3, why: expect.stringContaining('shortened') });
    rmSync(anchorFolderOf(place), { recursive: true });
    expect(await firstFault(place)).toMatchObject({
      line: 3,
      why: expect.stringContaining('lacks a record'),
    });
  });

  it('notices a file that is gone, by its anchor or by a later file', async () => {
    const place = written(2);
    const [first = ''] = place.files();
    rmSync(place.pathOf(0));
    expect(await firstFault(place)).toEqual({ file: first, why: 'it is gone: this machine knows of it' });
    rmSync(anchorFolderOf(place), { recursive: true });
    expect(await firstFault(place)).toEqual({ file: first, why: expect.stringContaining('names it') });
  });

  it('notices files that were swapped or named otherwise', async () => {
    const place = written(2);
    const [one, two] = [place.pathOf(0), place.pathOf(1)];
    renameSync(one, `${one}.aside`);
    renameSync(two, one);
    renameSync(`${one}.aside`, two);
    expect(await firstFault(place)).toMatchObject({ line: 1, why: expect.stringContaining('another file') });
  });

  it('notices records that somebody without the key adds', async () => {
    const place = written();
    const lines = linesOf(place);
    const last = JSON.parse(lines.at(-1)!) as { seq: number; hash: string };
    const forged = lineAfter(last, { at: 1, type: 'administered', data: { action: 'enable' } });
    appendFileSync(place.pathOf(0), `${forged.line}\n`);
    expect(await firstFault(place)).toMatchObject({ line: lines.length + 1 });
    const open = auditPlace();
    const { manager, audit } = open.start();
    manager.disable('acme/main');
    audit.flush();
    const end = JSON.parse(linesOf(open).at(-1)!) as { seq: number; hash: string };
    const added = lineAfter(end, { at: 1, type: 'administered', data: { action: 'enable' } });
    const count = linesOf(open).length;
    appendFileSync(open.pathOf(0), `${added.line}\n`);
    expect(await firstFault(open)).toMatchObject({
      line: count + 1,
      why: expect.stringContaining('signed by nobody'),
    });
    const signature = Buffer.alloc(64).toString('base64');
    const checkpoint = lineAfter(added.link, { at: 1, type: 'checkpoint', data: { signature } });
    appendFileSync(open.pathOf(0), `${checkpoint.line}\n`);
    expect(await firstFault(open)).toMatchObject({
      line: count + 2,
      why: expect.stringContaining('signature'),
    });
  });

  it('notices a trail that another key signed', async () => {
    const place = written();
    const other = auditPlace();
    const signer = signerFromFile(join(other.stateFolder, 'audit-key.pem'));
    const [file = ''] = place.files();
    writeFileSync(join(place.folder, `${signer.fingerprint}.pem`), signer.publicKey);
    const opened = { type: 'opened', data: { file, key: signer.fingerprint, others: [] } };
    write(place, batchOf(signer, file, [opened]));
    expect(await firstFault(place)).toMatchObject({
      line: 1,
      why: expect.stringContaining('not known here'),
    });
    rmSync(anchorFolderOf(place), { recursive: true });
    const verdict = await place.verify();
    expect(verdict.ok).toBe(true);
    expect(verdict.unproven.join(' ')).toContain('--signed-by');
    expect((await place.verify({ signedBy: [signer.fingerprint] })).ok).toBe(true);
    expect((await place.verify({ signedBy: ['0'.repeat(32)] })).ok).toBe(false);
  });

  it('notices that a public key was exchanged or taken away', async () => {
    const place = written();
    const name = readdirSync(place.folder).find((one) => one.endsWith('.pem'))!;
    const other = signerFromFile(join(auditPlace().stateFolder, 'audit-key.pem'));
    for (const text of [other.publicKey, 'no key']) {
      writeFileSync(join(place.folder, name), text);
      expect(await firstFault(place)).toMatchObject({ line: 1, why: expect.stringContaining('public key') });
    }
    rmSync(join(place.folder, name));
    expect(await firstFault(place)).toMatchObject({ line: 1, why: expect.stringContaining('public key') });
  });

  it('notices an anchor that was changed', async () => {
    const place = written();
    const folder = anchorFolderOf(place);
    const path = join(folder, readdirSync(folder)[0]!);
    const anchor = JSON.parse(readFileSync(path, 'utf8')) as Record<string, unknown>;
    for (const text of ['no JSON', 'null', '{}', JSON.stringify({ ...anchor, seq: 'x' })]) {
      writeFileSync(path, text);
      expect(await firstFault(place)).toMatchObject({ why: expect.stringContaining('was changed') });
    }
    writeFileSync(path, JSON.stringify({ ...anchor, hash: '0'.repeat(64) }));
    expect(await firstFault(place)).toMatchObject({ why: expect.stringContaining('not the record') });
    writeFileSync(path, JSON.stringify({ ...anchor, key: '0'.repeat(32) }));
    expect((await place.verify()).ok).toBe(false);
    const lines = linesOf(place);
    const early = JSON.parse(lines[1]!) as { seq: number; hash: string };
    writeFileSync(path, JSON.stringify({ ...anchor, seq: early.seq, hash: early.hash }));
    expect(await firstFault(place)).toMatchObject({
      line: 3,
      why: expect.stringContaining('after the file was closed'),
    });
  });

  it('says what it cannot prove', async () => {
    const place = written(2);
    rmSync(anchorFolderOf(place), { recursive: true });
    const { ok, unproven } = await place.verify();
    expect(ok).toBe(true);
    expect(unproven.join('\n')).toContain('2 of 2 files are not known to this machine');
    expect(unproven.join('\n')).toContain('killed');
  });

  it('takes a file for whole that is being written', async () => {
    const place = auditPlace();
    const { manager, audit } = place.start();
    manager.disable('acme/main');
    audit.flush();
    expect((await place.verify()).ok).toBe(true);
    const lines = linesOf(place);
    const last = JSON.parse(lines.at(-1)!) as { seq: number; hash: string };
    const signer = signerFromFile(join(place.stateFolder, 'audit-key.pem'));
    const next = batchOf(signer, place.files()[0]!, [{ type: 'administered', data: {} }], last).join('\n');
    // What is written in two steps is looked at again.
    appendFileSync(place.pathOf(0), next.slice(0, -20));
    const verdict = place.verify();
    appendFileSync(place.pathOf(0), `${next.slice(-20)}\n`);
    expect((await verdict).ok).toBe(true);
  });

  it('looks again where a program takes files away meanwhile', async () => {
    const place = auditPlace();
    const { manager, audit } = place.start({}, { maxFileBytes: 1, keep: 3 });
    const begin = (): void => {
      manager.disable('acme/main');
      audit.flush();
    };
    for (let count = 0; count < 3; count += 1) begin();
    const gone = place.files();
    // The first file is read before this returns, the second one is not.
    const verdict = place.verify();
    for (let count = 0; count < 3; count += 1) begin();
    expect(place.files().some((file) => gone.includes(file))).toBe(false);
    expect(await verdict).toMatchObject({ ok: true, files: 3, faults: [] });
  });

  it('names a file that cannot be read, and leaves out folders and what points nowhere', async () => {
    const place = written(2);
    const [first = '', second = ''] = place.files();
    mkdirSync(join(place.folder, first.replace('.jsonl', '-folder.jsonl')));
    symlinkSync(join(place.folder, 'none'), join(place.folder, first.replace('.jsonl', '-link.jsonl')));
    expect(await place.verify()).toMatchObject({ ok: true, files: 2 });
    rmSync(join(place.folder, first));
    symlinkSync(place.root, join(place.folder, first));
    expect(await firstFault(place)).toEqual({ file: first, why: 'it cannot be read (EISDIR)' });
    expect(place.files()).toContain(second);
    expect(() => [...allRecords(place.folder)]).toThrow(
      expect.objectContaining({
        code: 'KEYMUX_AUDIT_UNAVAILABLE',
        message: expect.stringContaining('EISDIR'),
      }),
    );
    expect(lastRecords(place.folder, 1)).toMatchObject([{ file: second, type: 'closed' }]);
  });

  it('says where the folder is none', async () => {
    const { root } = auditPlace();
    const path = join(root, 'file');
    writeFileSync(path, '');
    const refused = expect.objectContaining({
      code: 'KEYMUX_AUDIT_UNAVAILABLE',
      message: `${path} of the audit trail cannot be read: ENOTDIR.`,
    }) as unknown;
    await expect(verifyAudit(path)).rejects.toEqual(refused);
    expect(() => lastRecords(path, 1)).toThrow(refused);
  });

  it('takes an anchor that a loss of power left empty for none', async () => {
    const place = written();
    const folder = anchorFolderOf(place);
    const path = join(folder, readdirSync(folder)[0]!);
    writeFileSync(path, '');
    // One that points nowhere is as one that was taken away while we looked.
    symlinkSync(join(folder, 'none'), join(folder, 'gone.json'));
    expect(await place.verify()).toMatchObject({ ok: true });
    rmSync(path);
    mkdirSync(path);
    expect(await firstFault(place)).toMatchObject({ why: expect.stringContaining('was changed') });
  });

  it('believes nobody who holds a signing key, and writes what is no head', async () => {
    const place = written();
    const signer = signerFromFile(join(place.stateFolder, 'audit-key.pem'));
    const [file = ''] = place.files();
    rmSync(anchorFolderOf(place), { recursive: true });
    const opened = (data: object) => ({ type: 'opened', data: { file, key: signer.fingerprint, ...data } });
    const removed = { type: 'removed', data: { file: 7 } };
    const odd = opened({ previous: 'x', others: [null, 7, { file: 1, head: 'x' }, { file }] });
    write(place, batchOf(signer, file, [odd, removed]));
    expect(await place.verify()).toMatchObject({ ok: true, records: 3 });
    for (const key of [undefined, 7, '../audit-key', '0'.repeat(32)]) {
      write(place, batchOf(signer, file, [opened({ key })]));
      expect(await firstFault(place)).toMatchObject({ line: 1, why: expect.stringContaining('public key') });
    }
  });

  it('notices a key that no anchor names, also where the anchors of others do', async () => {
    const place = written(2);
    const folder = anchorFolderOf(place);
    const [first = '', second = ''] = place.files();
    const path = join(folder, `${second}.json`);
    const anchor = JSON.parse(readFileSync(path, 'utf8')) as object;
    writeFileSync(path, JSON.stringify({ ...anchor, key: '0'.repeat(32) }));
    const { faults } = await place.verify();
    expect(faults).toEqual([{ file: second, line: 1, why: expect.stringContaining('with another key') }]);
    expect(first).not.toBe(second);
  });
});
