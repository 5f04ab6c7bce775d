import { chmodSync } from 'node:fs';
import { accountChecks } from '#keymux/cli/doctor/account-checks.js';
import { nodeOptionsCheck, nodeVersionCheck } from '#keymux/cli/doctor/node-checks.js';
import { PRELOAD_PATH } from '#keymux/cli/preload-path.js';
import { readConfiguration } from '#keymux/manager/discovery.js';
import { describe, expect, it } from 'vitest';
import { ACME, CANARY, Project, acmeProject } from './keymux-process.js';

interface Report {
  readonly ok: boolean;
  readonly checks: { name: string; status: string; message: string; fix?: string }[];
}

async function doctor(
  project: Project,
  env: Record<string, string> = {},
): Promise<Report & { code: number | null }> {
  const { code, stdout, stderr } = await project.keymux(['doctor', '--json'], env);
  expect(stderr).toBe('');
  return { code, ...(JSON.parse(stdout) as Report) };
}

const named = ({ checks }: Report, name: string) => checks.filter((check) => check.name === name);

describe('keymux doctor', () => {
  it('finds nothing to mend where all is well', async () => {
    // What is set for the user's programs is none of the business of the one that tries the clients.
    const report = await doctor(acmeProject(), { API_PROVIDER_PRIORITIES: '{"extra":["acme"]}' });
    expect(report.checks.filter(({ status }) => status !== 'ok')).toEqual([]);
    expect([report.ok, report.code]).toEqual([true, 0]);
    expect(named(report, 'keys')[0]?.message).toBe('acme: main (env:ACME_API_KEY), 2 (env:ACME_API_KEY_2)');
    expect(named(report, 'clients')).toHaveLength(3);
    expect(named(report, 'store')[0]?.message).toContain('state.db');
  });

  it('tells people one line for each check, with a fix below', async () => {
    const { code, stdout } = await new Project().keymux(['doctor']);
    expect(code).toBe(0);
    expect(stdout).toMatch(/^✓ ok {4}node: Node \d+/);
    expect(stdout).toMatch(/! warn {2}keys: No key was found\.\n {8}fix: Set a variable/);
  });

  it('names every problem of the configuration, and goes on', async () => {
    const report = await doctor(acmeProject(ACME.replace('limits:', 'limts:').replace('header', 'haeder')));
    expect(report.code).toBe(3);
    const [configuration] = named(report, 'configuration');
    expect(configuration?.status).toBe('fail');
    expect(configuration?.message).toMatch(/2 problems:[^]*haeder|limts/);
    expect(named(report, 'clients')).toHaveLength(3);
  });

  it('finds template values, duplicates and providers without a key', async () => {
    const project = new Project(
      {
        '.env': 'FINNHUB_API_KEY=your-key-here\n',
        'keymux.config.yaml': 'services: { x: { providers: [openai] } }',
      },
      { NEWSAPI_API_KEY: `${CANARY}-n`, NEWSAPI_API_KEY_2: `${CANARY}-n`, NEWS_API_KEY: `${CANARY}-n` },
    );
    const report = await doctor(project);
    expect(named(report, 'template-value')[0]).toMatchObject({ status: 'warn' });
    expect(named(report, 'duplicate').length).toBeGreaterThan(0);
    expect(named(report, 'note')[0]?.message).toContain('openai has no usable key');
    expect([report.ok, report.code]).toEqual([true, 0]);
  });

  it('finds state that others can read', async () => {
    const project = new Project({}, { OPENAI_API_KEY: `${CANARY}-openai` });
    await doctor(project);
    for (const name of ['state', 'state/fingerprint.key']) chmodSync(project.path(name), 0o755);
    const [modes] = named(await doctor(project), 'state-modes');
    expect(modes?.status).toBe('warn');
    expect(modes?.fix).toContain(
      `chmod go-rwx ${project.path('state')} ${project.path('state/fingerprint.key')}`,
    );
  });

  it('fails where the state cannot be written', async () => {
    const report = await doctor(
      acmeProject(ACME.replace('./store/state.db', './keymux.config.yaml/state.db')),
    );
    expect([report.ok, report.code]).toEqual([false, 1]);
    expect(named(report, 'store')[0]).toMatchObject({ status: 'fail' });
  });

  it('says that a store in memory shares nothing', async () => {
    const report = await doctor(acmeProject(ACME.replace(/store: .*/, 'store: { type: memory }')));
    expect(named(report, 'store')[0]?.message).toContain("each process' own");
    expect(named(report, 'state-modes')).toEqual([]);
  });

  it('fails where another preload stands in the way of a client', async () => {
    const project = new Project({ 'mock.cjs': 'globalThis.fetch = async () => ({ status: 500 });' });
    const report = await doctor(project, { NODE_OPTIONS: `--require ${project.path('mock.cjs')}` });
    expect(report.code).toBe(1);
    const failures = report.checks.filter(({ status }) => status === 'fail');
    expect(failures.map(({ message }) => message)).toEqual(['fetch is not covered.']);
  });

  it('fails where no program comes to an end under the preload', async () => {
    const project = new Project({ 'exit.cjs': 'if (process.env.KEYMUX_DOCTOR_API_KEY) process.exit(1);' });
    const report = await doctor(project, { NODE_OPTIONS: `--require ${project.path('exit.cjs')}` });
    expect(named(report, 'clients')).toEqual([expect.objectContaining({ status: 'fail' })]);
  });
});

