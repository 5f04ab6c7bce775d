import fc from 'fast-check';
import { inspect } from 'node:util';
import { describe, expect, it } from 'vitest';
import { stringify } from 'yaml';
import { parseSource } from '#keymux/config/source-text.js';
import { checkContent } from '#keymux/config/file.js';
import type { Configuration } from '#keymux/config/configuration.js';
import { resolveConfiguration } from '#keymux/config/resolve.js';
import { invalidFile } from '#keymux/config/problems.js';
import { KeymuxError } from '#keymux/core/errors.js';
import { strategies } from '#keymux/core/select.js';
import { catalogue, folderWith, isTemplateValue } from './sample.js';

const STRATEGY_NAMES = Object.keys(strategies);
const CANARY = 'sk-CANARY-7f3a9b2c4d5e6f708192';

const OPTION_NAMES = [
  ...[
    'services',
    'providers',
    'store',
    'audit',
    'alerts',
    'healthCheckIntervalMs',
    'api_management',
    'baseUrl',
    'origins',
  ],
  ...[
    'allowInsecure',
    'auth',
    'in',
    'name',
    'scheme',
    'field',
    'env',
    'mode',
    'signed',
    'limits',
    'requests',
    'per',
    'perMs',
  ],
  ...[
    'resetsAt',
    'timeZone',
    'keys',
    'id',
    'value',
    'priority',
    'weight',
    'bucket',
    'discover',
    'errors',
    'status',
    'header',
  ],
  ...[
    'json',
    'match',
    'outcome',
    'probe',
    'path',
    'retry',
    'repeatable',
    'stream',
    'commit',
    'strategy',
    'type',
    'primary',
  ],
  ...['url', 'prefix', 'tls', 'ca', 'cert', 'key', 'serverName', 'secret', 'whenLost', 'members'],
  ...[
    'backups',
    'failover_threshold',
    'health_check_interval',
    'global_failover',
    'state_persistence',
    'enabled',
  ],
  ...[
    'finnhub',
    'acme',
    'market_data',
    'constructor',
    'prototype',
    '__proto__',
    'toString',
    'hasOwnProperty',
    '<<',
    '',
    '0',
  ],
];

const scalar = fc.oneof(
  fc.constantFrom(
    CANARY,
    `env:${CANARY}`,
    `https://u:${CANARY}@a.example`,
    `https://a.example/?k=${CANARY}`,
    `vault:${CANARY}`,
    `redis://u:${CANARY}@a.example`,
    `rediss+sentinel://:${CANARY}@a,b:1/m`,
    `redis://u:${CANARY}/@a.example?${CANARY}`,
  ),
  fc.constantFrom(
    'https://a.example',
    'http://127.0.0.1:1',
    'finnhub',
    'acme',
    'env:SECRET',
    'minute',
    'day',
    'header',
    'sqlite',
    'redis',
  ),
  fc.constantFrom(
    '00:00',
    'UTC',
    'rejected',
    '$.a',
    '/x',
    'main',
    'direct',
    'GET',
    'priority',
    'first-event',
  ),
  fc.constantFrom(null, true, false, 0, 1, -1, 0.5, 2 ** 40, Number.NaN, Number.POSITIVE_INFINITY),
  fc.string({ maxLength: 6 }),
);

const { anything } = fc.letrec<{ anything: unknown }>((tie) => ({
  anything: fc.oneof(
    { depthSize: 'large', withCrossShrink: true },
    scalar,
    fc.array(tie('anything'), { maxLength: 3 }),
    fc.dictionary(fc.constantFrom(...OPTION_NAMES), tie('anything'), { maxKeys: 5 }),
  ),
}));

/** Content in nearly the right shape, so that the fuzz gets past the first validation. */
const maybe = <T>(arbitrary: fc.Arbitrary<T>): fc.Arbitrary<unknown> =>
  fc.oneof({ weight: 40, arbitrary }, { weight: 1, arbitrary: anything });
const option = (shape: Record<string, fc.Arbitrary<unknown>>): fc.Arbitrary<unknown> =>
  fc.record(shape, { requiredKeys: [] });
