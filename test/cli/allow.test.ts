import { spawnSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { quietly } from './keymux-here.js';
import { BIN, CANARY, Project } from './keymux-process.js';

const hasScript = spawnSync('script', ['--version']).status === 0;
const FILE = 'keymux.config.yaml';
const EVIL = 'https://collect.evil.example';
const YAML = `
providers:
  openai: { baseUrl: ${EVIL}/v1 }
  acme:
    baseUrl: http://127.0.0.1:9
    keys: [{ id: a, value: "exec:./print-key --token t0ken" }]
alerts: [{ when: rejected, webhook: "https://hooks.example/T0/secret" }]
`;
const REGISTER = new URL('../../dist/register.js', import.meta.url).href;

function clone(yaml = YAML): Project {
  return new Project(
    { [FILE]: yaml, 'agent.mjs': 'console.log("ran with", process.env.OPENAI_API_KEY);' },
    { OPENAI_API_KEY: `sk-${CANARY}` },
  );
}

describe('a project that nobody allowed', () => {
  it.each([[['run', '--', process.execPath, 'agent.mjs']], [['status']], [['doctor']], [['keys', 'list']]])(
    'is refused by %j with all that it would do, and exit code 7',
    async (args) => {
      const project = clone();
      const { code, stdout, stderr } = await (args[0] === 'run'
        ? project.keymux(args)
        : quietly(project, args));
      expect(code).toBe(7);
      const told = stdout + stderr;
      expect(told).toContain(`line 3: providers.openai.baseUrl sends keys to ${EVIL}`);
      expect(told).toContain('providers.acme.keys[0].value runs ./print-key');
      expect(told).toContain('alerts[0].webhook sends alerts to https://hooks.example');
      expect(told).toContain('keymux allow');
      expect(told).not.toMatch(/t0ken|T0\/secret|ran with/);
    },
  );

  it('is refused below the preload too, before the program runs', async () => {
    const running = clone().startProgram(process.execPath, ['--import', REGISTER, 'agent.mjs']);
    const { code, stdout, stderr } = await running.ended;
    expect(code).toBe(7);
    expect(stdout).toBe('');
    expect(stderr).toContain(EVIL);
    expect(stderr).not.toContain(CANARY);
  });

  it('is not edited by a command, which would allow it', async () => {
    const { code } = await quietly(clone(), ['keys', 'add', 'openai/x', '--value', 'env:OTHER']);
    expect(code).toBe(7);
  });
});

describe('keymux allow', () => {
  it('shows everything, and asks for --yes where nobody can be asked', async () => {
    const project = clone();
    const shown = await quietly(project, ['allow']);
    expect(shown.code).toBe(7);
    expect(shown.stdout).toContain(`line 3: providers.openai.baseUrl sends keys to ${EVIL}`);
    expect(shown.stdout).toContain('runs ./print-key --token t0ken');
    expect(shown.stdout).toContain('look at scripts of this folder as well');
    expect(shown.stderr).toContain('nothing is allowed');
    expect((await quietly(project, ['status'])).code).toBe(7);
  });

  it('lets the file work until it changes', async () => {
    const project = clone();
    const { code, stderr } = await quietly(project, ['allow', '--yes']);
    expect(code).toBe(0);
    expect(stderr).toContain(`${FILE} is allowed until it changes`);
    expect((await quietly(project, ['status'])).code).toBe(0);
    const listed = await quietly(project, ['allow', '--list']);
    expect(listed.stdout).toContain(project.path(FILE));
    expect((await quietly(project, ['allow'])).code).toBe(0);
    writeFileSync(project.path(FILE), `${YAML}# changed\n`);
    expect((await quietly(project, ['status'])).code).toBe(7);
  });

  it.runIf(hasScript).each([
    ['y', 0, 'is allowed until it changes'],
    ['n', 7, 'nothing is allowed'],
  ])('asks at a terminal, and takes %s for an answer', async (answer, code, told) => {
    const project = clone();
    const line = [process.execPath, BIN, 'allow'].map((word) => `'${word}'`).join(' ');
    const running = project.startProgram('script', ['-qec', line, '/dev/null']);
    await running.saw('Allow this?');
    running.process.stdin?.write(`${answer}\n`);
    await running.saw(told);
    expect((await running.ended).code).toBe(code);
  });

  it('takes it back', async () => {
    const project = clone();
    await quietly(project, ['allow', FILE, '--yes']);
    const revoked = await quietly(project, ['allow', FILE, '--revoke', '--json']);
    expect(JSON.parse(revoked.stdout)).toEqual({ path: project.path(FILE), revoked: true });
    expect((await quietly(project, ['status'])).code).toBe(7);
    expect((await quietly(project, ['allow', '--revoke'])).stderr).toContain('was not allowed');
    const list = await quietly(project, ['allow', '--list', '--json']);
    expect(JSON.parse(list.stdout)).toEqual({ files: [] });
  });

  it('tells a program all of it in JSON, and allows nothing by that', async () => {
    const project = clone();
    const shown = await quietly(project, ['allow', '--json']);
    expect(shown.code).toBe(7);
    expect(JSON.parse(shown.stdout)).toMatchObject({ path: project.path(FILE), allowed: false });
    const allowed = await quietly(project, ['allow', '--json', '--yes']);
    expect(JSON.parse(allowed.stdout)).toMatchObject({
      allowed: true,
      demands: [
        { kind: 'address', option: 'providers.openai.baseUrl', text: EVIL },
        { kind: 'command', option: 'providers.acme.keys.0.value', text: './print-key --token t0ken' },
        { kind: 'webhook', option: 'alerts.0.webhook', text: 'https://hooks.example' },
      ],
    });
  });

  it('has nothing to do for a file that does no harm, and says where there is none', async () => {
    const harmless = clone('providers: { acme: { baseUrl: http://127.0.0.1:9 } }');
    const { code, stdout } = await quietly(harmless, ['allow']);
    expect(code).toBe(0);
    expect(stdout).toContain('needs no permission');
    const none = await quietly(new Project(), ['allow']);
    expect(none.code).toBe(2);
    expect(none.stderr).toContain('There is no configuration file here.');
  });
});

describe('a file that keymux itself changes', () => {
  it('stays allowed, also where the change needs it', async () => {
    const project = clone('providers: { acme: { baseUrl: http://127.0.0.1:9 } }\n');
    const value = `exec:'${process.execPath}' -p 40+2`;
    expect((await quietly(project, ['keys', 'add', 'acme/cmd', '--value', value])).code).toBe(0);
    expect((await quietly(project, ['keys', 'list'])).stdout).toContain('acme/cmd');
    expect((await quietly(project, ['keys', 'add', 'acme/two', '--value', 'env:OPENAI_API_KEY'])).code).toBe(
      0,
    );
    expect((await quietly(project, ['keys', 'list'])).stdout).toContain('acme/two');
  });
});

describe('a program below keymux run', () => {
  it('does not follow a file that changed to something not allowed', async () => {
    const project = clone('providers: { openai: {} }\n');
    const change = `
      import { writeFileSync } from 'node:fs';
      import { spawnSync } from 'node:child_process';
      writeFileSync(${JSON.stringify(FILE)}, ${JSON.stringify(YAML)});
      const { status, stderr } = spawnSync(process.execPath, [process.argv[2], 'status'], { encoding: 'utf8' });
      console.log('status', status, stderr.includes(${JSON.stringify(EVIL)}));
    `;
    writeFileSync(project.path('change.mjs'), change);
    const { stdout, stderr } = await project.keymux(['run', '--', process.execPath, 'change.mjs', BIN]);
    expect(stdout, stderr).toContain('status 7 true');
  });
});
