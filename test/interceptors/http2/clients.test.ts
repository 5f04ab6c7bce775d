import { execFile as execFileWithCallback } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { describe, expect, it, onTestFinished } from 'vitest';
import { BAD_BAD_GOOD, KEYS, manage, provider } from './provider.js';

const execFile = promisify(execFileWithCallback);
const clients = createRequire(new URL('../../clients/package.json', import.meta.url));
const major = Number(process.versions.node.split('.')[0]);

const CHILD = fileURLToPath(new URL('./child.mjs', import.meta.url));
const PRELOAD = fileURLToPath(new URL('../../../dist/register.cjs', import.meta.url));

interface Undici {
  Agent: new (options: object) => { close(): Promise<void> };
  request(url: string, options: object): Promise<{ statusCode: number; body: { dump(): Promise<void> } }>;
}

type Got = (
  url: string,
  options: object,
) => Promise<{ readonly statusCode: number; readonly request: { readonly options: object } }>;

const HEADERS = { authorization: 'Bearer key-limited' };
// undici 8 needs Node 22.
const versions = ['undici5', 'undici6', 'undici7', 'undici8'].slice(0, major >= 22 ? 4 : 3);

describe('undici over HTTP/2', () => {
  it.each(versions)('fails over, and each attempt keeps the key that was chosen for it: %s', async (name) => {
    const { origin, seen, requests } = await provider(BAD_BAD_GOOD, true);
    const manager = manage(origin);
    const undici = clients(name) as Undici;
    const dispatcher = new undici.Agent({ allowH2: true, connect: { rejectUnauthorized: false } });
    onTestFinished(() => dispatcher.close());
    const answer = await undici.request(`${origin}/a`, { dispatcher, headers: HEADERS });
    await answer.body.dump();
    expect(answer.statusCode).toBe(200);
    expect(requests[0]?.[':path']).toBe('/a');
    expect(seen()).toEqual(KEYS);
    // A second layer that chose anew would have taken further leases.
    expect(manager.inspect().keys.map(({ uses }) => uses)).toEqual([1, 1, 1]);
  });
});

describe('got with http2', () => {
  const loaded = ['got14', ...(major >= 22 ? ['got16'] : [])];
  it.each(loaded)('gets the key that is selected now: %s', async (name) => {
    const { origin, seen } = await provider(BAD_BAD_GOOD, true);
    manage(origin);
    const { default: got } = (await import(clients.resolve(name))) as { default: Got };
    const options = {
      http2: true,
      https: { rejectUnauthorized: false },
      headers: HEADERS,
      retry: { limit: 0 },
      throwHttpErrors: false,
    };
    const statuses: number[] = [];
    for (let time = 0; time < 3; time += 1) statuses.push((await got(`${origin}/a`, options)).statusCode);
    expect(statuses).toEqual([429, 401, 200]);
    expect(seen()).toEqual(KEYS);
  });
});

async function child(what: string): Promise<Record<string, unknown>> {
  const { origin, seen } = await provider(BAD_BAD_GOOD, what === 'fetch');
  const cwd = mkdtempSync(join(tmpdir(), 'keymux-http2-'));
  onTestFinished(() => rmSync(cwd, { recursive: true, force: true }));
  const config = {
    store: { type: 'memory' },
    providers: { acme: { baseUrl: origin, env: ['ACME_API_KEY'] } },
  };
  writeFileSync(join(cwd, 'keymux.config.json'), JSON.stringify(config));
  const env = {
    ...process.env,
    ACME_URL: origin,
    ACME_API_KEYS: KEYS.join(','),
    NODE_TLS_REJECT_UNAUTHORIZED: '0',
    NODE_NO_WARNINGS: '1',
  };
  const { stdout } = await execFile(process.execPath, ['--import', PRELOAD, CHILD, what], { env, cwd });
  return { ...(JSON.parse(stdout) as object), seen: seen() };
}

describe('the preload', () => {
  it('does not load node:http2', async () => {
    expect(await child('nothing')).toEqual({ isLoaded: false, statuses: [], seen: [] });
  });

  it.each(['import', 'import a name', 'dynamic import', 'require'])('covers node:http2: %s', async (what) => {
    expect(await child(what)).toMatchObject({ statuses: [429, 401, 200], seen: KEYS });
  });

  if (major >= 26) {
    it('covers the built-in fetch, which speaks HTTP/2 by itself', async () => {
      expect(await child('fetch')).toMatchObject({ statuses: [200], seen: KEYS });
    });
  }
});
