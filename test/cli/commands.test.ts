import { execFileSync, spawn } from 'node:child_process';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import type { KeyManager } from '#keymux/manager/key-manager.js';
import { describe, expect, it } from 'vitest';
import { ACME, BIN, CANARY, Project, acmeProject } from './keymux-process.js';

const MEMORY = ACME.replace(/store: .*/, 'store: { type: memory }');
const BROKEN = ACME.replace('limits:', 'limts:');

const json = (text: string): Record<string, unknown> => JSON.parse(text) as Record<string, unknown>;

async function spendOne(manager: KeyManager): Promise<void> {
  const lease = await manager.acquire('acme');
  lease.report({ kind: 'success', scope: 'request', executed: 'yes' });
  lease.end();
}

describe('keymux', () => {
  it('tells its version and its commands', async () => {
    const project = new Project();
    const { stdout: version } = await project.keymux(['--version']);
    const manifest = json(readFileSync(new URL('../../package.json', import.meta.url), 'utf8'));
    expect(version.trim()).toBe(manifest['version']);
    const { code, stdout } = await project.keymux(['--help']);
    expect(code).toBe(0);
    const commands = [...stdout.matchAll(/^ {2}([a-z]+) /gm)].map(([, name]) => name);
    expect(commands).toEqual([
      'init',
      'run',
      'serve',
      'demo',
      'status',
      'explain',
      'why',
      'replay',
      'keys',
      'vault',
      'allow',
      'audit',
      'scan',
      'doctor',
      'help',
    ]);
  });

  it.each([
    [['staus'], 'Unknown command "staus".', 'Did you mean `status`?'],
    [['status', '--jsn'], 'Unknown option "--jsn".', 'Did you mean `--json`?'],
    [['run', '--vrebose', 'x'], 'Unknown option "--vrebose".', 'Did you mean `--verbose`?'],
    [['keys', 'disabel', 'x'], 'Unknown command "disabel".', 'Did you mean `disable`?'],
    [['run'], 'Missing required argument "command".', '`keymux --help`'],
    [['explain', 'a', 'b'], 'Too many arguments', '`keymux --help`'],
    [['status', '--watch', '--json'], '--json prints one document', 'Leave one of them out.'],
  ])('refuses %j with a hint', async (args, message, fix) => {
    const { code, stdout, stderr } = await new Project().keymux(args);
    expect([code, stdout]).toEqual([2, '']);
    expect(stderr).toMatch(/^keymux: .*\nfix: .*\n$/);
    expect(stderr).toContain(message);
    expect(stderr).toContain(fix);
  });

  it('shows its help on stderr where nothing was asked', async () => {
    const { code, stdout, stderr } = await new Project().keymux([]);
    expect([code, stdout]).toEqual([2, '']);
    expect(stderr).toContain('Usage: keymux');
  });

  it('does not repeat a key that was pasted as a command or option', async () => {
    const project = new Project();
    for (const args of [[`${CANARY}-8f3kd02kLx93kd0`], [`--key=${CANARY}-8f3kd02kLx93kd0`]]) {
      expect((await project.keymux(args)).code).toBe(2);
    }
  });

  it('stops before everything else where the configuration is faulty', async () => {
    const project = acmeProject(BROKEN);
    for (const args of [
      ['status'],
      ['explain', 'data'],
      ['keys', 'list'],
      ['run', '--', 'echo', 'started'],
    ]) {
      const { code, stdout, stderr } = await project.keymux(args);
      expect([code, stdout]).toEqual([3, '']);
      expect(stderr).toContain('did you mean `limits`?');
      expect(stderr).toContain('KEYMUX_CONFIG_INVALID');
      expect(stderr).not.toContain('    at ');
    }
  });

  it('shows a stack only where it is asked for', async () => {
    const { stderr } = await acmeProject(BROKEN).keymux(['status'], { KEYMUX_DEBUG: '1' });
    expect(stderr).toContain('    at ');
  });

  it('ends in silence when its reader has seen enough', async () => {
    const project = acmeProject();
    const child = spawn(process.execPath, [BIN, 'status', '--watch'], {
      cwd: project.folder,
      env: project.env,
    });
    let stderr = '';
    child.stderr.setEncoding('utf8').on('data', (text: string) => (stderr += text));
    child.stdout.once('data', () => child.stdout.destroy());
    const code = await new Promise((resolve) => child.once('close', resolve));
    expect([code, stderr]).toEqual([0, '']);
  });

  it('reads the variables as they are below a program that it runs itself', async () => {
    const project = acmeProject();
    const manager = await project.manager();
    manager.report('acme/main', 'rejected');
    await manager.shutdown();
    const { stdout } = await project.keymux(['run', '--', process.execPath, BIN, 'status', '--json']);
    const keys = json(stdout)['keys'] as { id: string; state: string }[];
    expect(keys.map(({ id, state }) => [id, state])).toEqual([
      ['acme/main', 'rejected'],
      ['acme/2', 'unproven'],
    ]);
  });
});

