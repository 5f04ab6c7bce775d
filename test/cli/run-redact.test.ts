import { spawn, spawnSync } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { openSync, readFileSync, writeFileSync } from 'node:fs';
import { once } from 'node:events';
import { constants } from 'node:os';
import { describe, expect, it } from 'vitest';
import { ACME, BIN, CANARY, Project } from './keymux-process.js';

const NODE = process.execPath;
const KEY = `${CANARY}/a+b%c-0123456789`;
const MARK = '[keymux:acme/main]';
const hasScript = spawnSync('script', ['--version']).status === 0;

function project(key = KEY, files: Readonly<Record<string, string>> = {}): Project {
  return new Project({ 'keymux.config.yaml': ACME, ...files }, { ACME_API_KEY: key });
}

function runScript(script: string, key?: string): ReturnType<Project['keymux']> {
  return project(key).keymux(['run', '--redact', '--', NODE, '-e', script]);
}

describe('keymux run --redact', () => {
  it('takes a key out of both outputs, in every encoding and over the ends of chunks', async () => {
    const { code, stdout, stderr } = await runScript(`
      const key = process.env.ACME_API_KEY;
      const wait = () => new Promise((resolve) => setImmediate(resolve));
      (async () => {
        for (const byte of Buffer.from('key=' + key + ';')) { process.stdout.write(Buffer.of(byte)); await wait(); }
        console.log(JSON.stringify({ key, url: encodeURIComponent(key), basic: btoa('u:' + key) }));
        console.error('failed with ' + Buffer.from(key).toString('hex'));
        process.exitCode = 3;
      })();
    `);
    expect(code).toBe(3);
    expect(stdout).toMatch(
      /^key=\[keymux:acme\/main\];{"key":"\[keymux:acme\/main\]","url":"\[keymux:acme\/main\]","basic":".{1,5}\[keymux:acme\/main\].?=*"}\n$/,
    );
    expect(stderr).toBe(`failed with ${MARK}\n`);
  });

  it('changes nothing where it is not asked for', async () => {
    const running = project().start(['run', '--', 'sh', '-c', 'printf %s "$ACME_API_KEY"']);
    expect(await running.ended).toEqual({ code: 0, stdout: KEY, stderr: '' });
  });

  it('passes bytes on as they are, however many', async () => {
    const data = randomBytes(5_000_000);
    const acme = project();
    writeFileSync(acme.path('data'), data);
    const child = spawn(NODE, [BIN, 'run', '--redact', '--', 'cat', 'data'], {
      cwd: acme.folder,
      env: acme.env,
    });
    const hash = createHash('sha256');
    child.stdout.on('data', (chunk: Buffer) => hash.update(chunk));
    const [code] = (await once(child, 'close')) as [number];
    expect([code, hash.digest('hex')]).toEqual([0, createHash('sha256').update(data).digest('hex')]);
  });

  it('writes to a file and keeps the order in it', async () => {
    const acme = project();
    const file = openSync(acme.path('out'), 'w');
    const child = spawn(
      NODE,
      [BIN, 'run', '--redact', '--', 'sh', '-c', 'seq 1 20000; echo "$ACME_API_KEY"'],
      { cwd: acme.folder, env: acme.env, stdio: ['ignore', file, 'ignore'] },
    );
    expect(await once(child, 'close')).toEqual([0, null]);
    const lines = readFileSync(acme.path('out'), 'utf8').trimEnd().split('\n');
    expect(lines.pop()).toBe(MARK);
    expect(lines).toEqual(Array.from({ length: 20_000 }, (_, index) => String(index + 1)));
  });

  it('lets a program wait for a slow reader, and still hands signals on', async () => {
    const acme = project();
    const script = `
      let written = 0;
      process.on('SIGTERM', () => { require('node:fs').writeFileSync('written', String(written)); process.exit(9); });
      const fill = () => { do written += 65536; while (process.stdout.write(Buffer.alloc(65536))); };
      process.stdout.on('drain', fill);
      fill();
      console.error('full');
    `;
    const running = spawn(NODE, [BIN, 'run', '--redact', '--', NODE, '-e', script], {
      cwd: acme.folder,
      env: acme.env,
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    await once(running.stderr, 'data');
    running.kill('SIGTERM');
    const exit = once(running, 'close');
    running.stdout.resume();
    expect((await exit)[0]).toBe(9);
    expect(Number(readFileSync(acme.path('written'), 'utf8'))).toBeLessThan(50_000_000);
  });

  it('ends the program whose reader has seen enough, by what that writes next', async () => {
    const acme = project();
    const child = spawn(NODE, [BIN, 'run', '--redact', '--', 'yes', 'no'], {
      cwd: acme.folder,
      env: acme.env,
    });
    child.stdout.once('data', () => child.stdout.destroy());
    const [code] = (await once(child, 'close')) as [number];
    // `yes` dies of the signal, or of the error where the signal is ignored.
    expect([128 + constants.signals.SIGPIPE, 1]).toContain(code);
  });

  it.each(['SIGKILL', 'SIGTERM'] as const)('exits with 128+N where %s ended the program', async (name) => {
    const { code, stdout } = await runScript(`
      process.stdout.write(process.env.ACME_API_KEY + '-', () => process.kill(process.pid, '${name}'));
      setInterval(() => {}, 1000);
    `);
    expect([code, stdout]).toEqual([128 + constants.signals[name], `${MARK}-`]);
  });

  it('says which keys it cannot tell from other text', async () => {
    const { stdout, stderr } = await runScript(`console.log('abc1234')`, 'abc1234');
    expect(stdout).toBe('abc1234\n');
    expect(stderr).toContain('--redact leaves acme/main in the output.');
  });

  it('says why a program does not start', async () => {
    const { code, stderr } = await project().keymux(['run', '--redact', '--', './no-such-program']);
    expect(code).toBe(127);
    expect(stderr).toContain('was not found');
  });

  it('takes out what a program beside a gateway prints of it', async () => {
    const { stdout } = await project().keymux([
      'run',
      '--redact',
      '--gateway',
      '--',
      'sh',
      '-c',
      'echo "$KEYMUX_GATEWAY_TOKEN"',
    ]);
    expect(stdout).toBe('[keymux:gateway/token]\n');
  });

  it.skipIf(!hasScript)('leaves a terminal alone, and says so', () => {
    const acme = project(KEY, { 'show.sh': 'test -t 1 && printf "%s\\n" "$ACME_API_KEY"' });
    const line = (end: string): string => `"${NODE}" "${BIN}" run --redact -- sh show.sh ${end}`;
    const script = (command: string): string =>
      spawnSync('script', ['-qec', command, '/dev/null'], {
        cwd: acme.folder,
        env: { ...acme.env },
        encoding: 'utf8',
      }).stdout;
    const both = script(line(''));
    expect(both).toContain('--redact leaves stdout and stderr alone: that is a terminal');
    expect(both).toContain(KEY);
    expect(script(line('2>/dev/null'))).toContain(KEY);
  });
});
