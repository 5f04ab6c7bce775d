import { chmodSync, existsSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { typeInto } from '#keymux/cli/vault-prompt.js';
import { readEnvironment } from '#keymux/config/environment.js';
import { makeIdentity, recipientsOf } from '#keymux/config/vault-cipher.js';
import { accessWith } from '#keymux/config/vault-opened.js';
import type { VaultAccess } from '#keymux/config/vault-opened.js';
import { createVault } from '#keymux/config/vault-write.js';
import { Encrypter } from 'age-encryption';
import { describe, expect, it, onTestFinished, vi } from 'vitest';
import { keymuxHere, quietly } from './keymux-here.js';
import { BIN, CANARY, Project } from './keymux-process.js';
import type { Result } from './keymux-process.js';

const CONFIG = 'vault: { path: ./team.vault, key: "file:team.key" }\n';
const KEYS = {
  OPENAI_API_KEY: `sk-proj-${CANARY}-abcdefghijklmnop`,
  OPENAI_API_KEY_2: `sk-proj-${CANARY}-qrstuvwxyzabcdef`,
};

/** With a vault that the configuration names. */
async function projectWithVault(files: Readonly<Record<string, string>> = {}): Promise<Project> {
  const project = new Project({ 'keymux.config.yaml': CONFIG, ...files });
  expect(await quietly(project, ['vault', 'init'])).toMatchObject({ code: 0, stdout: '' });
  return project;
}

/** A keychain in the place of this machine's; what it holds, by service and name. */
function useKeychain(): Map<string, string> {
  const stored = new Map<string, string>();
  class Entry {
    readonly #name: string;
    constructor(service: string, name: string) {
      this.#name = `${service}/${name}`;
    }
    getPassword(): string | null {
      return stored.get(this.#name) ?? null;
    }
    setPassword(text: string): void {
      stored.set(this.#name, text);
    }
  }
  const require = createRequire(import.meta.url);
  require('@napi-rs/keyring');
  const loaded = require.cache[require.resolve('@napi-rs/keyring')];
  if (loaded === undefined) throw new Error('it was not loaded');
  const real: unknown = loaded.exports;
  loaded.exports = { Entry };
  onTestFinished(() => void (loaded.exports = real));
  return stored;
}

/** Encrypting under a passphrase takes a second, by design, and twenty while coverage is measured. */
function hurryPassphrases(): void {
  const { setPassphrase } = Encrypter.prototype;
  const hurried = vi.spyOn(Encrypter.prototype, 'setPassphrase');
  hurried.mockImplementation(function (this: Encrypter, passphrase) {
    setPassphrase.call(this, passphrase);
    this.setScryptWorkFactor(1);
  });
  onTestFinished(() => hurried.mockRestore());
}

const WORDS = `${CANARY} five random words`;
const PASSPHRASE = 'Passphrase of';

/** With a vault under a passphrase, which takes no time to try. */
async function projectWithPassphrase(): Promise<Project> {
  const project = new Project();
  await createVault(accessOf(project, WORDS), { workFactor: 1 });
  return project;
}

function accessOf(project: Project, passphrase: string): VaultAccess {
  const definition = {
    path: project.path('keymux.vault'),
    key: 'env:KEYMUX_VAULT_KEY',
    folder: project.folder,
  };
  return accessWith(definition, readEnvironment(project.env, project.folder), {
    kind: 'passphrase',
    passphrase,
  });
}

/** With something on stdin; the output may hold what was asked for. */
async function withInput(project: Project, args: readonly string[], input: string): Promise<Result> {
  return keymuxHere(project, ['vault', ...args], { input });
}

function json(text: string): Record<string, unknown> {
  return JSON.parse(text) as Record<string, unknown>;
}

/** Runs it in a terminal, answers each question in turn, and gives what the terminal showed. */
async function inTerminal(
  project: Project,
  args: readonly string[],
  answers: readonly (readonly [question: string, answer: string])[],
): Promise<Result> {
  const script = `
import json, os, pty, sys
command, answers = json.loads(sys.argv[1]), json.loads(sys.argv[2])
pid, fd = pty.fork()
if pid == 0: os.execvp(command[0], command)
shown, at = b'', 0
for question, answer in answers:
    while question.encode() not in shown[at:]:
        shown += os.read(fd, 4096)
    at = len(shown)
    os.write(fd, answer.encode())
try:
    while True:
        more = os.read(fd, 4096)
        if not more: break
        shown += more
except OSError: pass
sys.stdout.buffer.write(shown)
sys.exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))`;
  const command = JSON.stringify([process.execPath, BIN, 'vault', ...args]);
  const python = process.env['PYTHON'] ?? 'python3';
  // Scrypt takes twenty times as long while coverage is measured.
  const env = { NODE_V8_COVERAGE: '' };
  return project.startProgram(python, ['-c', script, command, JSON.stringify(answers)], env).ended;
}

describe('keymux vault', () => {
  it('makes a vault and its key, once', async () => {
    const project = new Project();
    const made = await quietly(project, ['vault', 'init', '--key', 'file:my.key']);
    expect(made).toMatchObject({
      code: 0,
      stdout: 'vault: { path: "./keymux.vault", key: "file:my.key" }\n',
    });
    for (const name of ['my.key', 'keymux.vault'])
      expect(statSync(project.path(name)).mode & 0o777).toBe(0o600);
    expect((await quietly(project, ['vault', 'init', '--key', 'file:my.key'])).code).toBe(2);
    expect((await quietly(project, ['vault', 'init', '--key', 'file:my.key', '--vault', 'other'])).code).toBe(
      0,
    );
    expect(
      (await quietly(project, ['vault', 'init', '--key', 'file:none/my.key', '--vault', 'v'])).code,
    ).toBe(2);
  });

  it('stores, lists, shows and removes values, and tells no value unless it must', async () => {
    const project = await projectWithVault({ value: `${CANARY}-two\n` });
    expect((await quietly(project, ['vault', 'list'])).stderr).toContain('the vault is empty');
    const stored = await withInput(project, ['set', 'acme/main'], `${CANARY}-one\n`);
    expect(stored).toMatchObject({
      code: 0,
      stdout: '',
      stderr: 'keymux: acme/main is stored (version 1)\n',
    });
    await quietly(project, ['vault', 'set', 'acme/spare', '--from-file', 'value']);
    const listed = await quietly(project, ['vault', 'list']);
    expect(listed.stdout).toMatch(
      /^name +version +changed +fingerprint\nacme\/main +1 .*\nacme\/spare +1 .*\n$/,
    );
    const { entries } = json((await quietly(project, ['vault', 'list', '--json'])).stdout);
    expect(entries).toMatchObject([{ name: 'acme/main', version: 1 }, { name: 'acme/spare' }]);
    expect((await quietly(project, ['vault', 'get', 'acme/main'])).stdout).toMatch(
      /version 1 .*fingerprint [0-9a-f]{16}/,
    );
    expect(json((await quietly(project, ['vault', 'get', 'acme/main', '--json'])).stdout)).not.toHaveProperty(
      'value',
    );
    expect((await withInput(project, ['get', 'acme/main', '--reveal'], '')).stdout).toBe(`${CANARY}-one\n`);
    const revealed = await withInput(project, ['get', 'acme/spare', '--reveal', '--json'], '');
    expect(json(revealed.stdout)['value']).toBe(`${CANARY}-two`);
    expect((await quietly(project, ['vault', 'remove', 'acme/spare'])).code).toBe(0);
    for (const command of ['get', 'remove'])
      expect(await quietly(project, ['vault', command, 'acme/spare'])).toMatchObject({ code: 2, stdout: '' });
  });

  it('takes no value from an argument, and repeats none that was pasted', async () => {
    const project = await projectWithVault({ bytes: 'x' });
    writeFileSync(project.path('bytes'), Buffer.from([0xff, 0xfe]));
    for (const args of [
      ['set', 'acme/main', `${CANARY}-one`],
      ['set', `${CANARY} one`],
      ['get', `${CANARY}/0123456789`],
      ['list', '--key', CANARY],
      ['rotate', '--new-key', CANARY],
      ['recipients', 'add', CANARY],
      ['set', 'a', '--from-file', 'none'],
      ['set', 'a', '--from-file', '.'],
      ['set', 'a', '--from-file', 'bytes'],
    ])
      expect((await quietly(project, ['vault', ...args])).code).toBe(2);
    expect((await withInput(project, ['set', 'a'], '')).code).toBe(2);
  });

  it('ends with 4 where the key does not open it, and with 5 where the file is not as it was', async () => {
    const project = await projectWithVault();
    const path = project.path('team.vault');
    expect((await quietly(project, ['vault', 'list', '--key', 'env:NONE'])).code).toBe(4);
    expect((await quietly(project, ['vault', 'list', '--vault', 'none'])).code).toBe(4);
    chmodSync(project.path('team.key'), 0o644);
    expect((await quietly(project, ['vault', 'list'])).code).toBe(4);
    chmodSync(project.path('team.key'), 0o600);
    const older = readFileSync(path);
    await withInput(project, ['set', 'a'], 'x');
    writeFileSync(path, older);
    const refused = await quietly(project, ['vault', 'list']);
    expect(refused).toMatchObject({ code: 5, stdout: '' });
    expect(refused.stderr).toContain('keymux vault accept');
    expect((await quietly(project, ['vault', 'accept'])).code).toBe(2);
    expect((await quietly(project, ['vault', 'accept', '--yes'])).code).toBe(0);
    expect((await quietly(project, ['vault', 'list'])).code).toBe(0);
    chmodSync(path, 0o644);
    expect((await quietly(project, ['vault', 'list'])).code).toBe(5);
  });

  it('moves keys out of .env, and leaves the rest of it', async () => {
    const text = `# mine\nOPENAI_API_KEY=${KEYS.OPENAI_API_KEY}\nOTHER=1\nexport OPENAI_API_KEY_2="${KEYS.OPENAI_API_KEY_2}"\nANTHROPIC_API_KEY=your-api-key\n`;
    const project = await projectWithVault({ '.env': text });
    const copied = await quietly(project, ['vault', 'import', '--json']);
    expect(json(copied.stdout)).toEqual({
      imported: [
        { name: 'openai/main', variable: 'OPENAI_API_KEY' },
        { name: 'openai/2', variable: 'OPENAI_API_KEY_2' },
      ],
      removed: [],
    });
    expect(readFileSync(project.path('.env'), 'utf8')).toBe(text);
    const moved = await quietly(project, ['vault', 'import', '.env', '--remove']);
    expect(moved.stdout).toContain('- { id: "2", value: "vault:openai/2" }');
    expect(readFileSync(project.path('.env'), 'utf8')).toBe(
      '# mine\nOTHER=1\nANTHROPIC_API_KEY=your-api-key\n',
    );
    expect(await quietly(project, ['vault', 'import'])).toMatchObject({ code: 2 });
    expect((await quietly(project, ['vault', 'import', 'none.env'])).code).toBe(2);
    expect((await quietly(project, ['vault', 'import', '.'])).code).toBe(2);
    const shown = await withInput(project, ['get', 'openai/2', '--reveal'], '');
    expect(shown.stdout.trim()).toBe(KEYS.OPENAI_API_KEY_2);
  });

  it('imports nothing over another value, and removes nothing that it cannot tell apart', async () => {
    const text = `CERT="one\nOPENAI_API_KEY=inside\nthree"\nOPENAI_API_KEY=${KEYS.OPENAI_API_KEY}\n`;
    const project = await projectWithVault({ '.env': text });
    await withInput(project, ['set', 'openai/main'], 'another');
    const refused = await quietly(project, ['vault', 'import', '--remove']);
    expect(refused.code).toBe(2);
    expect(refused.stderr).toContain('other values under openai/main');
    const replaced = await quietly(project, ['vault', 'import', '--remove', '--replace']);
    expect(replaced.stderr).toContain('Remove OPENAI_API_KEY by hand');
    expect(readFileSync(project.path('.env'), 'utf8')).toBe(text);
  });

  it('exports for others, or in clear where that is asked for', async () => {
    const project = await projectWithVault();
    await withInput(project, ['set', 'openai/main'], KEYS.OPENAI_API_KEY);
    const identity = await makeIdentity();
    const [recipient = ''] = (await recipientsOf({ kind: 'identities', identities: [identity] })) ?? [];
    writeFileSync(project.path('their.key'), identity, { mode: 0o600 });
    expect((await quietly(project, ['vault', 'export'])).code).toBe(2);
    expect(
      (await quietly(project, ['vault', 'export', '--to', recipient, '--out', 'their.vault'])).code,
    ).toBe(0);
    expect(
      (await quietly(project, ['vault', 'export', '--to', recipient, '--out', 'their.vault'])).code,
    ).toBe(2);
    const theirs = ['--vault', 'their.vault', '--key', 'file:their.key'];
    expect((await quietly(project, ['vault', 'list', ...theirs])).stdout).toContain('openai/main');
    expect((await withInput(project, ['export', '--reveal'], '')).stdout).toBe(
      `OPENAI_MAIN=${KEYS.OPENAI_API_KEY}\n`,
    );
    await withInput(project, ['set', '7/main'], 'x');
    expect((await withInput(project, ['export', '--reveal'], '')).stdout).toContain('_7_MAIN=x\n');
    await withInput(project, ['set', 'openai.main'], 'x');
    expect((await quietly(project, ['vault', 'export', '--reveal'])).stderr).toContain(
      'would both become OPENAI_MAIN',
    );
    await quietly(project, ['vault', 'remove', 'openai.main']);
    await withInput(project, ['set', 'many'], '\'"`\n\n');
    expect((await quietly(project, ['vault', 'export', '--reveal'])).stderr).toContain(
      'value of many cannot be written',
    );
  });

  it('changes who can open it, and its key', async () => {
    const project = await projectWithVault();
    const identity = await makeIdentity();
    const [recipient = ''] = (await recipientsOf({ kind: 'identities', identities: [identity] })) ?? [];
    expect((await quietly(project, ['vault', 'recipients', 'add', recipient])).code).toBe(0);
    const listed = await quietly(project, ['vault', 'recipients', 'list', '--json']);
    expect(json(listed.stdout)['recipients']).toContain(recipient);
    expect((await quietly(project, ['vault', 'recipients', 'remove', recipient])).code).toBe(0);
    expect((await quietly(project, ['vault', 'recipients', 'list'])).stdout).toMatch(/^age1\w+\n$/);
    const key = readFileSync(project.path('team.key'), 'utf8');
    expect((await quietly(project, ['vault', 'rotate'])).code).toBe(0);
    expect(readFileSync(project.path('team.key'), 'utf8')).not.toBe(key);
    const next = await quietly(project, ['vault', 'rotate', '--new-key', 'file:next.key']);
    expect(next.stdout).toBe('vault: { path: "./team.vault", key: "file:next.key" }\n');
    expect(existsSync(project.path('team.vault.previous'))).toBe(true);
    expect((await quietly(project, ['vault', 'list'])).code).toBe(4);
    expect((await quietly(project, ['vault', 'list', '--key', 'file:next.key'])).code).toBe(0);
    expect(existsSync(project.path('team.vault.previous'))).toBe(false);
  });

  it('keeps its key in the keychain, and takes the one that is there', async () => {
    const stored = useKeychain();
    const project = new Project();
    const inKeychain = ['--key', 'keychain:team'];
    const made = await quietly(project, ['vault', 'init', ...inKeychain]);
    expect(made).toMatchObject({ code: 0, stderr: expect.stringContaining('made its key in keychain:team') });
    const kept = stored.get('keymux/team');
    expect(kept).toMatch(/^AGE-SECRET-KEY-/);
    expect((await quietly(project, ['vault', 'init', ...inKeychain, '--vault', 'other'])).code).toBe(0);
    expect(stored.get('keymux/team')).toBe(kept);
    expect((await quietly(project, ['vault', 'list', ...inKeychain, '--vault', 'other'])).code).toBe(0);
  });

  it('takes no name that looks like a key, and names nothing that it does not have', async () => {
    const project = await projectWithVault();
    const pasted = await quietly(project, ['vault', 'set', 'sk-4f9c2e7a1b3d5c6e8f']);
    expect(pasted).toMatchObject({ code: 2, stderr: expect.stringContaining('This looks like a key') });
    expect(pasted.stderr).not.toContain('4f9c2e');
    expect(await quietly(project, ['vault', 'get', 'acme/none'])).toMatchObject({
      code: 2,
      stderr: expect.stringContaining('nothing under "acme/none"'),
    });
  });

  it('runs no command of a project that nobody has allowed', async () => {
    const config = 'vault: { key: "exec:touch ran" }\n';
    const project = new Project({ 'keymux.config.yaml': config, 'keymux.vault': 'x' });
    const refused = await quietly(project, ['vault', 'list']);
    expect(refused).toMatchObject({ code: 7, stdout: '' });
    expect(existsSync(project.path('ran'))).toBe(false);
    await quietly(project, ['vault', 'list'], { env: { KEYMUX_CONFIG: project.path('keymux.config.yaml') } });
    expect(existsSync(project.path('ran'))).toBe(true);
  });

  it('can be made for public keys alone', async () => {
    const project = new Project();
    const identity = await makeIdentity();
    const [recipient = ''] = (await recipientsOf({ kind: 'identities', identities: [identity] })) ?? [];
    expect((await quietly(project, ['vault', 'init', '--recipient', recipient])).code).toBe(0);
    expect((await quietly(project, ['vault', 'list'], { env: { KEYMUX_VAULT_KEY: identity } })).code).toBe(0);
  });

  it('shows nothing in a terminal of what is typed there in secret', async () => {
    const project = new Project();
    const made = await inTerminal(
      project,
      ['init'],
      [
        ['New passphrase of the vault: ', `x\u0015${WORDS}!\u007f\r`],
        ['Once more: ', `${WORDS}\r`],
      ],
    );
    expect(made.code).toBe(0);
    expect(made.stdout).not.toContain(CANARY);
    expect(existsSync(project.path('keymux.vault'))).toBe(true);
  });
});

describe('keymux vault with somebody to ask', () => {
  it('takes no passphrase that is short, or typed in two ways, and gives up when told to', async () => {
    const project = new Project();
    for (const [answers, code] of [
      [[['New passphrase', 'short\r']], 2],
      [
        [
          ['New passphrase', `${WORDS}\r`],
          ['Once more', `${WORDS}?\r`],
        ],
        2,
      ],
      [[['New passphrase', `${WORDS}\u0003`]], 1],
    ] as const)
      expect((await quietly(project, ['vault', 'init'], { answers })).code).toBe(code);
    expect(existsSync(project.path('keymux.vault'))).toBe(false);
    expect((await quietly(project, ['vault', 'list'], { answers: [] })).code).toBe(4);
  });

  it('asks for passphrase and value', async () => {
    hurryPassphrases();
    const project = await projectWithPassphrase();
    const answers = [
      [PASSPHRASE, `${WORDS}\r`],
      ['Value of a: ', `${CANARY}-value\r`],
    ] as const;
    expect((await quietly(project, ['vault', 'set', 'a'], { answers })).code).toBe(0);
    const env = { KEYMUX_VAULT_KEY: WORDS };
    const { stdout } = await keymuxHere(project, ['vault', 'get', 'a', '--reveal'], { env });
    expect(stdout).toBe(`${CANARY}-value\n`);
  });

  it('refuses a passphrase that is not the one, and one that is half typed', async () => {
    const project = await projectWithPassphrase();
    for (const [typed, code] of [
      ['another passphrase\r', 4],
      ['abc\u0003', 1],
    ] as const)
      expect((await quietly(project, ['vault', 'list'], { answers: [[PASSPHRASE, typed]] })).code).toBe(code);
  });

  it('changes one passphrase for another', async () => {
    hurryPassphrases();
    const project = await projectWithPassphrase();
    const other = `${CANARY} other words altogether`;
    const answers = [
      [PASSPHRASE, `${WORDS}\r`],
      ['New passphrase', `${other}\r`],
      ['Once more', `${other}\r`],
    ] as const;
    expect((await quietly(project, ['vault', 'rotate'], { answers })).code).toBe(0);
    expect((await quietly(project, ['vault', 'list'], { env: { KEYMUX_VAULT_KEY: other } })).code).toBe(0);
  });

  it('changes a passphrase for an identity', async () => {
    const project = await projectWithPassphrase();
    const env = { KEYMUX_VAULT_KEY: WORDS };
    expect(await quietly(project, ['vault', 'recipients', 'list'], { env })).toMatchObject({
      code: 0,
      stdout: '',
      stderr: 'keymux: the vault has a passphrase, and no recipients\n',
    });
    expect((await quietly(project, ['vault', 'rotate', '--new-key', 'file:next.key'], { env })).code).toBe(0);
    expect((await quietly(project, ['vault', 'list'], { env })).code).toBe(4);
    expect((await quietly(project, ['vault', 'list', '--key', 'file:next.key'])).code).toBe(0);
  });

  it('accepts an older copy when a person says so, and not without anybody', async () => {
    const project = await projectWithVault();
    const accept = async (...answers: readonly string[]): Promise<Result> =>
      quietly(project, ['vault', 'accept'], { answers: answers.map((text) => ['(yes/no) ', text]) });
    expect(await accept('no\r')).toMatchObject({
      code: 0,
      stderr: expect.stringContaining('nothing was changed'),
    });
    expect(await accept('Yes\r')).toMatchObject({ code: 0, stderr: expect.stringContaining('is accepted') });
    expect(await quietly(project, ['vault', 'accept'])).toMatchObject({
      code: 2,
      stderr: expect.stringContaining('Nobody is there to confirm it.'),
    });
  });
});

describe('a line that is typed', () => {
  it.each([
    ['abc\r', { text: 'abc', end: 'entered' }],
    ['abc\n', { text: 'abc', end: 'entered' }],
    ['a\u0004', { text: 'a', end: 'entered' }],
    ['abc\u0003', { text: '', end: 'interrupted' }],
    ['ab\u007fc', { text: 'ac' }],
    ['\bä😀\b', { text: 'ä' }],
    ['ab\u0015c', { text: 'c' }],
    ['a\u001bb\tc', { text: 'abc' }],
  ])('%j is read as a person means it', (typed, line) => {
    expect(typeInto('', typed)).toEqual(line);
  });
});
