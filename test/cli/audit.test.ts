import { mkdirSync, readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { KeyManager } from '#keymux/manager/key-manager.js';
import { startAudit } from '#keymux/observe/audit.js';
import { verifyAudit } from '#keymux/observe/audit-verify.js';
import { refuse } from '#keymux/testing/script.js';
import { startSimulator } from '#keymux/testing/simulator.js';
import { describe, expect, it, onTestFinished } from 'vitest';
import { ACME, CANARY, Project } from './keymux-process.js';

const ENV = { ACME_API_KEY: `${CANARY}-one`, ACME_API_KEY_2: `${CANARY}-two` };

/** A project with a trail of two files: who looked at a key, and who took it out of use. */
async function audited(): Promise<Project> {
  const project = new Project({ 'keymux.config.yaml': `${ACME}audit: { path: ./trail }\n` }, ENV);
  const manager = await project.manager();
  keep(project, manager, () => manager.getApiKey('acme'));
  keep(project, manager, () => manager.disable('acme/2', { by: 'cli' }));
  return project;
}

/** What `work` does, in a file of its own. */
function keep(project: Project, manager: KeyManager, work: () => void): void {
  const audit = startAudit(manager, { stateFolder: project.path('state'), application: '=cmd' });
  work();
  audit.stop();
}

const filesOf = (project: Project): string[] =>
  readdirSync(project.path('trail'))
    .filter((name) => name.endsWith('.jsonl'))
    .toSorted();

describe('keymux audit', () => {
  it('shows the newest records, those of commands too', async () => {
    const project = await audited();
    expect((await project.keymux(['keys', 'enable', 'acme/2'])).code).toBe(0);
    const tail = await project.keymux(['audit', 'tail']);
    expect(tail.code).toBe(0);
    const lines = tail.stdout.trimEnd().split('\n');
    expect(lines.find((line) => line.includes(' access '))).toMatch(
      /^\d{4}-\d\d-\d\dT\S+Z access key=acme\/main service=acme way=library count=1 callers=\[/,
    );
    const administered = lines.filter((line) => line.includes(' administered '));
    expect(administered).toEqual([
      expect.stringContaining('action=disable subject=acme/2 by=cli'),
      expect.stringContaining('action=enable subject=acme/2 by=cli'),
    ]);
    const one = await project.keymux(['audit', 'tail', '--last', '1', '--json']);
    expect(JSON.parse(one.stdout)).toMatchObject({ type: 'closed', file: filesOf(project).at(-1) });
  });

  it('goes on with those that come', async () => {
    const project = await audited();
    const following = project.start(['audit', 'tail', '--follow', '--last', '1']);
    await following.saw('closed');
    const manager = await project.manager();
    keep(project, manager, () => manager.enable('acme/2', { by: 'cli' }));
    await following.saw('action=enable subject=acme/2 by=cli');
    following.process.kill();
    await following.ended;
  });

  it('finds nothing wrong where nothing is, and says what it cannot prove', async () => {
    const project = await audited();
    const verified = await project.keymux(['audit', 'verify']);
    expect([verified.code, verified.stdout]).toEqual([
      0,
      expect.stringMatching(/^intact: 2 files with \d+ records in /),
    ]);
    expect(verified.stderr).toContain('not proven:');
    const { stdout } = await project.keymux(['audit', 'export']);
    const { data } = JSON.parse(stdout.split('\n')[0] ?? '') as { data: { key: string } };
    expect((await project.keymux(['audit', 'verify', '--signed-by', data.key])).code).toBe(0);
    expect((await project.keymux(['audit', 'verify', '--signed-by', '0'.repeat(32)])).code).toBe(9);
  });

  it('names the first record that was changed', async () => {
    const project = await audited();
    for (const name of filesOf(project)) {
      const path = join(project.path('trail'), name);
      writeFileSync(path, readFileSync(path, 'utf8').replace('"pid":', '"pId":'));
    }
    const verified = await project.keymux(['audit', 'verify']);
    const [first] = filesOf(project);
    expect([verified.code, verified.stdout]).toEqual([
      9,
      `broken: ${first}, line 1: the record was changed: its hash does not fit\n`,
    ]);
    expect(verified.stderr).toMatch(/and 1 more.*\(KEYMUX_AUDIT_BROKEN\)/s);
    const json = await project.keymux(['audit', 'verify', '--json']);
    expect([json.code, JSON.parse(json.stdout)]).toMatchObject([
      9,
      { ok: false, faults: [{ file: first, line: 1 }, {}] },
    ]);
  });

  it('exports all records as lines of JSON or as a table without formulas', async () => {
    const project = await audited();
    const { stdout } = await project.keymux(['audit', 'export']);
    const records = stdout
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line) as { type: string });
    expect(records[0]?.type).toBe('opened');
    const table = await project.keymux(['audit', 'export', '--format', 'csv', '--path', 'trail']);
    const [head, ...rows] = table.stdout.trimEnd().split('\n');
    expect(head).toBe('file,seq,at,type,subject,by,data,hash');
    expect(rows).toHaveLength(records.length);
    expect(rows.find((row) => row.includes(',administered,'))).toContain(',acme/2,cli,"{""action"":');
  });

  it('says where no trail is configured, or none was begun', async () => {
    const project = new Project({ 'keymux.config.yaml': ACME }, ENV);
    const tail = await project.keymux(['audit', 'tail']);
    expect([tail.code, tail.stderr]).toEqual([2, expect.stringContaining('No audit trail is configured')]);
    const empty = await project.keymux(['audit', 'tail', '--path', 'none']);
    expect([empty.code, empty.stderr]).toEqual([0, expect.stringContaining('there is no record in')]);
    expect((await project.keymux(['audit', 'tail', '--last', '0'])).code).toBe(2);
  });
});

