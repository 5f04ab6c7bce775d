import { readFileSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { resolveConfiguration } from '#keymux/config/resolve.js';
import { DEFAULT_RETRY, DEFAULT_STREAM } from '#keymux/core/provider.js';
import { strategies } from '#keymux/core/select.js';
import { catalogue as realCatalogue } from '#keymux/providers/catalogue.js';
import { isTemplateValue as realTemplateTest } from '#keymux/providers/key-shape.js';
import {
  catalogue,
  errorOf,
  folderWith,
  isTemplateValue,
  keysOf,
  resolveContent,
  resolveIn,
  resolveYaml,
} from './sample.js';

const DAY_MS = 86_400_000;

describe('resolveConfiguration without a file', () => {
  it('needs nothing but the environment and the catalogue', () => {
    const configuration = resolveIn(
      {},
      { FINNHUB_API_KEY: 'a' },
      { readFile: () => expect.fail('no file to read') },
    );
    expect([...configuration.providers.keys()]).toEqual(['finnhub']);
    expect([...configuration.services.values()]).toEqual([
      { name: 'finnhub', providers: ['finnhub'], strategy: 'priority', implicit: true },
    ]);
    expect(configuration.store).toEqual({ type: 'sqlite' });
    expect(configuration.sources).toEqual([]);
    expect(configuration.credentials[0]).toMatchObject({
      provider: 'finnhub',
      priority: 1,
      weight: 1,
      bucket: 'main',
    });
  });

  it('completes what the catalogue says with defaults', () => {
    const { providers } = resolveIn({}, { ALPHAVANTAGE_API_KEY: 'a' });
    expect(providers.get('alpha_vantage')).toEqual({
      ...withoutDemoKeys(),
      mode: 'direct',
      limits: [],
      retry: DEFAULT_RETRY,
      stream: DEFAULT_STREAM,
    });
  });

  function withoutDemoKeys(): object {
    const { demoKeys, ...entry } = catalogue.get('alpha_vantage') ?? {};
    expect(demoKeys).toBeDefined();
    return entry;
  }

  it('is the same for the same input, whatever the order of the variables', () => {
    const entries = Object.entries({
      GOOGLE_API_KEY: 'a',
      FINNHUB_API_KEYS: 'b,c',
      FINNHUB_API_KEY_2: 'd',
      METERED_API_KEY: 'e',
    });
    const forward = resolveIn({}, Object.fromEntries(entries));
    const backward = resolveIn({}, Object.fromEntries(entries.toReversed()));
    expect(keysOf(backward, 'finnhub')).toEqual(keysOf(forward, 'finnhub'));
    expect([...backward.services]).toEqual([...forward.services]);
    expect([...backward.providers.keys()]).toEqual(['finnhub', 'gemini', 'metered']);
  });

  it('says what to do for a provider whose address differs by customer', () => {
    const configuration = resolveIn({}, { TENANT_API_KEY: 'a' });
    expect(configuration.providers.get('tenant')?.origins).toEqual([]);
    expect(configuration.notes).toEqual([expect.stringContaining('set providers.tenant.baseUrl')]);
  });

  it('loads neither a validator nor a parser', () => {
    const seen = new Set<string>();
    const packages = new Set<string>();
    const visit = (file: string): void => {
      if (seen.has(file)) return;
      seen.add(file);
      for (const [, name = ''] of readFileSync(file, 'utf8').matchAll(
        /^(?:import|export) (?!type )[^;]*?from '([^']+)'/gm,
      )) {
        if (name.startsWith('.')) visit(resolve(dirname(file), name.replace(/\.js$/, '.ts')));
        else packages.add(name);
      }
    };
    visit(fileURLToPath(new URL('../../src/config/resolve.ts', import.meta.url)));
    expect(seen.size).toBeGreaterThan(8);
    expect([...packages].filter((name) => !name.startsWith('node:'))).toEqual([]);
  });

  it('works with the catalogue and the template test of the package, every provider of it', () => {
    const names = [...realCatalogue.values()].flatMap((provider) => provider.env.slice(0, 1));
    const env = Object.fromEntries(names.map((name, index) => [name, `k3y-${index}-4f9a8c7b`]));
    const folder = folderWith();
    const configuration = resolveConfiguration({
      env: { ...env, API_PROVIDER_PRIORITIES: '{"market_data": ["alpha_vantage", "yahoo_finance"]}' },
      cwd: folder,
      home: folder,
      catalogue: realCatalogue,
      isTemplateValue: realTemplateTest,
    });
    expect(configuration.services.get('market_data')?.providers).toEqual(['alpha_vantage', 'yahoo_finance']);
    expect(new Set(configuration.credentials.map(({ provider }) => provider)).size).toBe(
      [...realCatalogue.values()].filter((provider) => provider.env.length > 0).length,
    );
  });
});

