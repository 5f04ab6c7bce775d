import { mkdirSync, writeFileSync } from 'node:fs';
import { parseDecisions, readDecisions } from '#keymux/cli/decision-file.js';
import { policyChangeOf } from '#keymux/cli/replay-policy.js';
import { factText } from '#keymux/cli/why-view.js';
import type { DecisionRecord } from '#keymux/core/decision.js';
import { KeymuxError } from '#keymux/core/errors.js';
import { describe, expect, it } from 'vitest';
import { CANARY, acmeProject } from './keymux-process.js';
import type { Project } from './keymux-process.js';

/** Two requests: the first one meets a key that is refused. */
async function recorded(): Promise<{ project: Project; path: string; record: DecisionRecord }> {
  const project = acmeProject();
  const manager = await project.manager();
  for (const isFirst of [true, false]) {
    await manager.run('acme', (lease) => {
      if (isFirst && lease.keyId === 'acme/main')
        return Promise.reject(Object.assign(new Error('no'), { status: 401 }));
      return Promise.resolve();
    });
  }
  const record = manager.exportDecisions();
  await manager.shutdown();
  const path = project.path('decisions.json');
  writeFileSync(path, JSON.stringify(record));
  return { project, path, record };
}

function faultOf(work: () => unknown): [string, string] {
  try {
    work();
  } catch (error) {
    if (error instanceof KeymuxError) return [error.message, error.fix];
  }
  return expect.unreachable('nothing was refused');
}

describe('keymux why', () => {
  it('shows every attempt of a request, and how each fact is known', async () => {
    const { project, path, record } = await recorded();
    const [first, second] = record.requests;
    const { code, stdout } = await project.keymux(['why', first?.requestId ?? '', '--from', path]);
    expect(code).toBe(0);
    expect(stdout).toMatch(/● answered after .*, 2 attempts/);
    expect(stdout).toMatch(/attempt 1 \(priority\): acme\/main, rejected \(status 401.*\) in /);
    expect(stdout).toMatch(/● +acme\/main +first in the order of priority/);
    expect(stdout).toMatch(/attempt 2 \(priority\): acme\/2, success/);
    expect(stdout).toMatch(
      /✗ +acme\/main +rejected, until a time guessed +guessed .* before.*\[acme\/main\]/,
    );
    const last = await project.keymux(['why', '--last', '1', '--service', 'acme', '--from', path]);
    expect(last.stdout).toContain(second?.requestId);
    expect(last.stdout).not.toContain(first?.requestId);
    const none = await project.keymux(['why', '--last', '1', '--service', 'other', '--from', path]);
    expect(none.stdout).toBe('no decision is known\n');
  });

  it('prints JSON, and finds what KEYMUX_DECISIONS names', async () => {
    const { project, path, record } = await recorded();
    const id = record.requests[0]?.requestId ?? '';
    const one = await project.keymux(['why', id, '--json'], { KEYMUX_DECISIONS: path });
    expect(JSON.parse(one.stdout)).toEqual(record.requests[0]);
    const all = await project.keymux(['why', '--last', '9', '--json'], { KEYMUX_DECISIONS: path });
    expect(JSON.parse(all.stdout)).toEqual(record.requests);
  });

  it('says what it lacks', async () => {
    const { project, path } = await recorded();
    const refused = async (...args: string[]): Promise<string> => {
      const { code, stderr } = await project.keymux(['why', ...args]);
      expect(code).toBe(2);
      return stderr;
    };
    expect(await refused()).toContain('needs a request id, or --last NUMBER');
    expect(await refused('x-1', '--last', '2')).toContain('needs a request id, or --last NUMBER');
    expect(await refused('--last', 'two', '--from', path)).toContain('must be a whole number');
    expect(await refused('x-1-1', '--from', path)).toContain('There is no request "x-1-1" in');
    expect(await refused(`${CANARY}-0123456789abcdef01234`, '--from', path)).toContain('not shown');
    expect(await refused('--last', '2')).toContain('No gateway runs here');
  });
});

describe('keymux explain', () => {
  it('tells how a rest is known that another process met', async () => {
    const { project } = await recorded();
    const { stdout } = await project.keymux(['explain', 'acme']);
    expect(stdout).toMatch(
      /acme\/main +rejected, until a time guessed +guessed, heard from elsewhere \[acme\/main\]/,
    );
    const { stdout: json } = await project.keymux(['explain', 'acme', '--json']);
    const { candidates } = JSON.parse(json) as { candidates: { fact?: unknown }[] };
    expect(candidates[0]?.fact).toEqual({ subject: 'acme/main', source: 'guessed', seen: 'elsewhere' });
  });
});