describe('status', () => {
  it('tells what other processes did, and what is left of the limits', async () => {
    const project = acmeProject();
    const manager = await project.manager();
    await spendOne(manager);
    manager.report('acme/2', {
      kind: 'rate-limited',
      scope: 'key',
      executed: 'no',
      retryAt: Date.now() + 90_000,
    });
    await manager.shutdown();
    const { code, stdout, stderr } = await project.keymux(['status', '--json']);
    expect([code, stderr]).toEqual([0, '']);
    const report = json(stdout);
    expect(report['store']).toEqual({ kind: 'sqlite', shared: true, place: project.path('store/state.db') });
    expect(report['services']).toContainEqual(expect.objectContaining({ name: 'data', next: 'acme/main' }));
    expect(report['keys']).toEqual([
      expect.objectContaining({ id: 'acme/main', state: 'ready', uses: 1, failures: 0, permitsLeft: 4 }),
      expect.objectContaining({ id: 'acme/2', state: 'resting', source: 'stated', uses: 1, permitsLeft: 5 }),
    ]);
    const { stdout: text } = await project.keymux(['status']);
    expect(text).toMatch(/acme\/2 +◌ resting +in 1 min \d+ s \(.*\) +stated +rate-limited/);
  });

  it('marks a key whose limit other processes have spent', async () => {
    const project = acmeProject(ACME.replace('requests: 5', 'requests: 1'));
    const manager = await project.manager();
    for (let count = 0; count < 2; count += 1) await spendOne(manager);
    await manager.shutdown();
    const { code, stdout } = await project.keymux(['explain', 'data', '--json']);
    expect(code).toBe(6);
    expect(json(stdout)['candidates']).toEqual([
      expect.objectContaining({ usable: false, because: 'its limit is spent in the running window' }),
      expect.objectContaining({ usable: false, until: expect.any(Number) as number }),
    ]);
    expect((await project.keymux(['status'])).stdout).toContain('◔ out of permits');
  });

  it('uses colour only where it is wanted', async () => {
    const project = acmeProject();
    expect((await project.keymux(['status'])).stdout).not.toContain('\u001b[');
    expect((await project.keymux(['status'], { FORCE_COLOR: '1' })).stdout).toContain('\u001b[');
    expect((await project.keymux(['status', '--json'], { FORCE_COLOR: '1' })).stdout).not.toContain(
      '\u001b[',
    );
  });

  it('warns on stderr where the state cannot be used, and goes on', async () => {
    const project = acmeProject(ACME.replace('./store/state.db', './keymux.config.yaml/state.db'));
    const { code, stdout, stderr } = await project.keymux(['status', '--json']);
    expect(code).toBe(0);
    expect(json(stdout)['store']).toMatchObject({
      trouble: expect.stringContaining('is not used') as string,
    });
    expect(stderr).toMatch(/^keymux: The state file .*\nfix: /);
  });
});

describe('explain', () => {
  it('says which key is next and why the others are not', async () => {
    const project = acmeProject();
    const manager = await project.manager();
    manager.report('acme/main', 'rejected');
    await manager.shutdown();
    const { code, stdout } = await project.keymux(['explain', 'data']);
    expect(code).toBe(0);
    expect(stdout).toContain('● acme/2 serves the next request');
    expect(stdout).toMatch(
      /✗ +acme\/main +rejected, until a time guessed +guessed, heard from elsewhere \[acme\/main\] +in 1\d min/,
    );
    expect(stdout).toContain('env:ACME_API_KEY_2');
  });

  it('exits with 6 where no key can be used', async () => {
    const project = acmeProject();
    for (const id of ['acme/main', 'acme/2'])
      expect((await project.keymux(['keys', 'disable', id])).code).toBe(0);
    const { code, stdout } = await project.keymux(['explain', 'data']);
    expect(code).toBe(6);
    expect(stdout).toContain('✗ no key of data can be used now');
    expect(stdout).toContain('disabled by a person');
  });

  it('names the service that was meant', async () => {
    const near = await acmeProject().keymux(['explain', 'dta']);
    expect(near.code).toBe(2);
    expect(near.stderr).toContain('fix: Did you mean "data"? Known: data, acme.');
    const far = await acmeProject().keymux(['explain', 'something']);
    expect(far.stderr).toContain('fix: Known: data, acme.');
    expect((await new Project().keymux(['explain', 'data'])).stderr).toContain('`keymux init`');
  });
});