describe('resolveConfiguration with a file', () => {
  it('finds the file, reads it and tells so', () => {
    const configuration = resolveIn({
      'keymux.config.jsonc': '{ "store": { "type": "memory" } } // mine',
      '.env': '',
    });
    expect(configuration.store).toEqual({ type: 'memory' });
    expect(configuration.sources).toEqual([
      join(configuration.folder, '.env'),
      join(configuration.folder, 'keymux.config.jsonc'),
    ]);
  });

  it('prefers KEYMUX_CONFIG, which .env may set', () => {
    const files = {
      'keymux.config.yaml': 'store: { type: sqlite }',
      'other.yaml': 'store: { type: memory }',
    };
    expect(resolveIn(files, { KEYMUX_CONFIG: 'other.yaml' }).store).toEqual({ type: 'memory' });
    expect(resolveIn({ ...files, '.env': 'KEYMUX_CONFIG=other.yaml' }).store).toEqual({ type: 'memory' });
    expect(errorOf(() => resolveIn(files, { KEYMUX_CONFIG: 'gone.yaml' })).code).toBe(
      'KEYMUX_CONFIG_UNREADABLE',
    );
  });

  it('does without the file when told so, and asks for a reader when there is none', () => {
    const folder = folderWith({ 'keymux.config.yaml': 'store: { type: memory }' });
    const input = { env: {}, cwd: folder, home: folder, catalogue, isTemplateValue };
    expect(resolveConfiguration({ ...input, file: false }).store).toEqual({ type: 'sqlite' });
    expect(errorOf(() => resolveConfiguration(input)).code).toBe('KEYMUX_USAGE');
  });

  it('searches up to the home directory of the user by default', () => {
    const cwd = folderWith({ 'keymux.config.yaml': '' });
    const found: string[] = [];
    const readFile = (path: string): never => {
      found.push(path);
      throw new Error('seen');
    };
    expect(() => resolveConfiguration({ env: {}, cwd, catalogue, isTemplateValue, readFile })).toThrow(
      'seen',
    );
    expect(found).toEqual([join(cwd, 'keymux.config.yaml')]);
  });

  it('defines a provider that only the file knows, with plain defaults', () => {
    const { providers, services, notes } = resolveYaml(
      'providers: { acme.v2: { baseUrl: "https://a.example/v2/" } }',
    );
    expect(providers.get('acme.v2')).toEqual({
      id: 'acme.v2',
      name: 'acme.v2',
      baseUrl: 'https://a.example/v2/',
      origins: ['https://a.example'],
      auth: { in: 'header', name: 'authorization', scheme: 'Bearer' },
      authAlternatives: [],
      env: ['ACME_V2_API_KEY'],
      mode: 'direct',
      signed: false,
      bucketScope: 'key',
      limits: [],
      errors: [],
      retry: DEFAULT_RETRY,
      stream: DEFAULT_STREAM,
    });
    expect(services.get('acme.v2')?.implicit).toBe(true);
    expect(notes).toEqual([
      'acme.v2 has no usable key: set ACME_V2_API_KEY, or add one to providers.acme.v2.keys',
    ]);
  });

  it('discovers a default name for a provider whose id begins with a digit', () => {
    const { credentials } = resolveYaml('providers: { 1st: { baseUrl: https://a.example } }', {
      _1ST_API_KEY: 'a',
    });
    expect(credentials).toHaveLength(1);
  });

  it('lets the file win over the catalogue, option by option', () => {
    const yaml = `
providers:
  finnhub:
    origins: [https://ws.finnhub.example]
    errors: [{ status: 200, json: $.Note, header: { name: X-Err, match: a }, outcome: rate-limited }, { header: { name: x }, outcome: restricted, scope: key }]
    retry: { maxWaitMs: 5 }
    signed: true
    strategy: weighted
  gemini:
    baseUrl: https://proxy.example/gemini
    auth: { in: header, name: X-Proxy-Key, scheme: Key }`;
    const { providers, services } = resolveYaml(yaml);
    expect(providers.get('finnhub')).toMatchObject({
      name: 'FINNHUB',
      origins: ['https://api.finnhub.example', 'https://eu.finnhub.example', 'https://ws.finnhub.example'],
      auth: { in: 'header', name: 'x-key' },
      authAlternatives: [{ in: 'query', name: 'token' }],
      signed: true,
      retry: { ...DEFAULT_RETRY, maxWaitMs: 5 },
    });
    expect(providers.get('finnhub')?.errors).toEqual([
      { status: 200, json: '$.Note', header: { name: 'x-err', match: 'a' }, outcome: 'rate-limited' },
      { header: { name: 'x' }, outcome: 'restricted', scope: 'key' },
      { status: 418, outcome: 'overloaded' },
    ]);
    expect(services.get('finnhub')?.strategy).toBe('weighted');
    expect(providers.get('gemini')).toMatchObject({
      baseUrl: 'https://proxy.example/gemini',
      origins: ['https://proxy.example'],
      auth: { in: 'header', name: 'x-proxy-key', scheme: 'Key' },
      authAlternatives: [],
    });
  });

  it.each([
    ['{ in: header, name: X-Key }', { in: 'header', name: 'x-key' }],
    ['{ in: query, name: apiKey }', { in: 'query', name: 'apiKey' }],
    ['{ in: path }', { in: 'path' }],
    ['{ in: basic }', { in: 'basic', field: 'username' }],
    ['{ in: basic, field: password }', { in: 'basic', field: 'password' }],
  ])('places the key as auth: %s says', (auth, placement) => {
    expect(resolveYaml(`providers: { finnhub: { auth: ${auth} } }`).providers.get('finnhub')?.auth).toEqual(
      placement,
    );
  });

  it('turns limits into windows', () => {
    const yaml = `
providers:
  finnhub:
    limits:
      - { requests: 1, per: second }
      - { requests: 2, per: minute }
      - { requests: 3, per: hour }
      - { requests: 4, per: day }
      - { requests: 5, per: month }
      - { requests: 6, perMs: 4000 }
      - { requests: 7, per: day, resetsAt: "09:30", timeZone: America/New_York }
      - { requests: 8, per: month, resetsAt: "00:00" }`;
    expect(resolveYaml(yaml).providers.get('finnhub')?.limits).toEqual([
      { requests: 1, perMs: 1_000 },
      { requests: 2, perMs: 60_000 },
      { requests: 3, perMs: 3_600_000 },
      { requests: 4, perMs: DAY_MS },
      { requests: 5, perMs: 31 * DAY_MS },
      { requests: 6, perMs: 4_000 },
      { requests: 7, perMs: DAY_MS, calendar: { at: '09:30', timeZone: 'America/New_York', unit: 'day' } },
      { requests: 8, perMs: 31 * DAY_MS, calendar: { at: '00:00', timeZone: 'UTC', unit: 'month' } },
    ]);
  });

  it.each(Object.keys(strategies))('knows the strategy %s', (strategy) => {
    const yaml = `services: { s: { providers: [finnhub, gemini], strategy: ${strategy}, failoverThreshold: 0.5 } }`;
    expect(resolveYaml(yaml).services.get('s')).toEqual({
      name: 's',
      providers: ['finnhub', 'gemini'],
      strategy,
      failoverThreshold: 0.5,
      implicit: false,
    });
  });

  it('lets a declared service have the name of a provider', () => {
    const { services } = resolveYaml('services: { finnhub: { providers: [gemini, finnhub] } }');
    expect(
      [...services.values()].map(({ name, providers, implicit }) => ({ name, providers, implicit })),
    ).toEqual([
      { name: 'finnhub', providers: ['gemini', 'finnhub'], implicit: false },
      { name: 'gemini', providers: ['gemini'], implicit: true },
    ]);
  });

  it('takes the path of the store from the folder of the file', () => {
    const { store, folder } = resolveYaml('store: { type: sqlite, path: state/keys.db }');
    expect(store).toEqual({ type: 'sqlite', path: join(folder, 'state/keys.db') });
  });

  it('takes names for what they are, even those that objects inherit', () => {
    const content = JSON.parse('{"providers": {"constructor": {"baseUrl": "https://a.example"}}}') as unknown;
    const { providers, services } = resolveContent(content, { CONSTRUCTOR_API_KEY: 'a' });
    expect([...providers.keys()]).toEqual(['constructor']);
    expect(services.get('constructor')?.providers).toEqual(['constructor']);
    expect(services.get('toString')).toBeUndefined();
  });
});

