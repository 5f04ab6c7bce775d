import { readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import { readEnvironment } from '#keymux/config/environment.js';
import { makeIdentity } from '#keymux/config/vault-cipher.js';
import { accessWith } from '#keymux/config/vault-opened.js';
import type { VaultAccess } from '#keymux/config/vault-opened.js';
import { changeVault, createVault, readVault } from '#keymux/config/vault-write.js';
import { ERROR_CODES } from '#keymux/core/errors.js';
import type { ErrorCode } from '#keymux/core/errors.js';
import { createGateway } from '#keymux/gateway.js';
import { KeyGuard } from '#keymux/interceptors/key-guard.js';
import { patch } from '#keymux/interceptors/patches.js';
import { KeyManager } from '#keymux/manager/key-manager.js';
import type { KeyManagerOptions } from '#keymux/manager/options.js';
import { startAudit } from '#keymux/observe/audit.js';
import { StateTable } from '#keymux/state/table.js';
import { createMemoryStore } from '#keymux/stores/memory.js';
import { KnownBuckets } from '#keymux/stores/sqlite/lineage.js';
import { keymuxHere } from '../cli/keymux-here.js';
import { Project } from '../cli/keymux-process.js';
import { virtualKeyOf, virtualProvider } from '../interceptors/virtual.js';
import { clientError } from './foreign.js';
import { makeCanary, makePlainCanary } from './canary.js';
import { Sinks } from './sinks.js';
import { startProvider, temporaryFolder } from './stage.js';

const SILENT = { warn: () => {}, info: () => {} };
/** Nothing listens there. */
const NOBODY = 'http://127.0.0.1:9';
const key = makeCanary('key');
const plain = makePlainCanary('plain');
const password = makeCanary('password');
const token = makePlainCanary('token');
const TOKEN = `kmx_use_${token.text}`;
const CANARIES = [key, plain, password, token];

type Config = NonNullable<Exclude<KeyManagerOptions['config'], false>>;

/** A manager of two keys of `acme`, one of each kind. */
function managerOf(config: Config = {}, options: KeyManagerOptions = {}): KeyManager {
  const folder = temporaryFolder();
  const acme = { baseUrl: NOBODY, env: ['ACME_API_KEY'] };
  const manager = new KeyManager({
    env: { KEYMUX_STATE_DIR: join(folder, 'state'), ACME_API_KEY: key.text, ACME_API_KEY_2: plain.text },
    cwd: folder,
    logger: SILENT,
    drainMs: 1,
    ...options,
    config: { store: { type: 'memory' }, ...config, providers: { acme, ...config.providers } },
  });
  onTestFinished(() => manager.shutdown());
  return manager;
}

/** Asks a gateway before such a manager; what it says. */
async function askGateway(manager: KeyManager, token: string): Promise<string> {
  const gateway = createGateway({ manager, port: 0, tokens: [TOKEN] });
  onTestFinished(() => gateway.close(0));
  const { origin } = await gateway.listen();
  const response = await fetch(`${origin}/acme/v1/x?of=${encodeURIComponent(key.text)}`, {
    method: 'POST',
    body: JSON.stringify({ stream: true, key: key.text }),
    headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
  });
  return response.text();
}

async function vaultAccess(): Promise<VaultAccess> {
  const folder = temporaryFolder();
  const definition = { path: join(folder, 'keymux.vault'), key: 'env:NONE', folder };
  const environment = readEnvironment({ KEYMUX_STATE_DIR: join(folder, 'state') }, folder);
  const access = accessWith(definition, environment, {
    kind: 'identities',
    identities: [await makeIdentity()],
  });
  await createVault(access);
  await changeVault(access, (draft) => draft.set('acme/main', key.text));
  return access;
}

/** The command in a project with a configuration that a person wrote; what it prints. */
async function printed(args: readonly string[], files: Readonly<Record<string, string>>): Promise<string> {
  const project = new Project(files, { ACME_API_KEY: key.text });
  const { stdout, stderr } = await keymuxHere(project, args);
  return stdout + stderr;
}

const ACME = `providers:\n  acme: { baseUrl: '${NOBODY}', env: [ACME_API_KEY] }\n`;

/** How each code is reached with keys in play; what is thrown is caught, and what is answered is given back. */
const REACHED: Readonly<Record<ErrorCode, () => unknown>> = {
  KEYMUX_ABORTED: () => managerOf().acquire('acme', { signal: AbortSignal.abort() }),
  KEYMUX_ACCESS_DENIED: () => askGateway(managerOf(), `kmx_use_${plain.text}`),
  KEYMUX_ANSWER_INCOMPLETE: async () => {
    const { origin } = await startProvider(
      (_, response) => void response.setHeader('x-key', plain.text).end(key.text.repeat(3)),
    );
    const stream = { commit: 'complete', maxBytes: 20 } as const;
    const acme = { baseUrl: origin, env: ['ACME_API_KEY'], stream };
    return askGateway(managerOf({ providers: { acme } }), TOKEN);
  },
  KEYMUX_AUDIT_BROKEN: async () => {
    const manager = managerOf();
    const folder = temporaryFolder();
    const audit = startAudit(manager, { path: join(folder, 'audit'), stateFolder: folder });
    manager.getApiKey('acme');
    manager.disable('acme/main', { by: 'test' });
    audit.stop();
    const [segment = ''] = readdirSync(audit.folder, { recursive: true, encoding: 'utf8' }).filter((name) =>
      name.endsWith('.jsonl'),
    );
    const kept = readFileSync(join(audit.folder, segment), 'utf8');
    const broken = kept.replace('acme/main', key.text.replaceAll('"', ''));
    const files = { 'keymux.config.yaml': `${ACME}audit: { path: ./audit }\n`, [`audit/${segment}`]: broken };
    return printed(['audit', 'verify'], files);
  },
  KEYMUX_AUDIT_UNAVAILABLE: () => {
    const manager = managerOf();
    const folder = temporaryFolder();
    const path = join(folder, 'audit');
    writeFileSync(path, key.text);
    const audit = startAudit(manager, { path, stateFolder: folder, failClosed: true, logger: SILENT });
    onTestFinished(() => audit.stop());
    return manager.getApiKey('acme');
  },
  KEYMUX_CLOSED: async () => {
    const manager = managerOf();
    await manager.shutdown();
    return manager.getApiKey('acme');
  },
  KEYMUX_CONFIG_INVALID: () =>
    printed(['status'], { 'keymux.config.yaml': `providers: { acme: { keys: ['${key.text}'] } }\n` }),
  KEYMUX_CONFIG_NOT_ALLOWED: () =>
    printed(['status'], {
      'keymux.config.yaml': `${ACME.replace('[ACME_API_KEY] ', `[ACME_API_KEY], keys: [{ id: x, value: 'exec:./tool --token ${key.text}' }]`)}`,
    }),
  KEYMUX_CONFIG_UNREADABLE: () =>
    printed(['scan'], { 'notes.txt': key.text, '.keymuxignore/in-the-way': plain.text }),
  KEYMUX_FENCED: async () => {
    const store = createMemoryStore({ now: Date.now, onNotice: () => {} });
    await store.open();
    return store.publish([], { group: 'probes', token: 7 });
  },
  KEYMUX_INIT_FAILED: () =>
    new KeyManager(
      {
        env: { ACME_API_KEY: key.text },
        cwd: temporaryFolder(),
        config: {
          store: { type: 'memory' },
          providers: { acme: { baseUrl: NOBODY, env: ['ACME_API_KEY'] } },
        },
      },
      {
        integrate: () => {
          throw clientError(key, NOBODY);
        },
      },
    ),
  KEYMUX_LEASE_ENDED: async () => {
    const lease = await managerOf().acquire('acme');
    lease.cancel();
    return lease.apiKey;
  },
  KEYMUX_NO_USABLE_KEY: () => {
    const manager = managerOf();
    for (const id of ['acme/main', 'acme/2']) manager.disable(id);
    return manager.getApiKey('acme');
  },
  KEYMUX_ORIGIN_REFUSED: () => {
    const manager = managerOf({ providers: { acme: { baseUrl: NOBODY, ...virtualProvider([key.text]) } } });
    return new KeyGuard(manager).check({
      origin: 'https://elsewhere.example',
      path: `/?key=${encodeURIComponent(virtualKeyOf(manager))}`,
      headers: [
        ['authorization', `Bearer ${virtualKeyOf(manager)}`],
        ['x-other', key.text],
      ],
      connection: () => ({}),
    });
  },
  KEYMUX_PATCH_CONFLICT: () => patch(Object.freeze({ ask: () => key.text }), 'ask', (original) => original),
  KEYMUX_PROVIDER_UNREACHABLE: () => askGateway(managerOf(), TOKEN),
  KEYMUX_SECRET_UNREADABLE: () =>
    managerOf().addKey({ provider: 'acme', id: 'x', value: `exec:/nonexistent/tool --token ${key.text}` }),
  KEYMUX_STORE_FORGOT: () => {
    const known = new KnownBuckets('/state.db');
    const lineage = (fileId: string): never => ({ fileId, includes: () => false }) as never;
    known.learn('acme/main', lineage('one'));
    return known.check('acme/main', lineage('two'));
  },
  KEYMUX_STORE_UNAVAILABLE: () => {
    const address = `redis://user:${encodeURIComponent(password.text)}@127.0.0.1:9/0`;
    return printed(['keys', 'disable', 'acme/main'], {
      'keymux.config.yaml': `${ACME}store: { type: redis, url: '${address}' }\n`,
    });
  },
  KEYMUX_TABLE_FULL: () => {
    const table = StateTable.create({ subjects: 1 });
    for (let at = 0; at < 100; at += 1) table.subject(`key:${key.text}${String(at)}`);
  },
  KEYMUX_TABLE_MISMATCH: () => {
    const memory = new SharedArrayBuffer(4_096);
    new Uint8Array(memory).set(Buffer.from(key.text));
    return StateTable.attach(memory);
  },
  KEYMUX_TIMEOUT: async () => {
    const { origin } = await startProvider(() => {});
    const acme = { baseUrl: origin, env: ['ACME_API_KEY'], stream: { firstByteMs: 10 } };
    return askGateway(managerOf({ providers: { acme } }), TOKEN);
  },
  KEYMUX_UNKNOWN_KEY: () => managerOf().disable(`acme/${key.text}`),
  KEYMUX_UNKNOWN_SERVICE: () => managerOf().getApiKey(plain.text),
  KEYMUX_USAGE: () => managerOf().addKey({ provider: 'acme', id: key.text }),
  KEYMUX_VAULT_DAMAGED: async () => {
    const access = await vaultAccess();
    writeFileSync(access.path, readFileSync(access.path, 'latin1').slice(0, 300));
    return readVault(access);
  },
  KEYMUX_VAULT_LOCKED: async () => {
    const access = await vaultAccess();
    return readVault({ ...access, key: { kind: 'passphrase', passphrase: password.text } });
  },
};

describe('an error with the code', () => {
  it.each(ERROR_CODES)('%s is reached, and holds no key', async (code) => {
    const sinks = new Sinks();
    let reached: unknown;
    try {
      reached = await REACHED[code]();
    } catch (error) {
      reached = error;
    }
    if (typeof reached === 'string') expect(reached).toContain(code);
    else expect(reached).toMatchObject({ name: 'KeymuxError', code });
    sinks.addValue(code, reached);
    sinks.expectNone(CANARIES, code);
  });
});
