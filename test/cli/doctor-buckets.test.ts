import { accountChecks } from '#keymux/cli/doctor/account-checks.js';
import { bucketChecksOf } from '#keymux/cli/doctor/bucket-checks.js';
import { virtualChecks } from '#keymux/cli/doctor/configuration-checks.js';
import type { Configuration } from '#keymux/config/configuration.js';
import { readConfiguration } from '#keymux/manager/discovery.js';
import type { KeySnapshot, Snapshot } from '#keymux/manager/inspection.js';
import { describe, expect, it } from 'vitest';
import type { ExplanationReport, StatusReport } from '#keymux/cli/status-report.js';
import { CANARY, Project, acmeProject } from './keymux-process.js';

const AT = 1_800_000_000_000;

function configured(provider: object = {}): Configuration {
  const acme = { baseUrl: 'https://acme.example', env: ['ACME_API_KEY'], ...provider };
  return readConfiguration({
    env: { ACME_API_KEY: 'one', ACME_API_KEY_2: 'two' },
    cwd: '/nonexistent',
    config: { providers: { acme } },
  });
}

function key(id: string, rest: Partial<KeySnapshot> = {}): KeySnapshot {
  return {
    id: `acme/${id}`,
    provider: 'acme',
    bucket: `acme/${id}`,
    bucketSource: 'own',
    foundIn: 'env:ACME_API_KEY',
    state: 'ready',
    uses: 0,
    failures: 0,
    inFlight: 0,
    latencyMs: 0,
    limits: [],
    ...rest,
  };
}

function resting(id: string, until: number, rest: Partial<KeySnapshot> = {}): KeySnapshot {
  const reason = 'rate-limited, until a time stated by the provider';
  return key(id, { state: 'resting', reason, until, source: 'stated', ...rest });
}

function checksOf(keys: readonly KeySnapshot[], configuration = configured()) {
  return bucketChecksOf(configuration, { keys } as unknown as Snapshot);
}

describe('keys that look like one bucket', () => {
  it('are named where answers told of one owner', () => {
    const shared = { bucket: 'acme/main', bucketSource: 'learnt' } as const;
    const checks = checksOf([key('main', shared), key('2', shared), key('3')]);
    expect(checks).toHaveLength(1);
    expect(checks[0]).toMatchObject({ name: 'bucket', status: 'warn' });
    expect(checks[0]?.message).toContain('acme/main, acme/2 belong to one owner');
    expect(checks[0]?.fix).toContain('providers.acme.keys');
  });

  it('are named where they were refused until the same moment', () => {
    const checks = checksOf([resting('main', AT), key('2'), resting('3', AT + 4_000)]);
    expect(checks.map(({ message }) => message)).toEqual([
      'acme/main, acme/3 were refused until the same moment, as keys of one account are.',
    ]);
  });

  it.each([
    ['share a bucket already', [resting('main', AT, { bucket: 'x' }), resting('2', AT, { bucket: 'x' })]],
    ['rest until different moments', [resting('main', AT), resting('2', AT + 60_000)]],
    ['rest for different reasons', [resting('main', AT), resting('2', AT, { reason: 'overloaded' })]],
    ['rest until a guessed time', [resting('main', AT), resting('2', AT, { source: 'guessed' })]],
    ['are of two providers', [resting('main', AT), resting('2', AT, { provider: 'other' })]],
  ])('are not suspected where they %s', (_title, keys) => {
    expect(checksOf(keys)).toEqual([]);
  });

  it('are not suspected where all keys of the provider return at one hour of the day', () => {
    const limits = [{ requests: 5, per: 'day', resetsAt: '00:00', timeZone: 'UTC' }];
    expect(checksOf([resting('main', AT), resting('2', AT)], configured({ limits }))).toEqual([]);
  });
});