describe('keys of the file', () => {
  const yaml = (keys: string, more = ''): string =>
    `providers:\n  acme:\n    baseUrl: https://a.example\n${more}    keys:\n${keys}`;

  it('come first; discovered ones follow, each key once', () => {
    const keys =
      '      - { id: spare, value: file:spare.key, bucket: acct-1, weight: 3, limits: [{ requests: 9, per: minute }] }\n      - { id: first, value: env:ACME_API_KEY }\n';
    const files = { 'keymux.config.yaml': yaml(keys), 'spare.key': 'b\n' };
    const configuration = resolveIn(files, { ACME_API_KEY: 'a', ACME_API_KEY_2: 'c', ACME_API_KEY_3: 'b' });
    expect(keysOf(configuration, 'acme')).toEqual([
      'spare b keymux.config.yaml:5',
      'first a keymux.config.yaml:6',
      '2 c env:ACME_API_KEY_2',
    ]);
    expect(configuration.credentials).toMatchObject([
      { priority: 1, weight: 3, bucket: 'acct-1', limits: [{ requests: 9, perMs: 60_000 }] },
      { priority: 2, weight: 1, bucket: 'first' },
      { priority: 3, bucket: '2' },
    ]);
    expect(configuration.notes).toEqual([]);
  });

  it('are ordered by their priority', () => {
    const keys = ['a', 'b', 'c'].map((id, index) => ({
      id,
      value: `env:${id.toUpperCase()}`,
      priority: 3 - index,
    }));
    const content = { providers: { finnhub: { keys } } };
    const configuration = resolveContent(content, { A: '1', B: '2', C: '3', FINNHUB_API_KEY: '4' });
    expect(configuration.credentials.map(({ id, priority }) => `${id} ${priority}`)).toEqual([
      'c 1',
      'b 2',
      'a 3',
      'main 4',
    ]);
    expect(configuration.credentials[0]?.origin).toBe('the options');
  });

  it('stand alone where the provider says `discover: false`', () => {
    const configuration = resolveIn(
      { 'keymux.config.yaml': yaml('      - { id: only, value: env:X }\n', '    discover: false\n') },
      { X: 'a', ACME_API_KEY: 'b' },
    );
    expect(keysOf(configuration, 'acme')).toEqual(['only a keymux.config.yaml:6']);
  });

  it('keep their ids: a discovered key of the same id gets another', () => {
    const keys = '      - { id: main, value: env:X }\n      - { id: env-main, value: env:Y }\n';
    const configuration = resolveIn(
      { 'keymux.config.yaml': yaml(keys) },
      { X: 'a', Y: 'b', ACME_API_KEY: 'c' },
    );
    expect(configuration.credentials.map(({ id }) => id)).toEqual(['main', 'env-main', 'env-main-2']);
  });

  it('count once where two hold the same key, with a note', () => {
    const keys = '      - { id: one, value: env:X }\n      - { id: two, value: env:Y }\n';
    const configuration = resolveIn({ 'keymux.config.yaml': yaml(keys) }, { X: 'CANARY', Y: 'CANARY' });
    expect(configuration.credentials).toHaveLength(1);
    expect(configuration.notes).toEqual(['acme/one and acme/two hold the same key; it counts once']);
  });

  it('that cannot be read are left out with a note, and the others work', () => {
    const keys = '      - { id: gone, value: file:gone.key }\n      - { id: here, value: env:X }\n';
    const configuration = resolveIn({ 'keymux.config.yaml': yaml(keys) }, { X: 'a' });
    expect(configuration.credentials.map(({ id }) => id)).toEqual(['here']);
    expect(configuration.notes).toEqual([
      expect.stringContaining('The key acme/gone (file:gone.key) is left out'),
    ]);
  });

  it('that cannot be read at all do not prevent the start', () => {
    const configuration = resolveIn({
      'keymux.config.yaml': yaml('      - { id: a, value: env:X }\n', '    discover: false\n'),
    });
    expect(configuration.credentials).toEqual([]);
    expect(configuration.providers.has('acme')).toBe(true);
    expect(configuration.notes).toEqual([
      expect.stringContaining('acme/a (env:X)'),
      'acme has no usable key: add one to providers.acme.keys',
    ]);
  });

  it('that accept a template value do so from a file too', () => {
    const content = { providers: { alpha_vantage: { keys: [{ id: 'a', value: 'env:X' }] } } };
    expect(resolveContent(content, { X: 'your-demo' }).credentials).toHaveLength(1);
    expect(resolveContent(content, { X: 'your-key' }).credentials).toHaveLength(0);
  });

  it('pass on what a test of their own throws', () => {
    const broken = (): never => {
      throw new TypeError('broken');
    };
    const files = { 'keymux.config.yaml': yaml('      - { id: a, value: env:X }\n') };
    expect(() => resolveIn(files, { X: 'a' }, { isTemplateValue: broken })).toThrow(TypeError);
  });
});

