import { spawnSync } from 'node:child_process';
import { constants } from 'node:os';
import { describe, expect, it } from 'vitest';
import { ACME, BIN, CANARY, Project, acmeProject } from './keymux-process.js';

const NODE = process.execPath;
const SHOW_ARGS = 'console.log(JSON.stringify(process.argv.slice(1)))';

const hasScript = spawnSync('script', ['--version']).status === 0;

/** Prints one variable of the environment as a program in any language sees it. */
async function variable(project: Project, name: string, env: Record<string, string> = {}): Promise<string> {
  const running = project.start(['run', '--', 'sh', '-c', `printf %s "$${name}"`], env);
  const { code, stdout, stderr } = await running.ended;
  expect([code, stderr]).toEqual([0, '']);
  return stdout;
}

/** Counts the signals it gets and tells them; the fourth word of its first line is its parent. */
const COUNT_SIGNALS = `
const got = [];
for (const name of ['SIGINT', 'SIGHUP', 'SIGQUIT', 'SIGUSR1', 'SIGUSR2', 'SIGTERM'])
  process.on(name, () => {
    got.push(name);
    console.log('got ' + name);
    if (name !== 'SIGTERM') return;
    console.log('all ' + got.join(','));
    process.exit(7);
  });
setInterval(() => {}, 1000);
console.log('ready ' + process.pid + ' ' + process.ppid);
`;

describe('keymux run', () => {
  it('hands the command line on as it is', async () => {
    const args = ['-v', '--json', '--', '--help', '', 'two words', '$HOME', 'run', '*'];
    for (const separator of [['--'], []]) {
      const program = [NODE, '-e', SHOW_ARGS, 'x', ...args];
      const { code, stdout, stderr } = await new Project().keymux(['run', ...separator, ...program]);
      expect([code, stderr]).toEqual([0, '']);
      expect(JSON.parse(stdout)).toEqual(['x', ...args]);
    }
  });

  it('leaves input and output to the program', async () => {
    const running = new Project().start(['run', '--', 'cat']);
    running.process.stdin?.end('straight through');
    expect(await running.ended).toEqual({ code: 0, stdout: 'straight through', stderr: '' });
  });

  it('passes the exit code on', async () => {
    expect((await new Project().keymux(['run', '--', 'sh', '-c', 'exit 42'])).code).toBe(42);
  });

  it.each(['SIGKILL', 'SIGTERM', 'SIGSEGV'] as const)(
    'exits with 128+N where %s ended the program',
    async (name) => {
      const { code } = await new Project().keymux(['run', '--', 'sh', '-c', `kill -${name.slice(3)} $$`]);
      expect(code).toBe(128 + constants.signals[name]);
    },
  );

  it('hands on each signal once', async () => {
    const running = new Project().start(['run', '--', NODE, '-e', COUNT_SIGNALS]);
    await running.saw('ready');
    const names = ['SIGINT', 'SIGHUP', 'SIGQUIT', 'SIGUSR1', 'SIGUSR2', 'SIGTERM'] as const;
    for (const name of names) {
      running.process.kill(name);
      await running.saw(`got ${name}`);
    }
    const { code, stdout } = await running.ended;
    expect(code).toBe(7);
    expect(stdout).toContain(`all ${names.join(',')}`);
  });

  it.skipIf(!hasScript)('does not repeat an interrupt that the terminal gives to both', async () => {
    const project = new Project({ 'program.cjs': COUNT_SIGNALS });
    const line = `exec "${NODE}" "${BIN}" run -- "${NODE}" program.cjs`;
    const running = project.startProgram('script', ['-qec', line, '/dev/null']);
    const parent = Number(/ready \d+ (\d+)/.exec(await running.saw(/ready \d+ \d+/))?.[1]);
    running.process.stdin?.write('\u0003');
    await running.saw('got SIGINT');
    process.kill(parent, 'SIGTERM');
    const { code, stdout } = await running.ended;
    expect(code).toBe(7);
    expect(stdout).toContain('all SIGINT,SIGTERM');
  });

  it.each([
    ['nowhere-to-be-found', 127, 'was not found in any folder of PATH'],
    ['./nowhere', 127, 'was not found at that path'],
    ['./plain.txt/program', 127, 'was not found at that path'],
    ['./plain.txt', 126, 'cannot be executed (EACCES)'],
  ])('says why %s did not start', async (command, exitCode, message) => {
    const project = new Project({ 'plain.txt': 'text' });
    const { code, stdout, stderr } = await project.keymux(['run', '--', command]);
    expect([code, stdout]).toEqual([exitCode, '']);
    expect(stderr).toContain(message);
    expect(stderr).toContain('fix: ');
  });

  it('says what it starts only where that is asked for', async () => {
    const { stdout, stderr } = await acmeProject().keymux(['run', '--verbose', '--', 'true']);
    expect(stdout).toBe('');
    expect(stderr).toBe('keymux: starting a program with 2 keys of 1 provider\n');
  });

  it('lets Node programs load the preload, once, beside what was there', async () => {
    const project = new Project({ 'before.cjs': 'globalThis.before = true' });
    const program = 'console.log(JSON.stringify([process.env.NODE_OPTIONS, globalThis.before]))';
    const inner = ['run', '--', NODE, BIN, 'run', '--', NODE, '-e', program];
    const { stdout, stderr } = await project.keymux(inner, { NODE_OPTIONS: '--require ./before.cjs' });
    const [options, before] = JSON.parse(stdout || stderr) as [string, boolean];
    expect(before).toBe(true);
    expect(options).toMatch(/^--require \.\/before\.cjs --require "\/.*\/register\.cjs"$/);
  });

  it('answers the environment of a Node program', async () => {
    const project = acmeProject();
    const manager = await project.manager();
    manager.disable('acme/main');
    await manager.shutdown();
    // The first read opens the state; what it finds is answered at the latest in the next turn.
    const program = `void process.env.ACME_API_KEY; setImmediate(() => console.log(process.env.ACME_API_KEY))`;
    const { stdout } = await project.start(['run', '--', NODE, '-e', program]).ended;
    expect(stdout.trim()).toBe(`${CANARY}-two`);
  });
});

