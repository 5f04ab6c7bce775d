import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { makeIdentity } from '#keymux/config/vault-cipher.js';
import { createVault } from '#keymux/vault.js';
import { describe, expect, it } from 'vitest';
import { auditPlace } from './audit-folder.js';

type Place = ReturnType<typeof auditPlace>;

const CANARY = 'CANARY-audit-one-55b1';
const dist = (name: string): string => new URL(`../../dist/${name}`, import.meta.url).href;
const REGISTER = fileURLToPath(dist('register.js'));

interface Settings {
  readonly config?: object;
  readonly env?: Readonly<Record<string, string>>;
}

interface Ended {
  readonly code: number | null;
  readonly stderr: string;
}

async function run(place: Place, code: string, { config = {}, env = {} }: Settings = {}): Promise<Ended> {
  mkdirSync(place.root, { recursive: true });
  const path = join(place.root, 'keymux.config.json');
  const stated = {
    store: { type: 'memory' },
    audit: { path: 'audit' },
    providers: { acme: { baseUrl: 'http://127.0.0.1:9', env: ['ACME_API_KEY'] } },
    ...config,
  };
  writeFileSync(path, JSON.stringify(stated));
  const child = spawn(process.execPath, ['--import', REGISTER, '--input-type=module', '-e', code], {
    cwd: place.root,
    env: {
      PATH: process.env['PATH'],
      HOME: place.root,
      KEYMUX_CONFIG: path,
      KEYMUX_STATE_DIR: place.stateFolder,
      ACME_API_KEY: CANARY,
      ...env,
    },
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  let stderr = '';
  child.stderr.setEncoding('utf8').on('data', (text: string) => (stderr += text));
  const [exitCode] = (await once(child, 'close')) as [number | null];
  expect(stderr).not.toContain(CANARY);
  return { code: exitCode, stderr };
}

const accesses = (place: Place): unknown[] =>
  place.records().flatMap(({ type, data }) => (type === 'access' ? [[data['key'], data['way']]] : []));

describe('a program that keymux is preloaded into', () => {
  it('keeps the trail, also where it ends at once', async () => {
    const place = auditPlace();
    expect((await run(place, 'process.env.ACME_API_KEY; process.exit(3)')).code).toBe(3);
    expect(accesses(place)).toEqual([['acme/main', 'environment']]);
    expect(place.text()).not.toContain(CANARY);
    expect(await place.verify()).toMatchObject({ ok: true, files: 1 });
  });

  it('keeps it once, also where the program asks for it too', async () => {
    const place = auditPlace();
    const code = `
      import { MinimalMultiKeyManager } from '${dist('index.js')}';
      import { startAudit } from '${dist('audit.js')}';
      const audit = startAudit(MinimalMultiKeyManager.instance());
      process.env.ACME_API_KEY;
      audit.stop();
      process.env.ACME_API_KEY;`;
    expect(await run(place, code)).toEqual({ code: 0, stderr: '' });
    expect(place.records().map(({ type, data }) => [type, data['count']])).toContainEqual(['access', 2]);
    expect(place.types().filter((type) => type === 'closed')).toHaveLength(1);
    expect([place.files().length, accesses(place).length]).toEqual([1, 1]);
  });

  it('keeps the trail where it ends by an error', async () => {
    const place = auditPlace();
    expect((await run(place, 'process.env.ACME_API_KEY; throw new Error("over")')).code).toBe(1);
    expect(accesses(place)).toEqual([['acme/main', 'environment']]);
    expect(place.types()).toContain('closed');
  });

  it('keeps a file for each of its threads', async () => {
    const place = auditPlace();
    const worker = 'process.env.ACME_API_KEY';
    const code = `import { Worker } from 'node:worker_threads'; process.env.ACME_API_KEY; new Worker(${JSON.stringify(worker)}, { eval: true });`;
    expect((await run(place, code)).code).toBe(0);
    expect(accesses(place)).toHaveLength(2);
    expect(place.files()).toHaveLength(2);
    expect(await place.verify()).toMatchObject({ ok: true, files: 2 });
  });

  it('loses its last batch at most where it is killed', async () => {
    const place = auditPlace();
    const code = `process.env.ACME_API_KEY;
      const { readdirSync, readFileSync } = await import('node:fs');
      const look = () => {
        try {
          const files = readdirSync('audit').filter((name) => name.endsWith('.jsonl'));
          if (files.some((name) => readFileSync('audit/' + name, 'utf8').includes('"access"'))) process.kill(process.pid, 'SIGKILL');
        } catch {}
      };
      setInterval(look, 10);`;
    expect((await run(place, code)).code).toBe(null);
    expect(accesses(place)).toEqual([['acme/main', 'environment']]);
    expect((await place.verify()).ok).toBe(true);
  });
});

describe('a program that must be audited', () => {
  const failClosed = { path: 'audit', failClosed: true };

  it('does not start where nothing can sign its trail', async () => {
    const place = auditPlace();
    const env = { KEYMUX_VAULT_KEY: await makeIdentity() };
    const path = join(place.root, 'keymux.vault');
    await createVault({ path, env });
    const config = { vault: {}, audit: failClosed };
    const read = 'process.env.ACME_API_KEY';
    expect(await run(place, read, { config, env })).toEqual({ code: 0, stderr: '' });
    expect(place.types()).toContain('access');

    const locked = await run(place, read, { config, env: { KEYMUX_VAULT_KEY: await makeIdentity() } });
    expect([locked.code, locked.stderr]).toEqual([4, expect.stringContaining('stays locked')]);

    writeFileSync(
      path,
      readFileSync(path, 'utf8').replace(/^(?<line>[\w+/]{60})/m, (line) => line.toLowerCase()),
    );
    const damaged = await run(place, read, { config, env });
    expect([damaged.code, damaged.stderr]).toEqual([5, expect.stringContaining('is refused')]);
  });

  it('does not start with a damaged signing key, which hinders nobody else', async () => {
    const place = auditPlace();
    mkdirSync(place.stateFolder, { recursive: true });
    writeFileSync(join(place.stateFolder, 'audit-key.pem'), 'no key');
    const code = 'if (process.env.ACME_API_KEY === undefined) process.exit(1)';
    const refused = await run(place, code, { config: { audit: failClosed } });
    expect([refused.code, refused.stderr]).toEqual([9, expect.stringContaining('is damaged')]);
    const warned = await run(place, code);
    expect([warned.code, warned.stderr]).toEqual([0, expect.stringContaining('cannot be written')]);
  });
});
