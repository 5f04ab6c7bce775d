import { readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { startAudit } from '#keymux/observe/audit.js';
import { describe, expect, it } from 'vitest';
import { ACME, CANARY, Project } from './keymux-process.js';

const ENV = { ACME_API_KEY: `${CANARY}-one`, ACME_API_KEY_2: `${CANARY}-two` };

/** A project with a trail of two records: who looked at a key, and who took it out of use. */
async function audited(): Promise<Project> {
  const project = new Project({ 'keymux.config.yaml': `${ACME}audit: { path: ./trail }\n` }, ENV);
  const manager = await project.manager();
  const audit = startAudit(manager, { stateFolder: project.path('state'), application: '=cmd' });
  manager.getApiKey('acme');
  audit.stop();
  const disabled = await project.keymux(['keys', 'disable', 'acme/2']);
  expect(disabled.code).toBe(0);
  return project;
}

const filesOf = (project: Project): string[] =>
  readdirSync(project.path('trail'))
    .filter((name) => name.endsWith('.jsonl'))
    .toSorted();

describe('keymux audit', () => {
  it('shows the newest records, those of commands too', async () => {
    const project = await audited();
    const tail = await project.keymux(['audit', 'tail']);
    expect(tail.code).toBe(0);
    const lines = tail.stdout.trimEnd().split('\n');
    expect(lines.find((line) => line.includes(' access '))).toMatch(
      /^\d{4}-\d\d-\d\dT\S+Z access key=acme\/main service=acme way=library count=1 callers=\[/,
    );
    expect(lines.find((line) => line.includes(' administered '))).toContain(
      'action=disable subject=acme/2 by=cli',
    );
    const one = await project.keymux(['audit', 'tail', '--last', '1', '--json']);
    expect(JSON.parse(one.stdout)).toMatchObject({ type: 'closed', file: filesOf(project).at(-1) });
  });

  it('goes on with those that come', async () => {
    const project = await audited();
    const following = project.start(['audit', 'tail', '--follow', '--last', '1']);
    await following.saw('closed');
    await project.keymux(['keys', 'enable', 'acme/2']);
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
    expect(verified.stderr).toContain('and 1 more');
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
