import { rmSync, statSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { auditOnce, startAudit, startConfiguredAudit } from '#keymux/observe/audit.js';
import { allRecords } from '#keymux/observe/audit-folder.js';
import { AuditTrail, MOST_WAITING } from '#keymux/observe/audit-trail.js';
import { refuse } from '#keymux/testing/script.js';
import { startSimulator } from '#keymux/testing/simulator.js';
import { describe, expect, it, onTestFinished } from 'vitest';
import { acmeConfig, acmeManager } from '../manager/acme.js';
import { auditPlace } from './audit-folder.js';

const CANARIES = ['CANARY-audit-one-55b1', 'CANARY-audit-two-c0de'];

describe('the trail', () => {
  it('tells who took which key how often, and never the key', async () => {
    const place = auditPlace();
    const { manager, audit } = place.start({ keys: CANARIES });
    for (let count = 0; count < 3; count += 1) manager.getApiKey('acme');
    manager.resolve('acme');
    audit.stop();
    const access = place.records().find(({ type }) => type === 'access');
    expect(access?.data).toEqual({
      key: 'acme/main',
      service: 'acme',
      way: 'library',
      count: 4,
      callers: [expect.stringContaining('audit.test.ts')],
    });
    expect(place.types()).toEqual(['opened', 'checkpoint', 'access', 'closed', 'checkpoint']);
    for (const canary of CANARIES) expect(place.text()).not.toContain(canary);
    expect(await place.verify()).toMatchObject({ ok: true, files: 1, records: 5, faults: [] });
  });

  it('tells of attempts, failovers, requests and rests', async () => {
    const simulator = await startSimulator({
      keys: { [CANARIES[0] ?? '']: { always: refuse('rejected') }, [CANARIES[1] ?? '']: {} },
      auth: { in: 'header', name: 'x-api-key' },
    });
    onTestFinished(() => simulator.close());
    const place = auditPlace();
    const { manager, audit } = place.start({ keys: CANARIES, baseUrl: simulator.origin });
    expect((await manager.fetch('acme', '/x')).status).toBe(200);
    audit.flush();
    expect(new Set(place.types())).toEqual(
      new Set(['opened', 'rejected', 'attempt', 'failover', 'request', 'access', 'checkpoint']),
    );
    const accesses = place.records().filter(({ type }) => type === 'access');
    expect(accesses.map(({ data }) => [data['key'], data['way'], data['count']])).toEqual([
      ['acme/main', 'library', 1],
      ['acme/2', 'library', 1],
    ]);
    for (const canary of CANARIES) expect(place.text()).not.toContain(canary);
  });

  it('tells what people change, and who', () => {
    const place = auditPlace();
    const { manager, audit } = place.start();
    manager.disable('acme/main', { by: 'cli' });
    manager.enable('acme/main');
    manager.reset('acme/main');
    manager.report('acme/main', 'success', { by: 'cli' });
    manager.reload({ by: 'gateway token admin' });
    audit.flush();
    const told = place.records().filter(({ type }) => type === 'administered');
    expect(told.map(({ data }) => data)).toEqual([
      { action: 'disable', subject: 'acme/main', by: 'cli' },
      { action: 'enable', subject: 'acme/main' },
      { action: 'reset', subject: 'acme/main' },
      { action: 'report', subject: 'acme/main', by: 'cli' },
      { action: 'reload', by: 'gateway token admin' },
    ]);
  });

  it('says which program wrote it, without its arguments', () => {
    const place = auditPlace();
    const { manager, audit } = place.start();
    manager.getApiKey('acme');
    audit.flush();
    const [opened] = place.records();
    expect(opened).toMatchObject({
      type: 'opened',
      seq: 1,
      data: { pid: process.pid, application: 'test', host: expect.any(String), version: expect.any(String) },
    });
    expect(JSON.stringify(opened)).not.toContain(process.argv[1]);
  });

  it('names the program as its package does, else as its main file', () => {
    const name = process.env['npm_package_name'];
    onTestFinished(() => {
      if (name === undefined) delete process.env['npm_package_name'];
      else process.env['npm_package_name'] = name;
    });
    const { application, ...others } = auditPlace().options;
    const nameOf = (): unknown => {
      const { folder } = auditPlace();
      const manager = acmeManager();
      const audit = startAudit(manager, { ...others, path: folder });
      manager.disable('acme/main');
      audit.stop();
      const [opened] = allRecords(folder);
      return opened?.data['application'];
    };
    process.env['npm_package_name'] = 'a-package';
    expect([application, nameOf()]).toEqual(['test', 'a-package']);
    delete process.env['npm_package_name'];
    const [node = '', main = ''] = process.argv;
    expect(nameOf()).toBe(basename(main));
    const { argv } = process;
    onTestFinished(() => void (process.argv = argv));
    process.argv = [node];
    expect(nameOf()).toBe('node');
  });

  it('is kept where the configuration says so, and else not at all', () => {
    const place = auditPlace();
    expect(startConfiguredAudit(acmeManager())).toBeUndefined();
    const env = { ACME_API_KEY: 'key-one', KEYMUX_STATE_DIR: place.stateFolder };
    const config = { ...acmeConfig(), audit: { path: place.folder } };
    const manager = acmeManager({ options: { env, config, cwd: place.root } });
    const audit = startConfiguredAudit(manager);
    onTestFinished(() => audit?.stop());
    expect(audit?.folder).toBe(place.folder);
    const unnamed = startAudit(acmeManager(), { env });
    onTestFinished(() => unnamed.stop());
    expect(unnamed.folder).toBe(join(place.stateFolder, 'audit'));
  });

  it('ends with its manager, when what is under way has come to its end', async () => {
    const place = auditPlace();
    const { manager, audit } = place.start({}, { flushEveryMs: 2 });
    const lease = await manager.acquire('acme');
    const closing = manager.shutdown();
    await expect.poll(() => place.types(), { timeout: 15_000 }).toContain('access');
    expect(place.types()).not.toContain('closed');
    lease.report({ kind: 'rejected', scope: 'key', executed: 'no' });
    lease.end();
    await closing;
    await expect.poll(() => place.types(), { timeout: 15_000 }).toContain('closed');
    audit.flush();
    audit.stop();
    expect(place.types()).toEqual(expect.arrayContaining(['rejected', 'attempt']));
    expect(place.types().slice(-2)).toEqual(['closed', 'checkpoint']);
    expect(manager.accesses.isActive).toBe(false);
  });

  it('leaves no file where nothing happened', () => {
    const place = auditPlace();
    const { audit } = place.start();
    audit.flush();
    audit.stop();
    audit.stop();
    expect(place.files()).toEqual([]);
  });

  it('keeps others out of its folder, its files and its signing key', () => {
    const place = auditPlace();
    const { manager, audit } = place.start();
    manager.getApiKey('acme');
    audit.flush();
    const modeOf = (path: string): number => statSync(path).mode & 0o777;
    expect([place.folder, place.pathOf(0), join(place.stateFolder, 'audit-key.pem')].map(modeOf)).toEqual([
      0o700, 0o600, 0o600,
    ]);
  });

  it('writes by itself, at once where much happens', async () => {
    const place = auditPlace();
    const { manager } = place.start({}, { flushEveryMs: 5 });
    manager.getApiKey('acme');
    await expect.poll(() => place.types(), { timeout: 15_000 }).toContain('access');
    const other = auditPlace();
    const { manager: busy } = other.start();
    for (let count = 0; count < 1_000; count += 1) busy.disable('acme/main');
    await expect.poll(() => other.types().length, { timeout: 15_000 }).toBeGreaterThanOrEqual(1_000);
  });

  it('shows its newest records and checks itself', async () => {
    const place = auditPlace();
    const { manager, audit } = place.start();
    manager.disable('acme/main');
    manager.disable('acme/2');
    expect(audit.last(1).map(({ data }) => data['subject'])).toEqual(['acme/2']);
    expect((await audit.verify()).ok).toBe(true);
  });
});

describe('files', () => {
  it('follow on each other where one is full', async () => {
    const place = auditPlace();
    const { manager, audit } = place.start({}, { maxFileBytes: 1 });
    for (const name of ['acme/main', 'acme/2', 'acme/main']) {
      manager.disable(name);
      audit.flush();
    }
    expect(place.files()).toHaveLength(3);
    const opened = place.records().filter(({ type }) => type === 'opened');
    expect(opened.map(({ data }) => (data['previous'] as { file: string } | undefined)?.file)).toEqual([
      undefined,
      ...place.files().slice(0, 2),
    ]);
    expect(await place.verify()).toMatchObject({ ok: true, files: 3 });
  });

  it('follow on each other where one is old', () => {
    const place = auditPlace();
    const { manager, audit } = place.start({}, { maxFileAgeMs: 0 });
    for (const name of ['acme/main', 'acme/2']) {
      manager.disable(name);
      audit.flush();
    }
    expect(place.files()).toHaveLength(2);
  });

  it('are removed beyond the number that is kept, which the trail notes', async () => {
    const place = auditPlace();
    const { manager, audit } = place.start({}, { maxFileBytes: 1, keep: 2 });
    const first: string[] = [];
    for (let count = 0; count < 5; count += 1) {
      manager.disable('acme/main');
      audit.flush();
      first.push(...place.files().slice(0, 1));
    }
    expect(place.files()).toHaveLength(2);
    expect(place.files()).not.toContain(first[0]);
    expect(place.types()).toContain('removed');
    expect(await place.verify()).toMatchObject({ ok: true, files: 2 });
  });

  it('of other programs are not removed while they may write to them', () => {
    const place = auditPlace();
    const { manager, audit } = place.start();
    manager.disable('acme/main');
    audit.flush();
    const other = place.start({}, { maxFileBytes: 1, keep: 1 });
    for (let count = 0; count < 3; count += 1) {
      other.manager.disable('acme/main');
      other.audit.flush();
    }
    expect(place.files()).toHaveLength(4);
  });

  it('that somebody takes away are missed, and the trail goes on in a new one', async () => {
    const place = auditPlace();
    const { manager, audit } = place.start();
    manager.disable('acme/main');
    audit.flush();
    const [gone = ''] = place.files();
    rmSync(place.pathOf(0));
    manager.disable('acme/2');
    audit.flush();
    expect(place.files()).not.toContain(gone);
    const verdict = await place.verify();
    expect(verdict.faults).toEqual([{ file: gone, why: expect.stringContaining('it is gone') }]);
  });
});

describe('a trail that cannot be written', () => {
  it('says so once, goes on giving keys, and writes later what happened meanwhile', async () => {
    const place = auditPlace();
    writeFileSync(place.folder, 'in the way');
    const { manager, audit } = place.start();
    const told: string[] = [];
    manager.on('audit', ({ change }) => void told.push(change));
    manager.disable('acme/main');
    audit.flush();
    audit.flush();
    expect(manager.getApiKey('acme')).toBe('key-two');
    expect(place.warnings).toEqual([expect.stringContaining('cannot be written: EEXIST')]);
    rmSync(place.folder);
    audit.flush();
    audit.flush();
    expect(told).toEqual(['unavailable', 'resumed']);
    expect(place.types()).toEqual(
      expect.arrayContaining(['resumed', 'administered', 'access', 'audit', 'checkpoint']),
    );
    expect((await place.verify()).ok).toBe(true);
  });

  it('tries again by itself, less often', async () => {
    const place = auditPlace();
    writeFileSync(place.folder, 'in the way');
    const { manager, audit } = place.start({}, { flushEveryMs: 2 });
    manager.disable('acme/main');
    await expect.poll(() => audit.trouble, { timeout: 15_000 }).toBeDefined();
    rmSync(place.folder);
    await expect.poll(() => audit.trouble, { timeout: 15_000 }).toBeUndefined();
    expect(place.types()).toEqual(expect.arrayContaining(['resumed', 'administered']));
    expect(place.warnings).toHaveLength(2);
  });

  it('says what went wrong that no system call says, and takes nothing more after its end', () => {
    const { folder } = auditPlace();
    const told: string[] = [];
    let opened = 0;
    const trail = new AuditTrail({
      openFiles: () => {
        opened += 1;
        throw new Error('something odd');
      },
      folder,
      now: () => 1,
      drain: () => [],
      onTrouble: ({ message }) => void told.push(message),
      onResumed: () => {},
    });
    trail.add({ at: 1, type: 'x', data: {} });
    trail.close();
    expect(told).toEqual([`The audit trail in ${folder} cannot be written: something odd.`]);
    trail.add({ at: 1, type: 'x', data: {} });
    trail.flush(true);
    trail.close();
    expect([opened, told.length]).toEqual([1, 1]);
  });

  it('counts what it had to forget, which is no access', async () => {
    const place = auditPlace();
    writeFileSync(place.folder, 'in the way');
    const { manager, audit } = place.start();
    manager.disable('acme/main');
    audit.flush();
    for (let count = 0; count < MOST_WAITING + 10; count += 1) manager.disable('acme/main');
    for (let count = 0; count < 3; count += 1) {
      manager.getApiKey('acme');
      audit.flush();
    }
    rmSync(place.folder);
    audit.flush();
    const dropped = place.records().find(({ type }) => type === 'dropped');
    // One more waited from before, and the word of the trouble itself.
    expect(dropped?.data).toEqual({ records: 12 });
    expect(place.records().filter(({ type }) => type === 'access')).toMatchObject([{ data: { count: 3 } }]);
    expect(place.types().filter((type) => type === 'resumed')).toHaveLength(1);
    expect((await place.verify()).ok).toBe(true);
  });
});

describe('auditOnce', () => {
  it('writes one record, where a trail is configured', async () => {
    const place = auditPlace();
    process.env['KEYMUX_STATE_DIR'] = place.stateFolder;
    onTestFinished(() => void delete process.env['KEYMUX_STATE_DIR']);
    auditOnce({}, { type: 'vault', data: { action: 'set' } });
    auditOnce(
      { audit: { path: place.folder, failClosed: false } },
      { type: 'vault', data: { action: 'set', name: 'acme/main' } },
    );
    expect(place.types()).toEqual(['opened', 'checkpoint', 'vault', 'closed', 'checkpoint']);
    expect((await place.verify()).ok).toBe(true);
  });

  it('throws where it must not fail, and else warns', () => {
    const place = auditPlace();
    writeFileSync(place.folder, 'in the way');
    process.env['KEYMUX_STATE_DIR'] = place.stateFolder;
    onTestFinished(() => void delete process.env['KEYMUX_STATE_DIR']);
    const { logger = { warn: () => {}, info: () => {} } } = place.options;
    const record = { type: 'vault', data: {} };
    auditOnce({ audit: { path: place.folder, failClosed: false } }, record, { logger });
    expect(place.warnings).toHaveLength(1);
    expect(() => auditOnce({ audit: { path: place.folder, failClosed: true } }, record)).toThrow(
      expect.objectContaining({ code: 'KEYMUX_AUDIT_UNAVAILABLE' }),
    );
  });
});