const known = fc.constantFrom('finnhub', 'gemini');
const id = fc.constantFrom('finnhub', 'gemini', 'acme', 'constructor');
const limit = fc.record({
  requests: maybe(fc.integer({ min: 1, max: 9 })),
  per: maybe(fc.constantFrom('minute', 'day')),
});
const key = fc.record({
  id: maybe(fc.constantFrom('main', 'spare', '2')),
  value: maybe(fc.constantFrom('env:SECRET', 'env:GONE', 'file:gone')),
});
const maybePem = fc.constantFrom(
  'key.pem',
  `-----BEGIN PRIVATE KEY-----\n${CANARY}\n-----END PRIVATE KEY-----`,
);
const redis = fc.record(
  {
    type: fc.constant('redis'),
    url: maybe(fc.constantFrom(`rediss://u:${CANARY}@a`, `redis+cluster://:${CANARY}@a,b`, 'env:SECRET')),
    secret: maybe(fc.constantFrom('env:SECRET', 'file:gone')),
    // A file may be called anything, so its path is shown.
    tls: fc.record({
      ca: fc.constant('ca.pem'),
      key: maybePem,
    }),
    members: maybe(fc.integer({ min: 1, max: 9 })),
  },
  { requiredKeys: ['type', 'url'] },
);
const nearly = option({
  services: maybe(
    fc.dictionary(
      fc.constantFrom('s', 't', 'finnhub'),
      fc.record({
        providers: maybe(fc.uniqueArray(known, { minLength: 1 })),
        strategy: fc.constantFrom(...STRATEGY_NAMES),
      }),
    ),
  ),
  providers: maybe(
    fc.dictionary(
      id,
      maybe(
        fc.record(
          {
            baseUrl: maybe(fc.constantFrom('https://a.example', 'http://127.0.0.1:9')),
            limits: maybe(fc.array(limit, { maxLength: 2 })),
            keys: maybe(fc.uniqueArray(key, { maxLength: 3, selector: ({ id: name }) => name })),
            env: maybe(fc.uniqueArray(fc.constantFrom('SECRET', 'ACME_API_KEY', 'FINNHUB_API_KEY'))),
            discover: fc.boolean(),
          },
          { requiredKeys: ['baseUrl'] },
        ),
      ),
    ),
  ),
  store: maybe(fc.oneof(fc.record({ type: fc.constantFrom('memory', 'sqlite') }), redis)),
});

const keyNames = fc.constantFrom(
  ...[
    'FINNHUB_API_KEY',
    'FINNHUB_API_KEY_2',
    'FINNHUB_API_KEYS',
    'GOOGLE_API_KEY_BACKUP_1',
    'ACME_API_KEY',
    'SECRET',
  ],
);
const settingNames = fc.constantFrom(
  ...[
    'API_PROVIDER_PRIORITIES',
    'API_HEALTH_CHECK_INTERVAL',
    'API_FAILOVER_THRESHOLD',
    'KEYMUX_STORE',
    '__proto__',
    'constructor',
  ],
);
const keyTexts = fc.constantFrom(
  ...[CANARY, `${CANARY},${CANARY}2\n${CANARY}`, `${CANARY}\u0000`, `${CANARY}\u200b`, `your-${CANARY}`, ' '],
);
const settingTexts = fc.constantFrom(
  ...[
    `{"s":["${CANARY}"]}`,
    `{"${CANARY}":["finnhub"]}`,
    '{"s":["finnhub","acme"]}',
    `{"s":${CANARY}`,
    '0.5',
    'memory',
    `redis://:${CANARY}@a`,
    `redis://:${CANARY}@a?${CANARY}`,
    CANARY,
  ],
);
const keyEnvironment = fc.dictionary(keyNames, fc.oneof(keyTexts, fc.string()));
const environment = fc.dictionary(
  fc.oneof(keyNames, settingNames, fc.string({ maxLength: 8 })),
  fc.oneof(keyTexts, settingTexts, fc.string()),
);

function leaksOf(error: unknown): string {
  if (!(error instanceof KeymuxError)) throw error;
  return inspect([error, error.message, error.fix, error.cause, error.stack], { depth: 9 });
}

