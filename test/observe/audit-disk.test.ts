import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, rmSync, statSync, utimesSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import { auditPlace } from './audit-folder.js';

const REFUSED = expect.objectContaining({ code: 'KEYMUX_AUDIT_UNAVAILABLE' }) as unknown;

/** How large any file may get that this process writes to: what is beyond is refused as on a full disk. */
function limitFiles(bytes: number | 'unlimited'): void {
  execFileSync('prlimit', ['--pid', String(process.pid), `--fsize=${bytes}:`]);
}

/** For what `work` does, which must not wait for anything. */
function withFullDisk(bytes: number, work: () => void): void {
  onTestFinished(() => limitFiles('unlimited'));
  limitFiles(bytes);
  try {
    work();
  } finally {
    limitFiles('unlimited');
  }
}

describe('a full disk', () => {
  it('leaves what is whole, lets no key out where it must not, and nothing is lost when there is space again', async () => {
    const place = auditPlace();
    const { manager, audit } = place.start({}, { failClosed: true });
    let taken = 0;
    const take = (): void => {
      manager.getApiKey('acme');
      taken += 1;
    };
    take();
    audit.flush();
    const { size } = statSync(place.pathOf(0));
    withFullDisk(size + 100, () => {
      take();
      manager.disable('acme/2');
      audit.flush();
      expect(place.warnings).toEqual([expect.stringContaining('cannot be written: EFBIG')]);
      expect(() => manager.getApiKey('acme')).toThrow(REFUSED);
      expect(statSync(place.pathOf(0)).size).toBe(size);
    });
    expect((await place.verify()).ok).toBe(true);
    audit.flush();
    take();
    audit.flush();
    expect(audit.trouble).toBeUndefined();
    const counts = place.records().map(({ data }) => Number(data['count'] ?? 0));
    expect([taken, counts.reduce((sum, count) => sum + count, 0)]).toEqual([3, 3]);
    const told = place.types().filter((type) => !['access', 'checkpoint'].includes(type));
    expect(told).toEqual(['opened', 'resumed', 'administered', 'audit', 'audit']);
    expect(await place.verify()).toMatchObject({ ok: true, files: 1, faults: [] });
  });

  it('leaves no half begun file', async () => {
    const place = auditPlace();
    const { manager, audit } = place.start();
    manager.disable('acme/main');
    // Room for the keys; not for the first record of a file.
    withFullDisk(200, () => audit.flush());
    expect([audit.trouble, place.files()]).toEqual([REFUSED, []]);
    audit.flush();
    expect(place.types()).toEqual(expect.arrayContaining(['opened', 'resumed', 'administered']));
    expect(await place.verify()).toMatchObject({ ok: true, files: 1 });
  });

  it('keeps a full file from being closed, which follows later', async () => {
    const place = auditPlace();
    const { manager, audit } = place.start({}, { maxFileBytes: 1 });
    manager.disable('acme/main');
    audit.flush();
    const { size } = statSync(place.pathOf(0));
    manager.disable('acme/2');
    withFullDisk(size, () => audit.flush());
    expect(audit.trouble).toEqual(REFUSED);
    audit.flush();
    // One of them tells of the trouble's end.
    expect(place.files()).toHaveLength(3);
    expect(place.types().filter((type) => type === 'administered')).toHaveLength(2);
    expect(await place.verify()).toMatchObject({ ok: true, files: 3 });
  });

  it('costs a program that ends then what waited, which it says', async () => {
    const place = auditPlace();
    const { manager, audit } = place.start();
    manager.disable('acme/main');
    audit.flush();
    const { size } = statSync(place.pathOf(0));
    manager.disable('acme/2');
    withFullDisk(size, () => audit.stop());
    expect(place.warnings).toEqual([expect.stringContaining('cannot be written: EFBIG')]);
    expect(place.types()).toEqual(['opened', 'checkpoint', 'administered', 'checkpoint']);
    expect((await place.verify()).ok).toBe(true);
  });
});

