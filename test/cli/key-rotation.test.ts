import { readFileSync, statSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { describe, expect, it, onTestFinished } from 'vitest';
import { makeIdentity } from '#keymux/config/vault-cipher.js';
import { createGateway } from '#keymux/gateway.js';
import type { KeyManager } from '#keymux/manager/key-manager.js';
import { changeVault, createVault, readVault } from '#keymux/vault.js';
import { quietly } from './keymux-here.js';
import type { Result } from './keymux-process.js';
import { ACME, CANARY, Project } from './keymux-process.js';

const OLD = `${CANARY}-old`;
const NEW = `${CANARY}-new`;
const TOKENS = { use: `kmx_use_${'a'.repeat(24)}`, admin: `kmx_admin_${'b'.repeat(24)}` };

/** A provider that takes some keys, counts what came with which, and can be made to answer late. */
class Provider {
  readonly accepted = new Set([OLD, NEW]);
  readonly requests: { readonly key: string; readonly path: string; readonly status: number }[] = [];
  origin = '';
  #held: (() => void)[] | undefined;

  static async start(): Promise<Provider> {
    const provider = new Provider();
    const server = createServer((request, response) => {
      const key = String(request.headers['x-api-key']);
      const status = provider.accepted.has(key) ? 200 : 401;
      const path = request.url ?? '';
      provider.requests.push({ key, path, status });
      const answer = (): void => void response.writeHead(status).end(JSON.stringify({ path }));
      if (path === '/slow' && provider.#held !== undefined) provider.#held.push(answer);
      else setTimeout(answer, 5);
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    onTestFinished(() => {
      server.closeAllConnections();
      server.close();
    });
    provider.origin = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
    return provider;
  }

  hold(): void {
    this.#held = [];
  }

  release(): void {
    for (const answer of this.#held ?? []) answer();
    this.#held = undefined;
  }

  keysOf(path: string): string[] {
    return this.requests.filter((request) => request.path === path).map(({ key }) => key);
  }
}

interface Stage {
  readonly provider: Provider;
  readonly folder: Project;
}

async function stage(value = 'file:./acme.key', probe = '    probe: { path: /probe }\n'): Promise<Stage> {
  const provider = await Provider.start();
  const config = `providers:
  acme:
    baseUrl: ${provider.origin}
    auth: { in: header, name: x-api-key }
${probe}    discover: false
    keys:
      - { id: main, value: "${value}" } # the one
      - { id: other, value: env:OTHER, priority: 9 }
`;
  const folder = new Project(
    { 'keymux.config.yaml': config, 'acme.key': `${OLD}\n`, 'next.key': `${NEW}\n` },
    { OLD_KEY: OLD, OTHER: `${CANARY}-other` },
  );
  return { provider, folder };
}

/** What `keymux` needs to find a gateway over this manager. */
async function gatewayOf(
  manager: KeyManager,
): Promise<{ readonly KEYMUX_GATEWAY_URL: string; readonly KEYMUX_GATEWAY_TOKEN: string }> {
  const gateway = createGateway({ manager, port: 0, tokens: [TOKENS.use, TOKENS.admin] });
  onTestFinished(() => gateway.close());
  const { origin } = await gateway.listen();
  return { KEYMUX_GATEWAY_URL: origin, KEYMUX_GATEWAY_TOKEN: TOKENS.admin };
}

/** Runs with the new value on stdin. */
async function rotate(
  folder: Project,
  args: readonly string[],
  text: string,
  env: Record<string, string> = {},
): Promise<Result> {
  return quietly(folder, ['keys', 'rotate', ...args], { env, input: text });
}

describe('keys rotate', () => {
  it('proves the new value and writes it to where the reference points', async () => {
    const { provider, folder } = await stage();
    const { code, stderr } = await rotate(folder, ['acme/main'], `${NEW}\n`);
    expect(stderr).toBe(
      'keymux: acme/main has its new value; programs that run take it up within seconds: revoke the old one after that\n',
    );
    expect(code).toBe(0);
    expect(readFileSync(folder.path('acme.key'), 'utf8')).toBe(`${NEW}\n`);
    expect(statSync(folder.path('acme.key')).mode & 0o777).toBe(0o600);
    expect(provider.requests).toEqual([{ key: NEW, path: '/probe', status: 200 }]);
  });

  it('writes a new version of an entry in the vault', async () => {
    const { provider, folder } = await stage('vault:acme/main');
    const env = { ...folder.env, KEYMUX_VAULT_KEY: await makeIdentity() };
    const at = { path: folder.path('keymux.vault'), env };
    await createVault(at);
    await changeVault((draft) => draft.set('acme/main', OLD), at);
    const { code, stderr } = await rotate(folder, ['acme/main'], `${NEW}\n`, env);
    expect([code, stderr]).toEqual([0, expect.stringContaining('acme/main has its new value')]);
    const vault = await readVault(at);
    expect([vault.get('acme/main'), vault.entry('acme/main')?.version]).toEqual([NEW, 2]);
    expect(provider.keysOf('/probe')).toEqual([NEW]);
  });

  it('changes nothing where the provider does not take it, or does not say', async () => {
    const { provider, folder } = await stage();
    provider.accepted.delete(NEW);
    const refused = await rotate(folder, ['acme/main'], NEW);
    expect([refused.code, refused.stderr]).toEqual([
      6,
      expect.stringContaining('acme does not take the new key acme/main: rejected.'),
    ]);
    expect(readFileSync(folder.path('acme.key'), 'utf8')).toBe(`${OLD}\n`);
    const unasked = await rotate(folder, ['main', '--no-check', '--json'], NEW);
    expect(JSON.parse(unasked.stdout)).toEqual({ id: 'acme/main', proven: false, drained: false });
    expect(readFileSync(folder.path('acme.key'), 'utf8')).toBe(`${NEW}\n`);
  });

  it('writes another reference into the file, where the new value is elsewhere', async () => {
    const { folder } = await stage('env:OLD_KEY', '');
    const before = readFileSync(folder.path('keymux.config.yaml'), 'utf8');
    const { code, stderr } = await rotate(folder, ['acme/main', '--value', 'file:./next.key'], '');
    expect([code, stderr]).toEqual([0, expect.stringContaining('acme has no probe that proves a key')]);
    expect(readFileSync(folder.path('keymux.config.yaml'), 'utf8')).toBe(
      before.replace('"env:OLD_KEY"', '"file:./next.key"'),
    );
    expect(readFileSync(folder.path('keymux.config.yaml.bak'), 'utf8')).toBe(before);
  });

  it.each([
    ['the value that it has', 'acme/main', OLD, 2, 'This is the value that acme/main has already.'],
    ['the value of another key', 'acme/main', `${CANARY}-other`, 2, 'This is the value of acme/other.'],
    ['nothing', 'acme/main', '', 3, 'it is empty'],
    ['a value for what is not writable', 'acme/other', NEW, 2, 'is not where keymux can write it'],
    ['a key that is not known', 'acme/none', NEW, 2, 'acme/none'],
  ])('refuses %s', async (_, id, text, code, message) => {
    const { folder } = await stage();
    const result = await rotate(folder, [id], text);
    expect([result.code, result.stderr]).toEqual([code, expect.stringContaining(message)]);
    expect(readFileSync(folder.path('acme.key'), 'utf8')).toBe(`${OLD}\n`);
  });

  it('says where a key was found that does not stand in the file', async () => {
    for (const files of [{ 'keymux.config.yaml': ACME }, {}] as const) {
      const folder = new Project(files, { OPENAI_API_KEY: OLD });
      const { code, stderr } = await rotate(folder, ['openai/main'], NEW);
      expect([code, stderr]).toEqual([2, expect.stringContaining('It was found in env:OPENAI_API_KEY')]);
    }
  });

  it('refuses what is no key before anything is written', async () => {
    const { folder } = await stage();
    const { code, stderr } = await rotate(folder, ['acme/main'], `${NEW}\nmore`);
    expect([code, stderr]).toEqual([3, expect.stringContaining('The new key acme/main cannot be used')]);
    expect(readFileSync(folder.path('acme.key'), 'utf8')).toBe(`${OLD}\n`);
  });

  it('loses no request of a program or of the gateway, and never uses the old key after it was drained', async () => {
    const { provider, folder } = await stage();
    const manager = await folder.manager();
    const env = await gatewayOf(manager);
    const url = `${env.KEYMUX_GATEWAY_URL}/acme/work`;
    const headers = { 'x-api-key': TOKENS.use };
    const statuses: number[] = [];
    let goesOn = true;
    const flood = async (send: () => Promise<Response>): Promise<void> => {
      while (goesOn) {
        const response = await send();
        await response.text();
        statuses.push(response.status);
      }
    };
    provider.hold();
    const slow = manager.fetch('acme', '/slow');
    await expect.poll(() => provider.keysOf('/slow'), { timeout: 10_000 }).toEqual([OLD]);
    const floods = [
      ...Array.from({ length: 4 }, () => flood(() => manager.fetch('acme', '/work'))),
      ...Array.from({ length: 4 }, () => flood(() => fetch(url, { headers }))),
    ];
    await expect.poll(() => statuses.length, { timeout: 10_000 }).toBeGreaterThan(20);
    const rotated = rotate(folder, ['acme/main', '--json'], NEW, env);
    await expect.poll(() => provider.keysOf('/work').includes(NEW), { timeout: 20_000 }).toBe(true);
    expect(manager.retiring.map(({ id }) => id)).toEqual(['acme/main']);
    provider.release();
    expect((await slow).status).toBe(200);
    const { code, stdout } = await rotated;
    expect([code, JSON.parse(stdout)]).toEqual([
      0,
      { id: 'acme/main', proven: true, drained: true, gateway: env.KEYMUX_GATEWAY_URL },
    ]);
    provider.accepted.delete(OLD);
    const { length: drainedAt } = provider.requests;
    const { length: before } = statuses;
    await expect.poll(() => statuses.length, { timeout: 10_000 }).toBeGreaterThan(before + 50);
    goesOn = false;
    await Promise.all(floods);
    expect(new Set(statuses)).toEqual(new Set([200]));
    expect(new Set(provider.requests.slice(drainedAt).map(({ key }) => key))).toEqual(new Set([NEW]));
  });
});

describe('keys retire --drain', () => {
  it('waits until no request is under way with the key', async () => {
    const { provider, folder } = await stage();
    const manager = await folder.manager();
    const env = await gatewayOf(manager);
    provider.hold();
    const slow = manager.fetch('acme', '/slow');
    await expect.poll(() => provider.keysOf('/slow'), { timeout: 10_000 }).toEqual([OLD]);
    const running = folder.start(['keys', 'retire', 'acme/main', '--drain'], env);
    running.process.stdin?.end();
    await expect
      .poll(() => manager.retiring, { timeout: 20_000 })
      .toEqual([{ id: 'acme/main', inFlight: 1 }]);
    expect(running.process.exitCode).toBeNull();
    provider.release();
    await slow;
    const { code, stderr } = await running.ended;
    expect([code, stderr]).toEqual([0, expect.stringContaining('acme/main is retired and drained')]);
  });

  it('needs a gateway, and changes nothing without one', async () => {
    const { folder } = await stage();
    const before = readFileSync(folder.path('keymux.config.yaml'), 'utf8');
    const { code, stderr } = await quietly(folder, ['keys', 'retire', 'acme/main', '--drain']);
    expect([code, stderr]).toEqual([2, expect.stringContaining('No gateway with this configuration')]);
    expect(readFileSync(folder.path('keymux.config.yaml'), 'utf8')).toBe(before);
  });

  it('drains a key that only the gateway has', async () => {
    const { folder } = await stage();
    const manager = await folder.manager();
    const env = await gatewayOf(manager);
    const { code, stderr } = await quietly(
      folder,
      ['keys', 'retire', 'acme/main', '--drain', '--until-restart'],
      { env },
    );
    expect([code, stderr]).toEqual([0, expect.stringContaining('until the gateway ends, and drained')]);
    expect(manager.inspect().keys.map(({ id }) => id)).toEqual(['acme/other']);
  });
});
