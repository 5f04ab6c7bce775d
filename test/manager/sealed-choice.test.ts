import { mkdtempSync, readFileSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import { makeIdentity } from '#keymux/config/vault-cipher.js';
import { KeyManager } from '#keymux/manager/key-manager.js';
import { createVault } from '#keymux/vault.js';

const KEY = 'canary-3c61d0-key';
const PROVIDER = 'canaryprovider';

interface Place {
  readonly folder: string;
  readonly env: Readonly<Record<string, string>>;
}

/** A folder with a vault and a state directory of its own. */
async function place(): Promise<Place> {
  const folder = mkdtempSync(join(tmpdir(), 'keymux-sealed-'));
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  const env = {
    KEYMUX_VAULT_KEY: await makeIdentity(),
    KEYMUX_STATE_DIR: join(folder, 'state'),
    HOME: folder,
    ONE: KEY,
  };
  await createVault({ path: join(folder, 'keymux.vault'), env });
  return { folder, env };
}

function managerAt({ folder, env }: Place, store: object = {}, vault: object | null = {}): KeyManager {
  const config = {
    ...(vault === null ? {} : { vault: { path: join(folder, 'keymux.vault'), ...vault } }),
    store: { type: 'sqlite', path: join(folder, 'state.db'), ...store },
    providers: {
      [PROVIDER]: {
        baseUrl: 'http://127.0.0.1:9',
        auth: { in: 'header', name: 'x-api-key' },
        discover: false,
        keys: [
          { id: 'main', value: 'env:ONE', bucket: 'canarybucket', limits: [{ requests: 5, per: 'day' }] },
        ],
      },
    },
  };
  const manager = new KeyManager({ cwd: folder, env, config } as never);
  onTestFinished(() => manager.shutdown());
  return manager;
}

async function spend(manager: KeyManager, times: number): Promise<number> {
  await manager.ready;
  let spent = 0;
  for (let turn = 0; turn < times; turn += 1) {
    try {
      const lease = await manager.acquire(PROVIDER, { timeoutMs: 1 });
      lease.report({ kind: 'success', scope: 'request', executed: 'yes' });
      spent += 1;
    } catch {
      return spent;
    }
  }
  return spent;
}

function filesWith(folder: string, text: string): string[] {
  return readdirSync(folder).filter(
    (name) => name.startsWith('state.db') && readFileSync(join(folder, name), 'latin1').includes(text),
  );
}

describe('the store of a configuration with a vault', () => {
  it('is sealed, and members with the vault share limits exactly', async () => {
    const at = await place();
    const [one, two] = [managerAt(at), managerAt(at)];
    expect((await spend(one, 3)) + (await spend(two, 9))).toBe(5);
    await one.shutdown();
    await two.shutdown();
    expect(filesWith(at.folder, PROVIDER)).toEqual([]);
    expect(filesWith(at.folder, 'canarybucket')).toEqual([]);
    expect(await spend(managerAt(at), 1)).toBe(0);
  });

  it('stays in clear where `store.encrypt` is false, or where there is no vault', async () => {
    for (const [store, vault] of [
      [{ encrypt: false }, {}],
      [{}, null],
    ] as const) {
      const at = await place();
      const manager = managerAt(at, store, vault);
      await spend(manager, 2);
      await manager.shutdown();
      expect(filesWith(at.folder, PROVIDER)).not.toEqual([]);
    }
  });

  it('is refused while the vault is locked', async () => {
    const { folder, env } = await place();
    const locked = { folder, env: { ...env, KEYMUX_VAULT_KEY: await makeIdentity() } };
    expect(() => managerAt(locked)).toThrow(
      expect.objectContaining({ cause: expect.objectContaining({ code: 'KEYMUX_VAULT_LOCKED' }) as unknown }),
    );
    const manager = managerAt(locked, { encrypt: false });
    expect(await spend(manager, 1)).toBe(1);
  });

  it('cannot be sealed without one', async () => {
    const at = await place();
    expect(() => managerAt(at, { encrypt: true }, null)).toThrow(
      expect.objectContaining({
        cause: expect.objectContaining({
          code: 'KEYMUX_CONFIG_INVALID',
          message: expect.stringContaining('store.encrypt') as string,
        }) as unknown,
      }),
    );
  });
});
