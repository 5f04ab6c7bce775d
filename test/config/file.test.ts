import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { checkContent, readConfigurationFile } from '#keymux/config/file.js';
import type { KeymuxError } from '#keymux/core/errors.js';
import { catalogue, errorOf, folderWith } from './sample.js';

function refusal(text: string, name = 'keymux.config.yaml'): KeymuxError {
  const path = join(folderWith({ [name]: text }), name);
  const error = errorOf(() => readConfigurationFile(path, catalogue));
  expect(error.code).toBe('KEYMUX_CONFIG_INVALID');
  expect(error.message.split('\n')[0]).toContain(path);
  expect(error.fix).toContain('docs/configuration.md');
  return error;
}

/** The problems without the indentation. */
function problemsOf(text: string, name?: string): string[] {
  return refusal(text, name)
    .message.split('\n')
    .slice(1)
    .map((line) => line.trim());
}

/** The problems of one option of `acme`, without their places. */
function acmeProblems(options: string): string[] {
  const base = options.includes('baseUrl') ? '' : 'baseUrl: https://a.example, ';
  return problemsOf(`providers: { acme: { ${base}${options} } }`).map((line) =>
    line.replace(/^line \d+, column \d+: /, ''),
  );
}

describe('readConfigurationFile', () => {
  const full = `
services:
  market_data: { providers: [alpha_vantage, acme], strategy: weighted, failoverThreshold: 0.9 }
providers:
  finnhub:
  acme:
    baseUrl: http://127.0.0.1:9100/v1
    origins: ["https://eu.acme.example", "http://localhost:1"]
    auth: { in: header, name: X-Api-Key, scheme: Bearer }
    env: [ACME_API_KEY]
    mode: direct
    signed: false
    limits: [{ requests: 5, per: minute }, { requests: 25, per: day, resetsAt: "00:00", timeZone: UTC }, { requests: 1, perMs: 4000 }]
    keys: [{ id: main, value: env:ACME_API_KEY, priority: 0, weight: 0.5, bucket: acct-1, limits: [{ requests: 60, per: month }] }]
    discover: true
    errors: [{ status: [200, 201], header: { name: x-e, match: a }, json: $.Note, sse: $.error, match: "call frequency", outcome: rate-limited, scope: key, window: day }]
    retry: { repeatable: ["POST /v1/search*"], deadlineMs: 30000, maxWaitMs: 0, maxAttempts: 3, maxBodyBytes: 0 }
    stream: { commit: first-event }
    strategy: round-robin
store: { type: sqlite, path: ./state.db }
`;

  it('accepts every option, in YAML and in JSON', () => {
    const path = join(folderWith({ 'keymux.config.yaml': full }), 'keymux.config.yaml');
    const file = readConfigurationFile(path, catalogue);
    expect(file.path).toBe(path);
    expect(file.positionOf(['providers', 'acme', 'keys', 0])).toEqual({ line: 14, column: 12 });
    const json = folderWith({ 'keymux.config.json': JSON.stringify(file.content) });
    expect(readConfigurationFile(join(json, 'keymux.config.json'), catalogue).content).toEqual(file.content);
  });

  it.each([
    ['keymux.config.yaml', ''],
    ['keymux.config.yml', '# nothing yet\n'],
    ['keymux.config.json', '{}'],
    ['keymux.config.jsonc', '// nothing\n{ "providers": {}, }'],
    ['keymux.config.yaml', '\uFEFFproviders: {}'],
  ])('accepts %s with %j', (name, text) => {
    const path = join(folderWith({ [name]: text }), name);
    expect(Object.keys(readConfigurationFile(path, catalogue).content).length).toBeLessThan(2);
  });

  it('tells an unknown option with file, path, line, column and the nearest name', () => {
    expect(problemsOf('providers:\n  acme:\n    baseUrl: https://a.example\n    limts: []\n')).toEqual([
      'line 4, column 5: providers.acme.limts is not an option; did you mean `limits`?',
    ]);
    expect(problemsOf('{\n  "servces": {}\n}', 'keymux.config.json')).toEqual([
      'line 2, column 3: servces is not an option; did you mean `services`?',
    ]);
  });

  it('lists the known options where none is near', () => {
    expect(acmeProblems('stream: { commit: first-event, colour: red }')).toEqual([
      'providers.acme.stream.colour is not an option; known here: commit, firstByteMs, idleMs, maxBytes, endMark',
    ]);
  });

  it('tells all problems at once, in the order of the file', () => {
    const text =
      'store: { type: sqlit }\nproviders:\n  acme: { env: [1], keys: [{ id: A }] }\n  beta:\nservices: { s: { providers: [] } }\n';
    expect(problemsOf(text)).toEqual([
      'line 1, column 10: store.type must be one of memory, sqlite, redis; did you mean `sqlite`?',
      'line 3, column 3: providers.acme needs a `baseUrl`: the catalogue has no such provider',
      'line 3, column 17: providers.acme.env[0] must be the name of an environment variable',
      'line 3, column 28: providers.acme.keys[0].value is missing',
      'line 3, column 30: providers.acme.keys[0].id must be a name of lower-case letters, digits, `_`, `.` and `-`, 64 at most',
      'line 4, column 3: providers.beta needs a `baseUrl`: the catalogue has no such provider',
      'line 5, column 18: services.s.providers must be a list with at least one entry',
    ]);
  });

  it('tells twenty problems and counts the rest', () => {
    const lines = problemsOf(Array.from({ length: 25 }, (_, index) => `colour${index}: 1`).join('\n'));
    expect(lines).toHaveLength(21);
    expect(lines.at(-1)).toBe('and 5 more');
  });

  it.each([
    ['baseUrl: acme.example', 'baseUrl must be an http or https address'],
    ['baseUrl: "ftp://a.example"', 'baseUrl must be an http or https address'],
    ['baseUrl: "https://user:CANARY@a.example"', 'baseUrl must be an http or https address'],
    ['baseUrl: "https://a.example?key=CANARY"', 'baseUrl must be an http or https address'],
    ['baseUrl: "https://a.example/#x"', 'baseUrl must be an http or https address'],
    ['baseUrl: "http://a.example"', 'baseUrl would send the key over plain http'],
    ['baseUrl: "http://127.0.0.1.a.example"', 'baseUrl would send the key over plain http'],
    ['origins: ["http://10.0.0.1"]', 'origins[0] would send the key over plain http'],
    ['allowInsecure: true', 'allowInsecure has no effect'],
    ['origins: ["https://a.example/"]', 'origins[0] must be scheme, host and port alone'],
    ['origins: ["wss://a.example"]', 'origins[0] must be scheme, host and port alone'],
    ['origins: ["https://b.example", "https://b.example"]', 'origins[1] is there twice'],
    [
      'auth: { in: heder, name: x }',
      'auth.in must be one of header, query, path, basic; did you mean `header`?',
    ],
    ['auth: { in: header }', 'auth.name is missing'],
    ['auth: { in: header, name: "x y" }', 'auth.name must be the name of a header'],
    ['auth: { in: header, name: x, scheme: "Bearer " }', 'auth.scheme must be one word'],
    ['auth: { in: query, name: "" }', 'auth.name must be the name of a query parameter'],
    ['auth: { in: query, name: k, scheme: Bearer }', 'auth.scheme is not an option'],
    [
      'auth: { in: basic, field: usrname }',
      'auth.field must be one of username, password; did you mean `username`?',
    ],
    ['auth: x-api-key', 'auth must be a mapping of options'],
    ['env: ACME_API_KEY', 'env must be a list'],
    ['env: ["ACME-KEY"]', 'env[0] must be the name of an environment variable'],
    ['mode: proxy', 'mode must be one of direct, virtual'],
    ['signed: "yes"', 'signed must be true or false'],
    ['limits: [{ per: minute }]', 'limits[0].requests is missing'],
    ['limits: [{ requests: 0, per: minute }]', 'limits[0].requests must be a whole number, 1 to'],
    ['limits: [{ requests: 1.5, per: minute }]', 'limits[0].requests must be a whole number, 1 to'],
    ['limits: [{ requests: 1 }]', 'limits[0] needs `per` or `perMs`'],
    [
      'limits: [{ requests: 1, per: minutes }]',
      'limits[0].per must be one of second, minute, hour, day, month; did you mean `minute`?',
    ],
    ['limits: [{ requests: 1, per: minute, perMs: 5 }]', 'limits[0].perMs cannot stand beside `per`'],
    [
      'limits: [{ requests: 1, perMs: -5 }]',
      'limits[0].perMs must be a whole number of milliseconds above 0',
    ],
    [
      'limits: [{ requests: 1, per: hour, resetsAt: "00:00" }]',
      'limits[0].resetsAt needs `per: day` or `per: month`',
    ],
    ['limits: [{ requests: 1, per: day, resetsAt: "24:00" }]', 'limits[0].resetsAt must be a time of day'],
    [
      'limits: [{ requests: 1, per: day, resetsAt: "00:00", timeZone: Mars/Olympus }]',
      'limits[0].timeZone must be the name of a time zone',
    ],
    [
      'limits: [{ requests: 1, per: day, resetsAt: "00:00", timeZone: "+05:00" }]',
      'limits[0].timeZone must be the name of a time zone',
    ],
    [
      'limits: [{ requests: 1, per: day, timeZone: UTC }]',
      'limits[0].timeZone has no effect without `resetsAt`',
    ],
    ['keys: [{ id: a, value: "env:A" }, { id: a, value: "env:B" }]', 'keys[1].id is there twice'],
    ['keys: [{ id: a, value: "env:A", weight: 0 }]', 'keys[0].weight must be a number above 0'],
    [
      'keys: [{ id: a, value: "env:A", priority: -1 }]',
      'keys[0].priority must be a whole number, 0 or above',
    ],
    ['keys: [{ id: a, value: "env:A", bucket: "A B" }]', 'keys[0].bucket must be a name'],
    [
      'keys: [{ id: a, value: sk-live-CANARY-1234 }]',
      'keys[0].value must say where the key is, never the key itself',
    ],
    [
      'keys: [{ id: a, value: "env:sk-live-CANARY-1234" }]',
      'keys[0].value must say where the key is, never the key itself',
    ],
    ['keys: [{ id: a, value: 12345 }]', 'keys[0].value must say where the key is, never the key itself'],
    ['keys: [{ id: a, value: "file: " }]', 'keys[0].value must say where the key is, never the key itself'],
    ['keys: [sk-live-CANARY-1234]', 'keys[0] must be a mapping of options'],
    [
      'errors: [{ match: "(", outcome: rejected }]',
      'errors[0].match must be a JavaScript regular expression',
    ],
    ['errors: [{ outcome: rejected }]', 'errors[0] would match every answer'],
    ['errors: [{ status: 42, outcome: rejected }]', 'errors[0].status must be a status from 100 to 599'],
    ['errors: [{ status: [], outcome: rejected }]', 'errors[0].status must be a status from 100 to 599'],
    ['errors: [{ status: 400, outcome: reject }]', 'did you mean `rejected`?'],
    ['errors: [{ json: Note, match: a, outcome: rejected }]', 'errors[0].json must be a path into JSON'],
    [
      'errors: [{ status: 400, outcome: rejected, scope: ip }]',
      'errors[0].scope must be one of request, route, key',
    ],
    ['retry: { repeatable: ["/v1"] }', 'retry.repeatable[0] must be a method and a path'],
    ['retry: { deadlineMs: 0 }', 'retry.deadlineMs must be a whole number of milliseconds'],
    ['retry: { maxAttempts: 0 }', 'retry.maxAttempts must be a whole number above 0'],
    ['retry: { maxWaitMs: -1 }', 'retry.maxWaitMs must be a whole number of milliseconds'],
    ['retry: { maxBodyBytes: -1 }', 'retry.maxBodyBytes must be a whole number of bytes'],
    ['strategy: random', 'strategy must be one of priority, round-robin, weighted'],
    ['discover: maybe', 'discover must be true or false'],
  ])('refuses %s', (options, problem) => {
    const problems = acmeProblems(options);
    expect(problems).toHaveLength(1);
    expect(problems[0]).toContain(problem.startsWith('did you') ? problem : `providers.acme.${problem}`);
    expect(problems[0]).not.toContain('CANARY');
  });

  it.each([
    [
      'services: { s: { providers: [finhub] } }',
      'services.s.providers[0] names `finhub`, which neither this file nor the catalogue has; did you mean `finnhub`?',
    ],
    ['services: { s: { providers: [alpha-vantage] } }', 'did you mean `alpha_vantage`?'],
    [
      'services: { s: { providers: [c0q8h2v48v6tb9i0x] } }',
      'services.s.providers[0] names a provider that neither this file nor the catalogue has',
    ],
    ['services: { s: { providers: [finnhub, finnhub] } }', 'services.s.providers[1] is there twice'],
    ['services: { s: { strategy: priority } }', 'services.s.providers is missing'],
    [
      'services: { s: { providers: [finnhub], failoverThreshold: 95 } }',
      'services.s.failoverThreshold must be a number from 0 to 1',
    ],
    ['services: { Market Data: { providers: [finnhub] } }', 'must be a name of lower-case letters'],
    ['services: [finnhub]', 'services must be a mapping of names'],
    [
      'providers: { finhub: {} }',
      'providers.finhub needs a `baseUrl`: the catalogue has no such provider; did you mean `finnhub`?',
    ],
    [
      'providers: { tenant: {} }',
      'providers.tenant needs a `baseUrl`: each customer has an address of their own',
    ],
    ['providers: { __proto__: {} }', 'providers.__proto__ is not a name that can be used'],
    ['providers: { constructor: {} }', 'providers.constructor needs a `baseUrl`'],
    ['store: { type: memory, path: x }', 'store.path is not an option'],
    ['store: { type: sqlite, path: "" }', 'store.path must be a path'],
    ['store: sqlite', 'store must be a mapping of options'],
    ['just text', 'the file must be a mapping of options'],
    ['<<: { providers: {} }', '<< is not an option (merge keys are not supported)'],
    ['sk-live-4fGh8Kl2Mn9Pq3Rs: 1', '(a name not shown) is not an option'],
    ['api_management: { global_failover: false }', 'api_management.global_failover cannot be switched off'],
    [
      'api_management: { global_failover: { enabled: false } }',
      'api_management.global_failover cannot be switched off',
    ],
    ['api_management: { rate_limiting: false }', 'api_management.rate_limiting cannot be switched off'],
    [
      'api_management: { rate_limiting: { requests: 5 } }',
      'api_management.rate_limiting must be true, false, or a mapping with `enabled` alone',
    ],
    [
      'api_management: { state_persistence: true }\nstore: { type: memory }',
      'api_management.state_persistence cannot stand beside `store`',
    ],
    [
      'api_management: { providers: { s: { primary: finnhub } } }\nservices: { s: { providers: [finnhub] } }',
      'api_management.providers.s is also declared as services.s',
    ],
    [
      'api_management: { providers: { s: { primary: finhub } } }',
      'api_management.providers.s.primary names `finhub`',
    ],
    [
      'api_management: { providers: { s: { primary: finnhub, backups: [gemni] } } }',
      'api_management.providers.s.backups[0] names `gemni`',
    ],
    [
      'api_management: { providers: { s: { primary: finnhub, failover_threshold: 2 } } }',
      's.failover_threshold must be a number from 0 to 1',
    ],
    [
      'api_management: { providers: { s: { primary: finnhub, health_check_interval: 0 } } }',
      's.health_check_interval must be a number of seconds',
    ],
    [
      'api_management: { health_monitoring: { interval: 5 } }',
      'api_management.health_monitoring must be true, false, or a mapping with `enabled` alone',
    ],
    [
      'api_management: { providers: { s: { backups: [finnhub] } } }',
      'api_management.providers.s.primary is missing',
    ],
  ])('refuses %s', (text, problem) => {
    const problems = problemsOf(text);
    expect(problems).toHaveLength(1);
    expect(problems[0]).toContain(problem);
    expect(problems[0]).toMatch(/^line \d+, column \d+: /);
  });

  it('tells faults of the syntax with their line, and nothing of the text', () => {
    expect(problemsOf('providers:\n  acme: "CANARY')).toEqual([
      expect.stringMatching(/^line 2, column \d+: a closing quote/),
    ]);
  });

  it('allows plain http to this machine, and elsewhere when told so', () => {
    const allowed = [
      'baseUrl: "http://localhost:1"',
      'baseUrl: "http://a.localhost"',
      'baseUrl: "http://127.9.9.9"',
      'baseUrl: "http://[::1]:80"',
      'baseUrl: "http://gateway:8080", allowInsecure: true',
      'baseUrl: "https://a.example", origins: ["http://b.example"], allowInsecure: true',
    ];
    for (const options of allowed) {
      const folder = folderWith({ 'keymux.config.yaml': `providers: { acme: { ${options} } }` });
      expect(() => readConfigurationFile(join(folder, 'keymux.config.yaml'), catalogue)).not.toThrow();
    }
  });

  it.each([
    ['a folder', '.', 'not a regular file'],
    ['a missing file', 'gone.yaml', 'ENOENT'],
    ['a file that is too large', 'large.yaml', 'larger than 1 MiB'],
    ['a file that is not UTF-8', 'latin1.yaml', 'not UTF-8'],
  ])('cannot read %s and says so', (_, name, reason) => {
    const folder = folderWith({ 'large.yaml': '#'.repeat(1_048_577) });
    writeFileSync(join(folder, 'latin1.yaml'), Buffer.from([0x61, 0x3a, 0x20, 0xe9]));
    const error = errorOf(() => readConfigurationFile(join(folder, name), catalogue));
    expect(error.code).toBe('KEYMUX_CONFIG_UNREADABLE');
    expect(error.message).toContain(join(folder, name));
    expect(error.message).toContain(reason);
    expect(error.fix).not.toBe('');
  });
});