describe('API_PROVIDER_PRIORITIES, API_HEALTH_CHECK_INTERVAL and API_FAILOVER_THRESHOLD', () => {
  const priorities = (value: unknown): { API_PROVIDER_PRIORITIES: string } => ({
    API_PROVIDER_PRIORITIES: JSON.stringify(value),
  });

  it('declare services and the threshold', () => {
    const configuration = resolveIn(
      {},
      {
        ...priorities({ market_data: ['alpha_vantage', 'yahoo_finance', 'finnhub', 'finnhub'] }),
        API_FAILOVER_THRESHOLD: '0.95',
      },
    );
    expect(configuration.services.get('market_data')).toEqual({
      name: 'market_data',
      providers: ['alpha_vantage', 'yahoo_finance', 'finnhub'],
      strategy: 'priority',
      failoverThreshold: 0.95,
      implicit: false,
    });
    expect(configuration.services.get('finnhub')?.failoverThreshold).toBe(0.95);
    expect(configuration.notes).toContain(
      'yahoo_finance has no usable key: add one to providers.yahoo_finance.keys',
    );
  });

  it('work from .env, and are unset when empty', () => {
    const file = 'API_PROVIDER_PRIORITIES=\'{"s":["finnhub"]}\'\nAPI_FAILOVER_THRESHOLD=0.5';
    expect(resolveIn({ '.env': file }).services.get('s')?.failoverThreshold).toBe(0.5);
    const empty = { API_PROVIDER_PRIORITIES: '', API_HEALTH_CHECK_INTERVAL: ' ', API_FAILOVER_THRESHOLD: '' };
    expect(resolveIn({ '.env': file }, empty).services.size).toBe(0);
  });

  it('win over the file where they say the same, and only there', () => {
    const yaml = `
services:
  s: { providers: [finnhub], strategy: weighted, failoverThreshold: 0.1 }
  t: { providers: [gemini] }`;
    const env = { ...priorities({ s: ['gemini', 'finnhub'] }), API_FAILOVER_THRESHOLD: '0.9' };
    const configuration = resolveYaml(yaml, env);
    expect(configuration.services.get('s')).toMatchObject({
      providers: ['gemini', 'finnhub'],
      strategy: 'weighted',
      failoverThreshold: 0.1,
    });
    expect(configuration.services.get('t')?.failoverThreshold).toBe(0.9);
    expect(configuration.notes).toContain(
      'API_PROVIDER_PRIORITIES replaces the providers that the file gives to s',
    );
  });

  it('skip a provider that nobody defined as long as the service keeps one', () => {
    const configuration = resolveIn({}, priorities({ s: ['finhub', 'finnhub', 'c0q8h2v48v6tb9i0x'] }));
    expect(configuration.services.get('s')?.providers).toEqual(['finnhub']);
    expect(configuration.notes.slice(0, 2)).toEqual([
      'API_PROVIDER_PRIORITIES gives `s` the provider `finhub` that neither the catalogue nor a configuration file has; did you mean `finnhub`?; it is skipped',
      'API_PROVIDER_PRIORITIES gives `s` a provider that neither the catalogue nor a configuration file has; it is skipped',
    ]);
  });

  it('may name a provider that only the file defines', () => {
    const yaml = 'providers: { acme: { baseUrl: https://a.example } }';
    expect(resolveYaml(yaml, priorities({ s: ['acme'] })).services.get('s')?.providers).toEqual(['acme']);
  });

  it.each([
    ['API_PROVIDER_PRIORITIES', '{"s": [CANARY', 'is not JSON'],
    ['API_PROVIDER_PRIORITIES', '["CANARY"]', 'is not a JSON object'],
    ['API_PROVIDER_PRIORITIES', '7', 'is not a JSON object'],
    ['API_PROVIDER_PRIORITIES', 'null', 'is not a JSON object'],
    ['API_PROVIDER_PRIORITIES', '{"s": "CANARY"}', 'does not give `s` a list of provider names'],
    ['API_PROVIDER_PRIORITIES', '{"s": []}', 'does not give `s` a list of provider names'],
    [
      'API_PROVIDER_PRIORITIES',
      '{"c0q8h2v48v6tb9i0x": [1]}',
      'does not give a service a list of provider names',
    ],
    ['API_PROVIDER_PRIORITIES', '{"Bad CANARY": ["finnhub"]}', 'holds a service name'],
    ['API_PROVIDER_PRIORITIES', '{"__proto__": ["finnhub"]}', 'holds a service name'],
    [
      'API_PROVIDER_PRIORITIES',
      '{"s": ["finhub"]}',
      'gives `s` the provider `finhub` that neither the catalogue nor a configuration file has; did you mean `finnhub`?',
    ],
    ['API_HEALTH_CHECK_INTERVAL', 'CANARY', 'is not a number of seconds'],
    ['API_HEALTH_CHECK_INTERVAL', '0', 'is not a number of seconds'],
    ['API_HEALTH_CHECK_INTERVAL', 'Infinity', 'is not a number of seconds'],
    ['API_FAILOVER_THRESHOLD', '95', 'is not a number from 0 to 1'],
    ['API_FAILOVER_THRESHOLD', '-0.1', 'is not a number from 0 to 1'],
  ])('refuse %s=%s', (name, value, fault) => {
    const error = errorOf(() => resolveIn({}, { [name]: value }));
    expect(error.code).toBe('KEYMUX_CONFIG_INVALID');
    expect(error.message).toContain(`The environment variable ${name} ${fault}`);
    expect(error.fix).toContain(name);
    expect(error.message + error.fix + String(error.cause)).not.toContain('CANARY');
  });

  it('remark upon nothing that has an effect', () => {
    expect(resolveIn({}, { API_HEALTH_CHECK_INTERVAL: ' 30 ', FINNHUB_API_KEY: 'a' }).notes).toEqual([]);
    expect(resolveIn({}, { API_HEALTH_CHECK_INTERVAL: ' ', FINNHUB_API_KEY: 'a' }).notes).toEqual([]);
  });
});