describe('what the terms say on several keys', () => {
  const ALPHA = { ALPHAVANTAGE_API_KEY: 'one-1', ALPHAVANTAGE_API_KEY_2: 'two-2' };
  const checksFor = (env: Record<string, string>, config: object = {}) =>
    accountChecks(readConfiguration({ env, cwd: '/nonexistent', config })).filter(
      ({ name }) => name === 'terms',
    );

  it('is told with its source and the keys that it concerns', () => {
    const [check] = checksFor(ALPHA);
    expect(check?.message).toMatch(
      /^alpha_vantage has 2 keys \(main, 2\)\. On its terms: .+\(read at https:\/\//,
    );
  });

  it('is not told of one key, nor of keys that are declared to be one bucket', () => {
    expect(checksFor({ ALPHAVANTAGE_API_KEY: 'one-1' })).toEqual([]);
    const keys = ['ONE', 'TWO'].map((name) => ({
      id: name.toLowerCase(),
      value: `env:${name}`,
      bucket: 'us',
    }));
    const config = { providers: { alpha_vantage: { keys, discover: false } } };
    expect(checksFor({ ONE: 'one-1', TWO: 'two-2' }, config)).toEqual([]);
  });
});

describe('virtual providers', () => {
  it('are told with the kind of source of each real key, never the command', () => {
    const configuration = configured();
    const acme = { ...configuration.providers.get('acme')!, mode: 'virtual' as const };
    const [first, second] = configuration.credentials;
    const credentials = [
      { ...first!, source: { reference: 'exec:pass show very-secret', folder: '/' } },
      second!,
    ];
    const checks = virtualChecks({ ...configuration, credentials, providers: new Map([['acme', acme]]) });
    expect(checks.map(({ message }) => message)).toEqual([
      'acme: programs get a virtual key; the real ones: main (exec), 2 (env:ACME_API_KEY_2)',
    ]);
    expect(virtualChecks(configuration)).toEqual([]);
  });
});

describe('keymux doctor --json', () => {
  it('tells of keys that were refused until the same moment by a program that has ended', async () => {
    const project = acmeProject();
    const program = await project.manager();
    const retryAt = program.now() + 3_600_000;
    for (const id of ['acme/main', 'acme/2']) {
      program.report(id, { kind: 'rate-limited', scope: 'key', executed: 'no', retryAt });
    }
    await program.shutdown();
    const { stdout } = await project.keymux(['doctor', '--json']);
    const { checks } = JSON.parse(stdout) as { checks: { name: string; message: string }[] };
    expect(checks.filter(({ name }) => name === 'bucket')).toHaveLength(1);
  });

  it('tells of keys whose owner a program learnt, as status and explain do', async () => {
    const project = new Project(
      { 'keymux.config.yaml': 'store: { type: sqlite, path: ./store/state.db }' },
      { OPENAI_API_KEY: `${CANARY}-1`, OPENAI_API_KEY_2: `${CANARY}-2` },
    );
    const program = await project.manager();
    const pool = program.poolOf('openai');
    const [first, second] = pool.contenders.map(({ member }) => member);
    for (const excluded of [second!, first!]) {
      const lease = await pool.acquire({ excluded: new Set([excluded]), waitUntil: 0 });
      if (!('keyId' in lease)) throw new Error('no lease');
      pool.learn(lease, {
        status: 200,
        header: (name) => (name === 'openai-organization' ? 'org-of-both' : undefined),
      });
      lease.end();
    }
    await program.shutdown();
    const read = async (...args: string[]): Promise<unknown> =>
      JSON.parse((await project.keymux([...args, '--json'])).stdout);
    const { checks } = (await read('doctor')) as { checks: { name: string; message: string }[] };
    expect(checks.find(({ name }) => name === 'bucket')?.message).toContain('(openai-organization)');
    const { keys } = (await read('status')) as StatusReport;
    const shared = [
      ['openai/main', 'learnt'],
      ['openai/main', 'learnt'],
    ];
    expect(keys.map(({ bucket, bucketSource }) => [bucket, bucketSource])).toEqual(shared);
    const { candidates } = (await read('explain', 'openai')) as ExplanationReport;
    expect(candidates.map(({ bucket }) => [bucket?.name, bucket?.source])).toEqual(shared);
    const { stdout } = await project.keymux(['explain', 'openai'], { COLUMNS: '200' });
    expect(stdout).toContain('openai/main (learnt)');
  });
});