describe('the environment of a program that is run', () => {
  const FILE_KEYS = `${ACME}`.replace(
    'limits:',
    'keys: [{ id: a, value: file:./a.key }, { id: b, value: file:./b.key }]\n    limits:',
  );
  const files = { 'keymux.config.yaml': FILE_KEYS, 'a.key': `${CANARY}-a`, 'b.key': `${CANARY}-b` };

  it('keeps what is set, also where the key is out: its limits hang on it', async () => {
    const project = acmeProject();
    await project.keymux(['keys', 'disable', 'main']);
    expect(await variable(project, 'ACME_API_KEY')).toBe(`${CANARY}-one`);
  });

  it('gives the best key of the moment where keys come from the configuration file', async () => {
    const project = new Project(files);
    expect(await variable(project, 'ACME_API_KEY')).toBe(`${CANARY}-a`);
    await project.keymux(['keys', 'disable', 'a']);
    expect(await variable(project, 'ACME_API_KEY')).toBe(`${CANARY}-b`);
  });

  it('gives a key all the same while every one is out', async () => {
    const project = new Project(files);
    for (const id of ['a', 'b']) await project.keymux(['keys', 'disable', id]);
    expect(await variable(project, 'ACME_API_KEY')).toContain(CANARY);
  });

  it('warns where the best key cannot be known', async () => {
    const project = new Project({
      ...files,
      'keymux.config.yaml': FILE_KEYS.replace('./store/state.db', './a.key/state.db'),
    });
    const { code, stderr } = await project.keymux(['run', '--', 'true']);
    expect(code).toBe(0);
    expect(stderr).toContain('is not used');
  });

  it('lets the program find every key under its own name', async () => {
    const project = new Project(files);
    const { stdout } = await project.keymux(['run', '--', NODE, BIN, 'keys', 'list', '--json']);
    const { keys } = JSON.parse(stdout) as { keys: { id: string; foundIn: string }[] };
    expect(keys.map(({ id }) => id)).toEqual(['acme/a', 'acme/b']);
  });

  it('sets no variable that a key of the file refers to', async () => {
    const config = FILE_KEYS.replace('keys: [', 'keys: [{ id: first, value: env:ACME_API_KEY }, ');
    expect(await variable(new Project({ ...files, 'keymux.config.yaml': config }), 'ACME_API_KEY')).toBe('');
  });

  it('sets no name of keys that have variables of their own', async () => {
    const project = new Project({ 'keymux.config.yaml': ACME }, { ACME_API_KEY_2: `${CANARY}-two` });
    expect(await variable(project, 'ACME_API_KEY')).toBe('');
  });

  it('holds the keys of .env, as they stand there', async () => {
    const project = new Project({
      'keymux.config.yaml': ACME,
      '.env': `ACME_API_KEYS=${CANARY}-x,${CANARY}-y\nOTHER=1`,
    });
    expect(await variable(project, 'ACME_API_KEYS')).toBe(`${CANARY}-x,${CANARY}-y`);
    expect(await variable(project, 'OTHER')).toBe('');
    expect(await variable(project, 'ACME_API_KEYS', { ACME_API_KEYS: `${CANARY}-z` })).toBe(`${CANARY}-z`);
  });

  it('names the configuration file, for programs that run elsewhere', async () => {
    const project = acmeProject();
    expect(await variable(project, 'KEYMUX_CONFIG')).toBe(project.path('keymux.config.yaml'));
    const relative = { KEYMUX_CONFIG: 'keymux.config.yaml' };
    expect(await variable(project, 'KEYMUX_CONFIG', relative)).toBe(project.path('keymux.config.yaml'));
    expect(await variable(new Project(), 'KEYMUX_CONFIG')).toBe('');
  });
});
