import { mkdirSync, readFileSync, statSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { findGateway } from '#keymux/cli/gateway-client.js';
import { Secret } from '#keymux/core/secret.js';
import { makeToken } from '#keymux/gateway/tokens.js';
import type { KeyManager } from '#keymux/manager/key-manager.js';
import { describe, expect, it, onTestFinished } from 'vitest';
import { ownServer } from '../gateway/own-server.js';
import { acmeManager } from '../manager/acme.js';
import { ACME, CANARY, Project } from './keymux-process.js';

const CONFIG = `# Who serves what.
${ACME.trim().replace('limits: [{ requests: 5, per: hour }]', 'discover: false # by name alone\n    keys:\n      - { id: main, value: env:ONE }')}
`;

const ENV = { ONE: `${CANARY}-one`, TWO: `${CANARY}-two` };

function project(config = CONFIG, name = 'keymux.config.yaml'): Project {
  return new Project({ [name]: config }, ENV);
}

const textOf = (folder: Project, name = 'keymux.config.yaml'): string =>
  readFileSync(folder.path(name), 'utf8');
const idsOf = (manager: KeyManager): string[] => manager.inspect().keys.map(({ id }) => id);
const json = (text: string): Record<string, unknown> => JSON.parse(text) as Record<string, unknown>;

/** What `keymux` needs to find a gateway over this manager. */
async function gatewayOf(manager: KeyManager): Promise<Record<string, string>> {
  const { origin } = await ownServer({ manager });
  return { KEYMUX_GATEWAY_URL: origin, KEYMUX_GATEWAY_TOKEN: 'admin' };
}

describe('keys add', () => {
  it('writes the key into the file, keeps what stood there, and a running program takes it up', async () => {
    const folder = project();
    const manager = await folder.manager();
    const before = textOf(folder);
    const added = await folder.keymux(['keys', 'add', 'acme/spare', '--value', 'env:TWO', '--priority', '0']);
    expect([added.code, added.stdout]).toEqual([0, '']);
    expect(added.stderr).toBe(
      `keymux: acme/spare is added (${folder.path('keymux.config.yaml')}; as it was: keymux.config.yaml.bak)\n`,
    );
    expect(textOf(folder)).toBe(
      before.replace(
        'value: env:ONE }\n',
        'value: env:ONE }\n      - { id: spare, value: env:TWO, priority: 0 }\n',
      ),
    );
    expect(textOf(folder, 'keymux.config.yaml.bak')).toBe(before);
    expect(statSync(folder.path('keymux.config.yaml')).mode & 0o777).toBe(0o600);
    await expect.poll(() => manager.getApiKey('acme'), { timeout: 15_000 }).toBe(ENV.TWO);
  });

  it('tells a gateway, which takes it up at once', async () => {
    const folder = project();
    const manager = await folder.manager();
    const env = await gatewayOf(manager);
    const added = await folder.keymux(['keys', 'add', 'acme/spare', '--value', 'env:TWO', '--json'], env);
    expect(json(added.stdout)).toEqual({
      id: 'acme/spare',
      file: folder.path('keymux.config.yaml'),
      backup: folder.path('keymux.config.yaml.bak'),
      gateway: env['KEYMUX_GATEWAY_URL'],
    });
    expect(idsOf(manager)).toEqual(['acme/main', 'acme/spare']);
  });

  it('writes nothing where it is to last only as long as the gateway', async () => {
    const folder = project();
    const manager = await folder.manager();
    const before = textOf(folder);
    const args = [
      'keys',
      'add',
      'acme/spare',
      '--value',
      'env:TWO',
      '--weight',
      '2',
      '--bucket',
      'b',
      '--until-restart',
    ];
    const alone = await folder.keymux(args, { KEYMUX_GATEWAY_URL: 'off' });
    expect([alone.code, alone.stderr]).toEqual([
      2,
      expect.stringContaining('No gateway with this configuration'),
    ]);
    const added = await folder.keymux(args, await gatewayOf(manager));
    expect([added.code, added.stderr]).toEqual([0, 'keymux: acme/spare is in use until the gateway ends\n']);
    expect(textOf(folder)).toBe(before);
    expect(manager.inspect().keys).toContainEqual(
      expect.objectContaining({ id: 'acme/spare', bucket: 'acme/b' }),
    );
  });

  it('warns of a key that cannot be read, by its reference', async () => {
    const folder = project();
    const added = await folder.keymux(['keys', 'add', 'acme/spare', '--value', 'env:NOT_SET']);
    expect(added.code).toBe(0);
    expect(added.stderr).toContain('acme/spare is written, but cannot be used yet');
    expect(added.stderr).toContain('fix: Make env:NOT_SET give the key.');
    const command = await folder.keymux([
      'keys',
      'add',
      'acme/other',
      '--value',
      'exec:no-such-program --token x',
    ]);
    expect(command.stderr).toContain('fix: Make the command give the key.');
  });

  it.each<[string, string[], string]>([
    ['no provider', ['spare', '--value', 'env:TWO'], 'is called provider/id'],
    ['too much', ['a/b/c', '--value', 'env:TWO'], 'is called provider/id'],
    ['the key itself', ['acme/spare', '--value', `${CANARY}-pasted`], 'never the key itself'],
    ['an id that is taken', ['acme/main', '--value', 'env:TWO'], 'has a key acme/main already'],
    ['no reference', ['acme/spare'], 'required option'],
    ['a faulty weight', ['acme/spare', '--value', 'env:TWO', '--weight', '0'], 'above 0'],
    ['a faulty priority', ['acme/spare', '--value', 'env:TWO', '--priority', '-1'], 'whole number'],
  ])('is refused with %s', async (_, args, message) => {
    const folder = project();
    const before = textOf(folder);
    const { code, stderr } = await folder.keymux(['keys', 'add', ...args]);
    expect(code).toBe(2);
    expect(stderr.toLowerCase()).toContain(message.toLowerCase());
    expect(textOf(folder)).toBe(before);
  });

  it('writes nothing that would not do', async () => {
    const folder = project();
    const before = textOf(folder);
    const { code, stderr } = await folder.keymux(['keys', 'add', 'nobody/spare', '--value', 'env:TWO']);
    expect([code, stderr]).toEqual([3, expect.stringContaining('the catalogue has no such provider')]);
    expect(textOf(folder)).toBe(before);
    const none = await new Project().keymux(['keys', 'add', 'openai/spare', '--value', 'env:TWO']);
    expect([none.code, none.stderr]).toEqual([2, expect.stringContaining('`keymux init` writes one')]);
  });

  it('edits JSON with its comments', async () => {
    const config =
      '{\n  // Ours.\n  "providers": { "openai": { "discover": false } },\n  "store": { "type": "memory" }\n}\n';
    const folder = project(config, 'keymux.config.jsonc');
    expect((await folder.keymux(['keys', 'add', 'openai/spare', '--value', 'env:TWO'])).code).toBe(0);
    expect(textOf(folder, 'keymux.config.jsonc')).toContain('// Ours.');
    expect((await folder.keymux(['keys', 'list'])).stdout).toContain('openai/spare');
  });

  it('says so where the file cannot be replaced', async () => {
    const folder = project();
    const before = textOf(folder);
    mkdirSync(folder.path('keymux.config.yaml.bak'));
    const { code, stderr } = await folder.keymux(['keys', 'add', 'acme/spare', '--value', 'env:TWO']);
    expect([code, stderr]).toEqual([2, expect.stringContaining('cannot be written (EISDIR)')]);
    expect(textOf(folder)).toBe(before);
  });
});

describe('keys retire', () => {
  it('takes the key out of the file', async () => {
    const folder = project();
    const before = textOf(folder);
    await folder.keymux(['keys', 'add', 'acme/spare', '--value', 'env:TWO']);
    const manager = await folder.manager();
    const retired = await folder.keymux(['keys', 'retire', 'spare'], await gatewayOf(manager));
    expect([retired.code, retired.stderr]).toEqual([0, expect.stringContaining('acme/spare is retired;')]);
    expect(textOf(folder)).toBe(before);
    expect(idsOf(manager)).toEqual(['acme/main']);
  });

  it('warns where the key is still found elsewhere', async () => {
    const folder = project(CONFIG.replace('discover: false', 'env: [ONE]'));
    const { code, stderr } = await folder.keymux(['keys', 'retire', 'acme/main']);
    expect(code).toBe(0);
    expect(stderr).toContain('The same key is still found in env:ONE, as acme/main.');
  });

  it('is a matter of the gateway where the file does not have it', async () => {
    const folder = project(ACME);
    const env = { ACME_API_KEY: ENV.ONE, ACME_API_KEY_2: ENV.TWO };
    const refused = await folder.keymux(['keys', 'retire', '2'], env);
    expect([refused.code, refused.stderr]).toEqual([
      2,
      expect.stringContaining('It was found in env:ACME_API_KEY_2'),
    ]);
    const manager = acmeManager({ keys: [ENV.ONE, ENV.TWO] });
    const retired = await folder.keymux(['keys', 'retire', '2'], { ...env, ...(await gatewayOf(manager)) });
    expect(retired.stderr).toBe(
      'keymux: acme/2 is retired until the gateway ends (requests under way with it: 0)\n',
    );
    expect(idsOf(manager)).toEqual(['acme/main']);
    const again = await folder.keymux(['keys', 'retire', 'added'], { ...env, KEYMUX_GATEWAY_URL: 'off' });
    expect([again.code, again.stderr]).toEqual([2, expect.stringContaining('There is no key "added"')]);
  });
});

describe('a running gateway', () => {
  it('is asked for its keys, those that it alone has included', async () => {
    const folder = project();
    const manager = acmeManager({ keys: [`${CANARY}-a`] });
    manager.report('acme/main', 'success', { costUsd: 0.5 });
    manager.addKey({ provider: 'acme', id: 'only-there', secret: new Secret(`${CANARY}-b`) });
    const env = await gatewayOf(manager);
    const listed = await folder.keymux(['keys', 'list', '--json'], env);
    expect(json(listed.stdout)['keys']).toEqual([
      expect.objectContaining({ id: 'acme/main' }),
      expect.objectContaining({ id: 'acme/only-there', foundIn: 'added while running' }),
    ]);
    expect((await folder.keymux(['keys', 'list'], env)).stdout).toContain('acme/only-there');
  });

  it('changes keys, also where no store is shared', async () => {
    const folder = project(CONFIG.replace(/store: .*/, 'store: { type: memory }'));
    const manager = acmeManager();
    const env = await gatewayOf(manager);
    const disabled = await folder.keymux(['keys', 'disable', 'main'], env);
    expect([disabled.code, disabled.stderr]).toEqual([
      0,
      `keymux: acme/main is disabled; the gateway at ${env['KEYMUX_GATEWAY_URL']} sees it at once\n`,
    ]);
    expect(manager.getApiKey('acme')).toBe('key-two');
    const enabled = await folder.keymux(['keys', 'enable', 'main', '--json'], env);
    expect(json(enabled.stdout)).toMatchObject({
      id: 'acme/main',
      action: 'enable',
      by: env['KEYMUX_GATEWAY_URL'],
    });
    expect(manager.getApiKey('acme')).toBe('key-one');
  });

  it('says why it refuses', async () => {
    const folder = project();
    const env = await gatewayOf(acmeManager());
    const refused = await folder.keymux(['keys', 'list'], { ...env, KEYMUX_GATEWAY_TOKEN: 'use' });
    expect(refused.code).toBe(7);
    expect(refused.stderr).toContain('refused: The token "use" has not the role read.');
  });

  it.each<[string, Record<string, string>, string]>([
    [
      'nothing answers',
      { KEYMUX_GATEWAY_URL: 'http://127.0.0.1:9', KEYMUX_GATEWAY_TOKEN: 'x' },
      'No gateway answers',
    ],
    ['it is elsewhere in the open', { KEYMUX_GATEWAY_URL: 'http://10.0.0.1:4800' }, 'names no gateway'],
    ['it is no address', { KEYMUX_GATEWAY_URL: 'nowhere' }, 'names no gateway'],
    ['there is no token', { KEYMUX_GATEWAY_URL: 'http://127.0.0.1:9' }, 'no token for the gateway'],
    [
      'there is none for elsewhere',
      { KEYMUX_GATEWAY_URL: 'https://gateway.example' },
      'no token for the gateway',
    ],
  ])('is told where %s', async (_, env, message) => {
    const { code, stderr } = await project().keymux(['keys', 'list'], env);
    expect([code, stderr]).toEqual([2, expect.stringContaining(message)]);
  });

  it('is told where something else answers', async () => {
    const server = createServer((_, response) => response.end('hello')).listen(0, '127.0.0.1');
    onTestFinished(() => void server.close());
    await new Promise((resolve) => server.once('listening', resolve));
    const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
    const env = { KEYMUX_GATEWAY_URL: url, KEYMUX_GATEWAY_TOKEN: 'x' };
    const { code, stderr } = await project().keymux(['keys', 'list'], env);
    expect([code, stderr]).toEqual([2, expect.stringContaining('is no keymux gateway')]);
  });
});

describe('the gateway of this machine', () => {
  it('is the one that reads the same files, with the token that it wrote down', async () => {
    const token = makeToken('admin').secret.reveal();
    const folder = new Project(
      { 'keymux.config.yaml': CONFIG, 'state/gateway-tokens': `admin=${token}\n` },
      ENV,
    );
    const manager = await folder.manager();
    const { origin } = await ownServer({ manager, tokens: { [token]: 'admin' } });
    const { configuration } = manager;
    expect((await findGateway(configuration, folder.env, origin))?.url).toBe(origin);
    const other = { ...configuration, sources: ['/elsewhere/keymux.config.yaml'] };
    expect(await findGateway(other, folder.env, origin)).toBeUndefined();
    const alone = { ...configuration, store: { type: 'memory' } as const };
    expect(await findGateway(alone, folder.env, origin)).toBeUndefined();
    expect(await findGateway(configuration, folder.env, 'http://127.0.0.1:9')).toBeUndefined();
    expect(
      await findGateway(configuration, { ...folder.env, KEYMUX_GATEWAY_URL: 'off' }, origin),
    ).toBeUndefined();
    expect(await findGateway(configuration, { KEYMUX_STATE_DIR: '/nonexistent' }, origin)).toBeUndefined();
  });
});