describe('keys', () => {
  it('lists keys by name', async () => {
    const project = acmeProject();
    const { stdout } = await project.keymux(['keys', 'list']);
    expect(stdout).toContain('acme/main');
    const { keys } = json((await project.keymux(['keys', 'list', '--json'])).stdout);
    expect(keys).toHaveLength(2);
    const empty = await new Project().keymux(['keys', 'list']);
    expect([empty.code, empty.stdout]).toEqual([0, '']);
    expect(empty.stderr).toContain('no key was found');
  });

  it('is seen by a program that runs', async () => {
    const project = acmeProject();
    const manager = await project.manager();
    expect(manager.resolve('data').keyId).toBe('acme/main');
    const disabled = await project.keymux(['keys', 'disable', 'main']);
    expect([disabled.code, disabled.stdout]).toEqual([0, '']);
    expect(disabled.stderr).toContain('acme/main is disabled');
    await expect.poll(() => manager.resolve('data').keyId).toBe('acme/2');
    await project.keymux(['keys', 'enable', 'acme/main']);
    await expect.poll(() => manager.resolve('data').keyId).toBe('acme/main');
  });

  it('forgets what is held against a key', async () => {
    const project = acmeProject();
    const manager = await project.manager();
    manager.report('acme/main', 'rejected');
    await manager.shutdown();
    const { code, stdout } = await project.keymux(['keys', 'reset', 'acme/main', '--json']);
    expect(code).toBe(0);
    expect(json(stdout)).toEqual({ action: 'reset', id: 'acme/main', state: 'unproven' });
    const { stdout: text } = await project.keymux(['explain', 'data']);
    expect(text).toContain('● acme/main serves the next request');
  });

  it('names the key that was meant', async () => {
    const { code, stderr } = await acmeProject().keymux(['keys', 'disable', 'acme/mian']);
    expect(code).toBe(2);
    expect(stderr).toContain('Did you mean "acme/main"?');
  });

  it('refuses where no other process would see it', async () => {
    const { code, stderr } = await acmeProject(MEMORY).keymux(['keys', 'disable', 'main']);
    expect(code).toBe(2);
    expect(stderr).toContain('would change nothing');
  });

  it('says so where it could not be written', async () => {
    const project = acmeProject(ACME.replace('./store/state.db', './keymux.config.yaml/state.db'));
    const { code, stderr } = await project.keymux(['keys', 'disable', 'main']);
    expect(code).toBe(1);
    expect(stderr).toContain('Nothing was changed.');
    expect(stderr).toContain('KEYMUX_STORE_UNAVAILABLE');
  });

  it('goes on where a damaged state file was set aside', async () => {
    const project = acmeProject();
    await project.keymux(['keys', 'list']);
    writeFileSync(project.path('store/state.db'), 'no database at all'.repeat(500));
    const { code, stderr } = await project.keymux(['keys', 'disable', 'main']);
    expect(code).toBe(0);
    expect(stderr).toContain('acme/main is disabled');
    expect(stderr.split('\n').length).toBeGreaterThan(2);
  });
});

describe('init', () => {
  it('writes a configuration that works, and tells the next step', async () => {
    const project = new Project({ '.env': `OPENAI_API_KEY=${CANARY}-openai\n` });
    const { code, stdout, stderr } = await project.keymux(['init', '--yes']);
    expect([code, stdout]).toEqual([0, '']);
    expect(stderr).toBe(
      'keymux: wrote keymux.config.yaml (keys found: 1). Next: npx keymux run -- node agent.js\n',
    );
    expect(readFileSync(project.path('keymux.config.yaml'), 'utf8')).not.toContain(CANARY);
    expect((await project.keymux(['explain', 'openai'])).code).toBe(0);
  });

  it('never overwrites one', async () => {
    const project = new Project({ 'keymux.config.jsonc': '{}' });
    const { code, stderr } = await project.keymux(['init']);
    expect(code).toBe(2);
    expect(stderr).toContain('keymux.config.jsonc is already there');
    expect(existsSync(project.path('keymux.config.yaml'))).toBe(false);
  });

  it('does not write through a link that leads nowhere', async () => {
    const project = new Project();
    execFileSync('ln', ['-s', 'nowhere.yaml', project.path('keymux.config.yaml')]);
    expect((await project.keymux(['init'])).code).toBe(2);
    expect(existsSync(project.path('nowhere.yaml'))).toBe(false);
  });

  it.skipIf(process.platform !== 'linux')('says so where it may not write', async () => {
    const { code, stderr } = await new Project().keymux(['init'], {}, '/proc');
    expect(code).toBe(2);
    expect(stderr).toContain('keymux.config.yaml cannot be written into /proc');
    expect(stderr).toContain('`keymux init --print`');
  });

  it('prints it instead where that is wanted', async () => {
    const project = new Project({ 'keymux.config.yaml': '' }, { OPENAI_API_KEY: `${CANARY}-openai` });
    const { code, stdout, stderr } = await project.keymux(['init', '--print']);
    expect([code, stderr]).toEqual([0, '']);
    expect(stdout).toContain('openai: {}');
  });
});