describe('checkContent', () => {
  it('validates an object that a program passes in, without lines', () => {
    const context = { name: 'the options', folder: '/nowhere', catalogue };
    const checked = checkContent({ store: { type: 'memory' } }, context);
    expect(checked.content).toEqual({ store: { type: 'memory' } });
    expect(checked.path).toBeUndefined();
    expect(checked.positionOf(['store'])).toBeUndefined();
    expect(errorOf(() => checkContent({ stor: 1 }, context)).message).toBe(
      'the options has 1 problem:\n  stor is not an option; did you mean `store`?',
    );
  });

  it('wants one set of limits for all keys of a bucket', () => {
    const key = (id: string, bucket: string, requests: number) => ({
      id,
      value: `env:KEY_${id.toUpperCase()}`,
      bucket,
      limits: [{ requests, per: 'minute' }],
    });
    const check = (keys: object[]) => () =>
      checkContent(
        { providers: { acme: { baseUrl: 'https://api.acme.example', keys } } },
        { name: 'the options', folder: '/nowhere', catalogue },
      );
    expect(check([key('a', 'one', 5), key('b', 'one', 5), key('c', 'two', 9)])).not.toThrow();
    expect(errorOf(check([key('a', 'one', 5), key('b', 'one', 9)])).message).toContain(
      'providers.acme.keys[1].limits must be the same for all keys of a bucket',
    );
  });

  it('takes nothing for no options', () => {
    expect(checkContent(undefined, { name: 'x', folder: '/', catalogue }).content).toEqual({});
  });
});