describe('anchors that cannot be kept', () => {
  it('hinder no record, and are kept as soon as they can be', async () => {
    const place = auditPlace();
    const anchors = join(place.stateFolder, 'audit-anchors');
    mkdirSync(place.stateFolder);
    writeFileSync(anchors, 'in the way');
    const { manager, audit } = place.start();
    manager.disable('acme/main');
    audit.flush();
    const { ok, unproven } = await place.verify();
    expect([ok, unproven.join()]).toEqual([true, expect.stringContaining('1 of 1 files are not known')]);
    expect(audit.trouble).toBeUndefined();
    rmSync(anchors);
    await expect
      .poll(
        () => {
          manager.enable('acme/main');
          audit.flush();
          return existsSync(anchors) && readdirSync(join(anchors, readdirSync(anchors)[0] ?? ''));
        },
        { timeout: 15_000 },
      )
      .toEqual([`${place.files()[0] ?? ''}.json`]);
  });

  it('are told of where a file is closed, which is whole all the same', async () => {
    const place = auditPlace();
    mkdirSync(place.stateFolder);
    writeFileSync(join(place.stateFolder, 'audit-anchors'), 'in the way');
    const { manager, audit } = place.start();
    manager.disable('acme/main');
    audit.stop();
    expect(place.warnings).toEqual([expect.stringContaining('cannot be written')]);
    expect(place.types().slice(-2)).toEqual(['closed', 'checkpoint']);
    expect((await place.verify()).ok).toBe(true);
  });

  it('are not left half written', () => {
    const place = auditPlace();
    const { manager, audit } = place.start();
    manager.disable('acme/main');
    audit.stop();
    const anchors = join(place.stateFolder, 'audit-anchors');
    const folder = join(anchors, readdirSync(anchors)[0] ?? '');
    const later = place.start();
    later.manager.disable('acme/main');
    later.audit.flush();
    // A folder stands where its anchor belongs.
    const [, open = ''] = place.files();
    rmSync(join(folder, `${open}.json`), { force: true });
    mkdirSync(join(folder, `${open}.json`, 'x'), { recursive: true });
    later.audit.stop();
    expect(place.warnings).toEqual([expect.stringContaining('cannot be written: EISDIR')]);
    expect(readdirSync(folder).filter((name) => name.endsWith('.tmp'))).toEqual([]);
  });
});

describe('files', () => {
  it('that somebody took away before the end are missed, and the end is in another one', async () => {
    const place = auditPlace();
    const { manager, audit } = place.start();
    manager.disable('acme/main');
    audit.flush();
    const [gone = ''] = place.files();
    rmSync(place.pathOf(0));
    manager.disable('acme/2');
    audit.stop();
    expect(place.types()).toEqual(['opened', 'checkpoint', 'administered', 'closed', 'checkpoint']);
    expect((await place.verify()).faults).toMatchObject([{ file: gone }]);
  });

  it('that a killed program left are removed in their turn when they are old, whatever is in them', async () => {
    const place = auditPlace();
    mkdirSync(place.folder);
    const left = '20200101T000000000Z-1.jsonl';
    const path = join(place.folder, left);
    writeFileSync(path, '');
    const { manager, audit } = place.start({}, { keep: 1 });
    manager.disable('acme/main');
    audit.flush();
    audit.stop();
    expect(place.files()).toEqual([left, expect.any(String)]);
    const [, closed] = place.files();
    utimesSync(path, 0, 0);
    const later = place.start({}, { keep: 1 });
    later.manager.disable('acme/main');
    later.audit.flush();
    expect(place.files()).toHaveLength(1);
    const removed = place.records().flatMap(({ type, data }) => (type === 'removed' ? [data] : []));
    expect(removed).toEqual([
      { file: left, head: '0'.repeat(64) },
      { file: closed, head: expect.stringMatching(/[1-9a-f]/) },
    ]);
    expect((await place.verify()).ok).toBe(true);
  });
});