describe('keymux replay', () => {
  it('tells the difference that a policy makes, and what it cannot know', async () => {
    const { project, path } = await recorded();
    const args = [
      'replay',
      path,
      '--set',
      'providers.acme.keys.2.priority=0',
      '--set',
      'providers.acme.strategy=priority',
    ];
    const { code, stdout } = await project.keymux(args);
    expect(code).toBe(0);
    expect(stdout).toContain('2 requests within');
    expect(stdout).toContain('1 would have gone to another key first');
    expect(stdout).toMatch(/attempts on failing keys +1 +0 +1 saved, 0 added/);
    expect(stdout).toMatch(/attempts with acme\/main +1 +0 +−1/);
    expect(stdout).toContain('What this replay cannot know:');
    const json = await project.keymux([
      'replay',
      path,
      '--json',
      '--set',
      'services.acme.strategy=weighted',
      '--seed',
      '7',
    ]);
    expect(JSON.parse(json.stdout)).toMatchObject({
      seed: 7,
      requests: 2,
      set: ['services.acme.strategy=weighted'],
    });
    const same = await project.keymux(['replay', path]);
    expect(same.stdout).toContain('policy: as recorded');
    const faulty = await project.keymux(['replay', path, '--seed', 'x']);
    expect([faulty.code, faulty.stderr]).toEqual([
      2,
      expect.stringContaining('--seed must be a whole number'),
    ]);
  });

  it('takes settings as the configuration has them, and says what is none', async () => {
    const { record } = await recorded();
    const change = policyChangeOf(
      [
        'services.acme.strategy=round-robin',
        'services.acme.providers=["acme"]',
        'services.acme.failoverThreshold=0.9',
        'providers.acme.retry.maxAttempts=2',
        'providers.acme.keys.main.weight=3',
        'providers.acme.keys.main.priority=7',
      ],
      record,
    );
    expect(change.services.get('acme')).toEqual({
      strategy: 'round-robin',
      providers: ['acme'],
      failoverThreshold: 0.9,
    });
    expect(change.keys.get('acme/main')).toEqual({ weight: 3, priority: 7 });
    expect(change.maxAttempts.get('acme')).toBe(2);
    const faults = [
      ['services.acme.strategy', 'has no value'],
      ['services.acme.strategy=round-robbin', 'There is no strategy'],
      ['services.acne.strategy=priority', 'There is no service "acne"'],
      ['services.acme.providers=akme', 'There is no provider "akme"'],
      ['services.acme.failoverThreshold=2', 'must be from 0 to 1'],
      ['providers.akme.retry.maxAttempts=2', 'There is no provider "akme"'],
      ['providers.acme.retry.maxAttempts=0', 'is no whole number from 1 on'],
      ['providers.acme.keys.mian.weight=3', 'There is no key "acme/mian"'],
      ['providers.acme.limits=3', 'A replay cannot change "providers.acme.limits"'],
    ] as const;
    for (const [set, message] of faults)
      expect(faultOf(() => policyChangeOf([set], record))[0]).toContain(message);
    expect(faultOf(() => policyChangeOf(['services.acne.strategy=priority'], record))[1]).toContain(
      'Did you mean "acme"?',
    );
  });
});

describe('a file of decisions', () => {
  it('may be a folder of several, which are read together', async () => {
    const { project, record } = await recorded();
    mkdirSync(project.path('all'));
    expect(faultOf(() => readDecisions(project.path('all')))[0]).toContain('holds no file of decisions');
    for (const [index, request] of record.requests.entries()) {
      const part = { ...record, forgotten: 1, requests: [request] };
      writeFileSync(project.path(`all/decisions-${9 - index}-0.json`), JSON.stringify(part));
    }
    expect(readDecisions(project.path('all'))).toEqual({ ...record, forgotten: 2 });
  });

  it('is refused where it is none', async () => {
    const { project, record } = await recorded();
    writeFileSync(project.path('text.json'), 'no json');
    expect(faultOf(() => readDecisions(project.path('text.json')))[0]).toContain('is no JSON');
    expect(faultOf(() => readDecisions(project.path('lost.json')))[0]).toContain('cannot be read');
    expect(faultOf(() => parseDecisions({ ...record, version: 2 }, 'it'))[0]).toBe(
      'it is no record of decisions (at version).',
    );
    expect(faultOf(() => parseDecisions(3, 'it'))[0]).toBe('it is no record of decisions.');
  });
});

describe('a fact', () => {
  it('is told with source, age, evidence and subject', () => {
    const stated = {
      subject: 'acme',
      source: 'stated',
      seen: 'here',
      ageMs: 12_000,
      evidence: 'header retry-after',
    } as const;
    expect(factText(stated)).toBe('stated by the provider 12 s before: header retry-after [acme]');
    expect(factText({ subject: 'acme/2', source: 'person' })).toBe('a person [acme/2]');
  });
});