function expectSound(configuration: Configuration): void {
  expect(inspect(configuration, { depth: 9 })).not.toContain('CANARY');
  expect(
    JSON.stringify([...configuration.services, ...configuration.providers, configuration]),
  ).not.toContain('CANARY');
  for (const service of configuration.services.values()) {
    expect(service.providers.length).toBeGreaterThan(0);
    expect(STRATEGY_NAMES).toContain(service.strategy);
    for (const provider of service.providers) expect(configuration.providers.has(provider)).toBe(true);
  }
  const ids = configuration.credentials.map((credential) => `${credential.provider}/${credential.id}`);
  expect(new Set(ids).size).toBe(ids.length);
  for (const credential of configuration.credentials) {
    expect(configuration.providers.has(credential.provider)).toBe(true);
    expect(credential.secret.reveal()).toMatch(/^[!-~]([ -~]*[!-~])?$/);
    expect(credential.weight).toBeGreaterThan(0);
    expect(credential.bucket).not.toBe('');
  }
  for (const provider of configuration.providers.values()) {
    expect(URL.canParse(provider.baseUrl)).toBe(true);
    for (const window of provider.limits) expect(window.perMs * window.requests).toBeGreaterThan(0);
  }
}

const runs = { numRuns: 1_500 };

describe('whatever the configuration holds', () => {
  const attempt = (content: unknown, env: Record<string, string>, folder: string): 'accepted' | 'refused' => {
    try {
      const file = checkContent(content, { name: 'the options', folder, catalogue });
      expectSound(resolveConfiguration({ env, cwd: folder, home: folder, catalogue, isTemplateValue, file }));
      return 'accepted';
    } catch (error) {
      expect(leaksOf(error)).not.toContain('CANARY');
      return 'refused';
    }
  };

  it('ends in a sound configuration or a KeymuxError, without a key in it', () => {
    const folder = folderWith();
    const ends = { accepted: 0, refused: 0 };
    fc.assert(
      fc.property(fc.oneof(nearly, anything), fc.oneof(keyEnvironment, environment), (content, env) => {
        ends[attempt(content, env, folder)] += 1;
      }),
      runs,
    );
    expect(ends.accepted).toBeGreaterThan(0);
    expect(ends.refused).toBeGreaterThan(0);
    expect(
      Object.getOwnPropertyNames(Object.prototype).filter((name) => OPTION_NAMES.slice(0, -8).includes(name)),
    ).toEqual([]);
  });

  it('gives the same end through YAML and through JSON', () => {
    const folder = folderWith();
    fc.assert(
      fc.property(fc.oneof(nearly, anything), (content) => {
        const plain: unknown = JSON.parse(JSON.stringify(content) ?? 'null');
        const json = parseSource(JSON.stringify(plain), 'json');
        const yaml = parseSource(stringify(plain, { aliasDuplicateObjects: false }), 'yaml');
        expect(yaml.problems.map(({ text }) => text)).toEqual(json.problems.map(({ text }) => text));
        if (json.problems.length > 0) {
          expect(leaksOf(invalidFile('x', json.problems, json.positionOf))).not.toContain('CANARY');
          return;
        }
        expect(yaml.value).toEqual(json.value);
        attempt(yaml.value, {}, folder);
      }),
      runs,
    );
  });
});

describe('whatever text a file holds', () => {
  const text = fc.oneof(
    fc.string(),
    fc.string({ unit: 'binary' }),
    fc
      .array(
        fc.constantFrom(
          CANARY,
          ': ',
          '- ',
          '\n',
          '  ',
          '\t',
          '{',
          '}',
          '[',
          ']',
          '"',
          "'",
          '&a ',
          '*a',
          '!t ',
          '|\n',
          '? ',
          '#',
          ',',
          '---\n',
          '%',
        ),
      )
      .map((parts) => parts.join('')),
  );

  it.each(['yaml', 'json', 'jsonc'] as const)(
    'is read as %s or refused, without a key in the refusal',
    (format) => {
      fc.assert(
        fc.property(text, (source) => {
          const { problems, positionOf } = parseSource(source, format);
          expect(leaksOf(invalidFile('x', problems, positionOf))).not.toContain('CANARY');
          for (const { position } of problems)
            expect(position === undefined || position.line >= 1).toBe(true);
        }),
        runs,
      );
    },
  );
});

describe('whatever the environment holds', () => {
  it('ends in a sound configuration or a KeymuxError, without a key in it', () => {
    const folder = folderWith();
    fc.assert(
      fc.property(environment, (env) => {
        try {
          expectSound(resolveConfiguration({ env, cwd: folder, home: folder, catalogue, isTemplateValue }));
        } catch (error) {
          expect(leaksOf(error)).not.toContain('CANARY');
        }
      }),
      runs,
    );
  });
});