describe('nodeVersionCheck', () => {
  it.each([
    ['18.20.1', 'fail'],
    ['20.18.9', 'fail'],
    ['20.19.0', 'ok'],
    ['26.0.0', 'ok'],
    ['21', 'ok'],
  ])('judges %s: %s', (version, status) => {
    expect(nodeVersionCheck(version).status).toBe(status);
  });
});

describe('nodeOptionsCheck', () => {
  it.each([
    ['', 'ok'],
    ['--max-old-space-size=4096', 'ok'],
    [`--require "${PRELOAD_PATH}"`, 'ok'],
    ['--require "/elsewhere/node_modules/keymux/dist/register.cjs"', 'warn'],
    ['--import=/elsewhere/keymux/dist/register.js', 'warn'],
    ['--experimental-permission', 'warn'],
    ['--permission --allow-fs-read=*', 'warn'],
  ])('judges %j: %s', (options, status) => {
    expect(nodeOptionsCheck(options).status).toBe(status);
  });
});

describe('accountChecks', () => {
  const checksFor = (env: Record<string, string>, config: object = {}) =>
    accountChecks(readConfiguration({ env, cwd: '/nonexistent', config }));

  it('asks whether keys share an account where the provider counts by account', () => {
    const [check] = checksFor({ OPENAI_API_KEY: 'sk-one', OPENAI_API_KEY_2: 'sk-two' });
    expect(check).toMatchObject({ name: 'account', status: 'warn' });
    expect(check?.message).toContain('openai counts per organization; its keys main, 2');
  });

  it('is content with declared buckets, with one key, and with providers that count by key', () => {
    const keys = [
      { id: 'a', value: 'env:ONE', bucket: 'org' },
      { id: 'b', value: 'env:TWO', bucket: 'org' },
    ];
    expect(checksFor({ ONE: 'sk-one', TWO: 'sk-two' }, { providers: { openai: { keys } } })).toEqual([]);
    expect(checksFor({ OPENAI_API_KEY: 'sk-one' })).toEqual([]);
    const acme = { providers: { acme: { baseUrl: 'https://acme.example' } } };
    expect(checksFor({ ACME_API_KEY: 'one', ACME_API_KEY_2: 'two' }, acme)).toEqual([]);
  });

  it('repeats what the catalogue knows of the terms', () => {
    const [check] = checksFor({ ALPHAVANTAGE_API_KEY: 'one-1', ALPHAVANTAGE_API_KEY_2: 'two-2' });
    expect(check).toMatchObject({ name: 'terms', status: 'warn' });
    expect(check?.message).toContain('one free key per person');
  });
});