describe('api_management', () => {
  const yaml = `
api_management:
  global_failover: true
  health_monitoring: { enabled: true }
  state_persistence: true
  rate_limiting: { enabled: true }
  providers:
    market_data: { primary: finnhub, backups: [gemini, finnhub], failover_threshold: 0.95, health_check_interval: 30 }
    news: { primary: finnhub, health_check_interval: 20 }
    plain: { primary: gemini }`;

  it('declares services and thresholds, and remarks once upon each option that changes nothing', () => {
    const configuration = resolveYaml(yaml, { FINNHUB_API_KEY: 'a', GEMINI_API_KEY: 'b' });
    expect(configuration.services.get('market_data')).toEqual({
      name: 'market_data',
      providers: ['finnhub', 'gemini'],
      strategy: 'priority',
      failoverThreshold: 0.95,
      implicit: false,
    });
    expect(configuration.services.get('news')?.providers).toEqual(['finnhub']);
    expect(configuration.store).toEqual({ type: 'sqlite' });
    expect(configuration.notes).toEqual([
      'api_management.global_failover changes nothing: that is how keymux works',
      'api_management.health_monitoring changes nothing: that is how keymux works',
      'api_management.rate_limiting changes nothing: that is how keymux works',
    ]);
  });

  it('keeps state in memory alone when persistence is off', () => {
    expect(resolveYaml('api_management: { state_persistence: false }').store).toEqual({ type: 'memory' });
    expect(resolveYaml('api_management: { state_persistence: { enabled: false } }').store).toEqual({
      type: 'memory',
    });
  });
});