describe('a command that changes keys', () => {
  it('says where its trail cannot be written, and fails where that must not be', async () => {
    const project = new Project(
      { 'keymux.config.yaml': `${ACME}audit: { path: ./trail }\n`, trail: '' },
      ENV,
    );
    const warned = await project.keymux(['keys', 'disable', 'acme/2']);
    expect([warned.code, warned.stderr]).toEqual([0, expect.stringContaining('cannot be written: EEXIST')]);
    writeFileSync(project.path('keymux.config.yaml'), `${ACME}audit: { path: ./trail, failClosed: true }\n`);
    const failed = await project.keymux(['keys', 'enable', 'acme/2']);
    expect([failed.code, failed.stderr]).toEqual([9, expect.stringContaining('KEYMUX_AUDIT_UNAVAILABLE')]);
  });
});

describe('keymux serve', () => {
  const served = (baseUrl: string, audit: string): Project => {
    const config = ACME.replace('http://127.0.0.1:9', baseUrl);
    return new Project({ 'keymux.config.yaml': `${config}audit: ${audit}\n` }, ENV);
  };

  it('keeps a trail of what was taken and changed, and by whose token', async () => {
    const simulator = await startSimulator({
      auth: { in: 'header', name: 'x-api-key' },
      keys: { [ENV.ACME_API_KEY]: { always: refuse('rejected') }, [ENV.ACME_API_KEY_2]: {} },
    });
    onTestFinished(() => simulator.close());
    const project = served(simulator.origin, '{ path: ./trail, failClosed: true }');
    const { process: server, ended } = project.start(['serve', '--port', '0']);
    let said = '';
    server.stderr?.on('data', (text: string) => (said += text));
    await expect.poll(() => said, { timeout: 20_000 }).toContain('answers for:');
    const origin = /listens on (\S+)/.exec(said)?.[1] ?? '';
    const tokens = readFileSync(project.path('state/gateway-tokens'), 'utf8');
    const tokenOf = (role: string): string => new RegExp(`^${role}=(.+)$`, 'm').exec(tokens)?.[1] ?? '';
    const answer = await fetch(`${origin}/acme/x`, { headers: { 'x-api-key': tokenOf('use') } });
    expect(answer.status).toBe(200);
    await answer.text();
    const headers = { authorization: `Bearer ${tokenOf('admin')}` };
    await fetch(`${origin}/-/api/keys/acme/2/disable`, { method: 'POST', headers });
    const shown = await fetch(`${origin}/-/api/audit?verify=1`, { headers });
    expect(await shown.json()).toMatchObject({ verdict: { ok: true } });
    server.kill('SIGTERM');
    expect((await ended).code).toBe(0);

    const trail = filesOf(project)
      .map((name) => readFileSync(join(project.path('trail'), name), 'utf8'))
      .join('');
    const records = trail
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line) as { type: string; data: Record<string, unknown> });
    const told = (type: string) => records.filter((record) => record.type === type).map(({ data }) => data);
    expect(told('access')).toMatchObject([
      { key: 'acme/main', way: 'request', by: 'gateway token use', count: 1 },
      { key: 'acme/2', way: 'request', by: 'gateway token use', count: 1 },
    ]);
    expect(told('administered')).toMatchObject([
      { action: 'disable', subject: 'acme/2', by: 'gateway token admin' },
    ]);
    expect(told('failover')).toMatchObject([{ from: 'acme/main', to: 'acme/2' }]);
    expect(told('closed')).toHaveLength(1);
    expect(trail).not.toContain(CANARY);
    expect(trail).not.toContain('kmx_');
    expect(await verifyAudit(project.path('trail'), { stateFolder: project.path('state') })).toMatchObject({
      ok: true,
    });
  });

  it('does not start where it must be audited and nothing can sign', async () => {
    const project = served('http://127.0.0.1:9', '{ path: ./trail, failClosed: true }');
    mkdirSync(project.path('state'), { recursive: true });
    writeFileSync(project.path('state/audit-key.pem'), 'no key');
    const refused = await project.keymux(['serve', '--port', '0']);
    expect([refused.code, refused.stderr]).toEqual([9, expect.stringContaining('audit-key.pem is damaged')]);
  });
});
