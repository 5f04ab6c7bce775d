import { spawnSync } from 'node:child_process';
import { chmodSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { quietly } from './keymux-here.js';
import { ACME, CANARY, Project } from './keymux-process.js';

const KEY = `${CANARY}-0123456789-abcdef`;
/** Put together here, so that nobody takes this file for a leak. */
const shaped = {
  github: `gh${'p_'}R7m2Kq9ZtY4vB8nX1cW6hJ3sD5fG0aLpQ2wE`,
  groq: `gs${'k_'}R7m2Kq9ZtY4vB8nX1cW6hJ3sD5fG0aLpQ2wER7m2Kq9ZtY4vB8nX`,
  age: `AGE-SECRET${'-KEY-1'}QPZRY9X8GF2TVDW0S3JN54KHCE6MUA7LQPZRY9X8GF2TVDW0S3JN54KHCE6MUA7L`,
  keymux: `kmx${'_admin_'}R7m2Kq9ZtY4vB8nX1cW6hJ3sD5`,
};
const PLAIN = 'R7m2Kq9ZtY4vB8nX1cW6hJ3sD5fG0aLpQ2wE4tYu';

interface Finding {
  readonly path: string;
  readonly line: number;
  readonly column: number;
  readonly provider: string;
  readonly how: string;
  readonly sure: string;
  readonly key?: string;
  readonly fingerprint?: string;
}

interface Report {
  readonly files: number;
  readonly unreadable: readonly string[];
  readonly findings: readonly Finding[];
}

function project(files: Readonly<Record<string, string>>): Project {
  return new Project({ 'keymux.config.yaml': ACME, ...files }, { ACME_API_KEY: KEY });
}

function git(acme: Project, ...args: readonly string[]): void {
  const env = { ...acme.env, GIT_CONFIG_NOSYSTEM: '1' };
  const { status, stderr } = spawnSync('git', args, { cwd: acme.folder, env, encoding: 'utf8' });
  expect([status, status === 0 ? '' : stderr]).toEqual([0, '']);
}

async function report(acme: Project, ...args: readonly string[]): Promise<Report & { code: number | null }> {
  const { code, stdout } = await quietly(acme, ['scan', '--json', ...args]);
  for (const key of [...Object.values(shaped), PLAIN]) expect(stdout).not.toContain(key);
  return { code, ...(JSON.parse(stdout) as Report) };
}

const places = ({ findings }: Report): string[] =>
  findings.map(({ path, line, column, key, provider, sure }) => {
    return `${path}:${line}:${column} ${key ?? provider} ${sure}`;
  });

describe('keymux scan', () => {
  it('finds keys of the configuration in every encoding, and never prints one', async () => {
    const acme = project({
      'src/a.js': `// \u00fcber\nconst key = "\u00fc ${KEY}";\n`,
      'src/b.txt': `\n\nAuthorization: Basic ${Buffer.from(`u:${KEY}`).toString('base64')}\n`,
      'src/clean.txt': 'nothing here\n',
    });
    const { code, stdout, stderr } = await quietly(acme, ['scan', 'src']);
    expect(code).toBe(8);
    expect(stdout).toBe('src/a.js:2:16  acme/main  certain\nsrc/b.txt:3:25  acme/main  certain\n');
    expect(stderr).toContain('2 keys stand in files.');
    expect((await quietly(acme, ['scan', 'src/clean.txt'])).stderr).toBe('keymux: no key in 1 file\n');
  });

  it('finds what looks like a key, or is assigned to a variable for keys', async () => {
    const acme = project({
      'in/shapes.txt': Object.values(shaped).join('\n'),
      'in/env.txt': `FINNHUB_API_KEY=${PLAIN}\nOTHER_NAME=${PLAIN}\nexport FINNHUB_API_KEY_2="${PLAIN}"\n`,
      'in/key.pem': `-----BEGIN ${'EC '}PRIVATE KEY-----\n${PLAIN}${PLAIN}\n`,
    });
    const found = await report(acme, 'in');
    expect(found.code).toBe(8);
    expect(places(found).sort()).toEqual([
      'in/env.txt:1:17 finnhub possible',
      'in/env.txt:3:27 finnhub possible',
      'in/key.pem:1:1 private-key likely',
      'in/shapes.txt:1:1 github likely',
      'in/shapes.txt:2:1 groq likely',
      'in/shapes.txt:3:1 age likely',
      'in/shapes.txt:4:1 keymux likely',
    ]);
    const same = found.findings.filter(({ provider }) => provider === 'finnhub');
    expect(new Set(same.map(({ fingerprint }) => fingerprint)).size).toBe(1);
  });

  it('takes placeholders, samples and code for no keys', async () => {
    const acme = project({
      'in/.env.example':
        'OPENAI_API_KEY=your-openai-api-key-here-1\nGROQ_API_KEY=gsk_xxxxxxxxxxxxxxxxxxxxxxxx\n',
      'in/a.js': [
        'OPENAI_API_KEY = process.env.OPENAI_API_KEY_2',
        `OPENAI_API_KEY: readKeyOfProvider2("openai")`,
        `FINNHUB_API_KEY=${'a1'.repeat(20)}`,
        `const x = "gh${'p_'}${'a'.repeat(36)}"`,
        `-----BEGIN ${'PRIVATE'} KEY-----`,
        `x${shaped.github}`,
      ].join('\n'),
    });
    expect(await report(acme, 'in')).toEqual({ code: 0, files: 2, unreadable: [], findings: [] });
  });

  it('leaves alone what a remark, a path or a fingerprint allows', async () => {
    const acme = project({
      'in/a.txt': `${shaped.github} # keymux:allow, revoked\n${shaped.groq}\n`,
      'in/fixtures/deep/b.txt': shaped.github,
      'in/c.snap': shaped.github,
      'in/docs/x/d.md': shaped.github,
      'in/docs/x/e.txt': shaped.github,
    });
    const first = await report(acme, 'in');
    expect(places(first)).toHaveLength(5);
    const fingerprint = first.findings.find(({ provider }) => provider === 'groq')?.fingerprint;
    writeFileSync(
      acme.path('in/.keymuxignore'),
      `# allowed\n\n${String(fingerprint)}\nfixtures/\n*.snap\n/docs/**/*.md\n`,
    );
    expect(places(await report(acme, 'in'))).toEqual(['in/docs/x/e.txt:1:1 github likely']);
  });

  it('finds a key anywhere in a big binary file, once', async () => {
    const acme = project({});
    const size = 5_000_000;
    const data = Buffer.alloc(size, 0xfe);
    const at = [0, 1_081_340, 2_097_150, 3_000_000, size - KEY.length];
    for (const offset of at) data.write(KEY, offset);
    writeFileSync(acme.path('data.bin'), data);
    const found = await report(acme, 'data.bin');
    expect(found.findings.map(({ line, column }) => [line, column])).toHaveLength(at.length);
    data.fill(0x0a);
    for (const offset of at) data.write(KEY, offset);
    writeFileSync(acme.path('data.bin'), data);
    const lines = (await report(acme, 'data.bin')).findings.map(({ line }) => line);
    expect(lines).toEqual(at.map((offset, index) => offset + 1 - index * KEY.length));
  });

  it('reads what git tracks or would track, and with --all the rest', async () => {
    const acme = project({
      '.gitignore': 'ignored.txt\nhome/\nstate/\n',
      'tracked.txt': shaped.github,
      'removed.txt': shaped.github,
      'untracked.txt': shaped.groq,
      'ignored.txt': shaped.age,
      'node_modules/x/index.js': shaped.keymux,
    });
    git(acme, 'init', '-q');
    git(acme, 'add', 'tracked.txt', 'removed.txt', '.gitignore');
    rmSync(acme.path('removed.txt'));
    symlinkSync('ignored.txt', acme.path('link.txt'));
    expect(places(await report(acme)).sort()).toEqual([
      'node_modules/x/index.js:1:1 keymux likely',
      'tracked.txt:1:1 github likely',
      'untracked.txt:1:1 groq likely',
    ]);
    expect(places(await report(acme, '--all'))).toContain('ignored.txt:1:1 age likely');
    rmSync(acme.path('.git'), { recursive: true });
    expect(places(await report(acme)).sort()).toEqual([
      'ignored.txt:1:1 age likely',
      'tracked.txt:1:1 github likely',
      'untracked.txt:1:1 groq likely',
    ]);
    expect(places(await report(acme, '--all'))).toContain('node_modules/x/index.js:1:1 keymux likely');
  });

  it('reads with --staged what the next commit holds, whatever the folder holds', async () => {
    const acme = project({ 'a.txt': shaped.github, 'sub/b.txt': 'nothing', 'c.txt': 'nothing' });
    git(acme, 'init', '-q');
    git(acme, 'add', 'a.txt', 'sub/b.txt');
    writeFileSync(acme.path('a.txt'), 'cleaned, and not added');
    writeFileSync(acme.path('sub/b.txt'), shaped.groq);
    writeFileSync(acme.path('c.txt'), shaped.groq);
    const found = await report(acme, '--staged');
    expect([found.code, found.files, places(found)]).toEqual([8, 2, ['a.txt:1:1 github likely']]);
    expect((await report(acme, '--staged', 'sub')).files).toBe(1);
  });

  it('runs nothing that a repository names', async () => {
    const acme = project({ 'hook.sh': '#!/bin/sh\ntouch ran\n' });
    chmodSync(acme.path('hook.sh'), 0o755);
    git(acme, 'init', '-q');
    git(acme, 'config', 'core.fsmonitor', './hook.sh');
    await report(acme);
    expect((await report(acme, '--all')).findings).toEqual([]);
    expect(spawnSync('ls', [acme.path('ran')]).status).not.toBe(0);
  });

  it.each([
    [['--staged'], 'there is none here'],
    [['--staged', '--all'], 'Leave one of them out'],
    [['no-such-folder'], 'There is no file or folder "no-such-folder".'],
  ])('refuses %j with a hint', async (args, message) => {
    const { code, stderr } = await quietly(project({}), ['scan', ...args]);
    expect(code).toBe(2);
    expect(stderr).toContain(message);
  });

  it('goes by looks alone where the configuration is faulty, and says so', async () => {
    const acme = new Project({ 'keymux.config.yaml': 'nonsense: [', 'a.txt': shaped.github });
    const { code, stdout, stderr } = await quietly(acme, ['scan', 'a.txt']);
    expect([code, stdout.trim().split(/ +/).slice(0, 3)]).toEqual([8, ['a.txt:1:1', 'github', 'likely']]);
    expect(stderr).toContain('Keys of the configuration are not looked for.');
  });

  it('says which keys are too short to look for', async () => {
    const acme = new Project({ 'keymux.config.yaml': ACME, 'a.txt': 'abc1234' }, { ACME_API_KEY: 'abc1234' });
    const { code, stderr } = await quietly(acme, ['scan', 'a.txt']);
    expect(code).toBe(0);
    expect(stderr).toContain('acme/main');
  });

  it('fails where a file cannot be read', async () => {
    // Of this kernel: a file for everybody, which has nothing at its beginning for anybody.
    const found = await report(project({}), '/proc/self/mem');
    expect([found.code, found.unreadable]).toEqual([1, ['/proc/self/mem (EIO)']]);
  });
});
