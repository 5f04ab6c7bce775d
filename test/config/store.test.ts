import { join } from 'node:path';
import { inspect } from 'node:util';
import { describe, expect, it } from 'vitest';
import type { RedisDefinition, StoreDefinition } from '#keymux/config/configuration.js';
import type { KeymuxError } from '#keymux/core/errors.js';
import { errorOf, folderWith, resolveContent, resolveIn, resolveYaml } from './sample.js';

const PASSWORD = 'CANARY-5d1e7';
const URL_WITH_PASSWORD = `rediss://fleet:${PASSWORD}@redis.internal:6380/2`;

function redisOf({ store }: { readonly store: StoreDefinition }): RedisDefinition {
  if (store.type !== 'redis') throw new Error(`the store is ${store.type}`);
  return store;
}

function linesOf(error: KeymuxError): string[] {
  return error.message
    .split('\n')
    .slice(1)
    .map((line) => line.trim());
}

/** What stands anywhere in an error, its stack and its causes included. */
function everythingIn(error: KeymuxError): string {
  return [inspect(error, { depth: 10 }), JSON.stringify(error), String(error.cause), error.fix].join('\n');
}

describe('a Redis store', () => {
  it('needs one line, and has defaults for the rest', () => {
    const { store, notes } = resolveYaml('store: { type: redis, url: redis://redis.internal }');
    expect(redisOf({ store })).toEqual({
      type: 'redis',
      url: redisOf({ store }).url,
      address: 'redis://redis.internal',
      prefix: 'keymux',
    });
    expect(redisOf({ store }).url.reveal()).toBe('redis://redis.internal');
    expect(notes).toEqual([]);
  });

  it('takes its options, with paths from the folder of the file', () => {
    const text = `store:
  type: redis
  url: rediss://redis.internal
  prefix: trading:eu
  tls: { ca: certs/ca.pem, cert: certs/me.pem, key: /keys/me.pem, serverName: redis.example }
  whenLost: stop
  members: 12
  secret: env:FLEET_SECRET
`;
    const { store, folder } = resolveYaml(text, { FLEET_SECRET: 'sixteen-or-longer' });
    expect(redisOf({ store })).toMatchObject({
      prefix: 'trading:eu',
      tls: {
        ca: join(folder, 'certs/ca.pem'),
        cert: join(folder, 'certs/me.pem'),
        key: '/keys/me.pem',
        serverName: 'redis.example',
      },
      whenLost: 'stop',
      members: 12,
    });
    expect(redisOf({ store }).secret?.reveal()).toBe('sixteen-or-longer');
  });

  it.each([
    ['env:REDIS_URL', { REDIS_URL: ` ${URL_WITH_PASSWORD}\n` }],
    ['file:redis.url', {}],
    [`exec:'${process.execPath}' print.mjs`, {}],
  ])('finds its address by the reference %s, as keys are found', (url, env) => {
    const files = {
      'keymux.config.json': JSON.stringify({ store: { type: 'redis', url } }),
      'redis.url': `${URL_WITH_PASSWORD}\n`,
      'print.mjs': `console.log(${JSON.stringify(URL_WITH_PASSWORD)})`,
    };
    const { store, notes } = resolveIn(files, env);
    expect(redisOf({ store }).url.reveal()).toBe(URL_WITH_PASSWORD);
    expect(redisOf({ store }).address).toBe('rediss://redis.internal:6380/2');
    expect(notes).toEqual([]);
  });

  it('never shows the password or the secret', () => {
    const env = { REDIS_URL: URL_WITH_PASSWORD, FLEET_SECRET: `${PASSWORD}-and-longer` };
    const configuration = resolveYaml(
      'store: { type: redis, url: "env:REDIS_URL", secret: "env:FLEET_SECRET" }',
      env,
    );
    expect(redisOf(configuration).url.reveal()).toContain(PASSWORD);
    for (const shown of [inspect(configuration, { depth: 10 }), JSON.stringify(configuration.store)])
      expect(shown).not.toContain(PASSWORD);
  });

  it('remarks upon a password in the file, and does not repeat it', () => {
    const { notes } = resolveYaml(`store: { type: redis, url: "${URL_WITH_PASSWORD}" }`);
    expect(notes).toEqual([expect.stringContaining('store.url holds a password in the configuration file')]);
    expect(notes.join()).not.toContain(PASSWORD);
    const program = resolveContent({ store: { type: 'redis', url: URL_WITH_PASSWORD } });
    expect(program.notes).toEqual([]);
  });

  it('passes on what is to be known of a file that others can read', () => {
    const content = { store: { type: 'redis', url: 'exec:keymux-no-such-program' } };
    expect(errorOf(() => resolveContent(content)).code).toBe('KEYMUX_SECRET_UNREADABLE');
  });

  it('is an error and never another store where its address cannot be read', () => {
    const error = errorOf(() => resolveYaml('store: { type: redis, url: "env:REDIS_URL" }'));
    expect(error.code).toBe('KEYMUX_SECRET_UNREADABLE');
    expect(error.message).toBe('store.url (env:REDIS_URL) cannot be read: the variable is not set.');
    expect(error.fix).toBe('Make env:REDIS_URL give the value of store.url.');
  });

  it('tells where the reference stands whose value is no address, and not the value', () => {
    const error = errorOf(() =>
      resolveYaml('\nstore:\n  type: redis\n  url: env:REDIS_URL\n', {
        REDIS_URL: `http://u:${PASSWORD}@host`,
      }),
    );
    expect(error.code).toBe('KEYMUX_CONFIG_INVALID');
    expect(linesOf(error)).toEqual([
      expect.stringMatching(/^line 4, column 3: store\.url must begin with redis:/),
    ]);
    expect(everythingIn(error)).not.toContain(PASSWORD);
  });

  it.each([
    ['url: redis://redis.internal:99999', 'store.url must name a host, or host and port'],
    [`url: "http://:${PASSWORD}@host"`, 'store.url must begin with redis://, rediss://, redis+sentinel://'],
    [`url: "redis://:${PASSWORD}/x@host"`, 'store.url must end after the path'],
    [`url: "redis://:a?${PASSWORD}@host"`, 'store.url must end after the path; write `@`, `/`, `?`'],
    [`url: "redis://:%${PASSWORD}@host"`, 'store.url holds a `%` that no code follows'],
    [`url: "redis://:a b${PASSWORD}@host"`, 'store.url must hold no blanks'],
    [`url: "redis://host/${PASSWORD}"`, 'store.url must have the number of a database'],
    ['url: "redis://one,two"', 'store.url names several hosts; that is for redis+sentinel://'],
    ['url: "redis+sentinel://one:26379,two:26379"', 'store.url must name the master after the hosts'],
    ['url: "redis+cluster://one,two/3"', 'store.url must have no path'],
    ['url: 6379', 'store.url must be an address'],
    ['prefix: x', 'store.url is missing'],
    [`url: redis://h, prefix: "a{${PASSWORD}}"`, 'store.prefix must be letters, digits'],
    ['url: redis://h, tls: { ca: a.pem }', 'store.tls has no effect without `rediss://`'],
    ['url: rediss://h, tls: { cert: a.pem }', 'store.tls.cert needs the other one'],
    ['url: rediss://h, tls: { key: a.pem }', 'store.tls.key needs the other one'],
    ['url: rediss://h, tls: { ca: "" }', 'store.tls.ca must be the path of a PEM file'],
    [
      'url: rediss://h, tls: { key: "-----BEGIN PRIVATE KEY-----" }',
      'store.tls.key must be the path of a PEM file, not what stands in it',
    ],
    ['url: rediss://h, tls: { serverName: "a b" }', 'store.tls.serverName must be the name of a host'],
    [
      `url: redis://h, secret: ${PASSWORD}-itself`,
      'store.secret must say where the secret is, never the secret',
    ],
    ['url: redis://h, whenLost: panic', 'store.whenLost must be one of share, stop'],
    ['url: redis://h, members: 0', 'store.members must be a whole number above 0'],
    ['url: redis://h, prefx: x', 'store.prefx is not an option; did you mean `prefix`?'],
  ])('refuses %s, with its place and without its value', (options, fault) => {
    const error = errorOf(() => resolveYaml(`store: { type: redis, ${options} }`));
    expect(error.code).toBe('KEYMUX_CONFIG_INVALID');
    expect(linesOf(error)).toHaveLength(1);
    expect(linesOf(error)[0]).toMatch(/^line 1, column \d+: /);
    expect(linesOf(error)[0]).toContain(fault);
    expect(everythingIn(error)).not.toContain(PASSWORD);
  });

  it('refuses a reference to a plain address beside `tls`, and a short secret', () => {
    const plain = errorOf(() =>
      resolveYaml('store: { type: redis, url: "env:U", tls: { ca: a.pem } }', { U: 'redis://h' }),
    );
    expect(linesOf(plain)[0]).toContain('store.tls has no effect without `rediss://`');
    const short = errorOf(() =>
      resolveYaml('store: { type: redis, url: redis://h, secret: "env:S" }', { S: 'CANARY-short' }),
    );
    expect(linesOf(short)[0]).toContain('store.secret must name a secret of at least 16 characters');
    expect(everythingIn(short)).not.toContain('CANARY');
    const program = { store: { type: 'redis', url: 'env:U' } };
    expect(errorOf(() => resolveContent(program, { U: 'h' })).message).toContain('store.url must begin with');
  });
});

describe('a SQLite store', () => {
  it('may say what to do without it', () => {
    const { store, folder } = resolveYaml('store: { type: sqlite, path: s.db, whenLost: stop, members: 3 }');
    expect(store).toEqual({ type: 'sqlite', path: join(folder, 's.db'), whenLost: 'stop', members: 3 });
  });

  it('has no options of another store', () => {
    const error = errorOf(() => resolveYaml('store: { type: sqlite, url: redis://h }'));
    expect(linesOf(error)[0]).toContain(
      'store.url is not an option; known here: type, path, whenLost, members',
    );
  });
});

describe('KEYMUX_STORE', () => {
  it('names the store without a file', () => {
    const { store, notes } = resolveIn({}, { KEYMUX_STORE: URL_WITH_PASSWORD });
    expect(redisOf({ store }).url.reveal()).toBe(URL_WITH_PASSWORD);
    expect(notes).toEqual([]);
    expect(resolveIn({}, { KEYMUX_STORE: 'memory' }).store).toEqual({ type: 'memory' });
    expect(resolveIn({}, { KEYMUX_STORE: ' ' }).store).toEqual({ type: 'sqlite' });
    expect(resolveIn({ '.env': 'KEYMUX_STORE=redis://h' }).store.type).toBe('redis');
  });

  it('leads to the address by a reference, from the working directory', () => {
    const { store } = resolveIn({ 'redis.url': URL_WITH_PASSWORD }, { KEYMUX_STORE: 'file:redis.url' });
    expect(redisOf({ store }).url.reveal()).toBe(URL_WITH_PASSWORD);
    const error = errorOf(() => resolveIn({}, { KEYMUX_STORE: 'env:NOWHERE' }));
    expect(error.message).toBe('KEYMUX_STORE (env:NOWHERE) cannot be read: the variable is not set.');
  });

  it('replaces the store of a file, with a remark, and keeps what fits of its options', () => {
    const file = 'store: { type: redis, url: rediss://a, prefix: p, members: 4, tls: { ca: ca.pem } }';
    const { store, notes } = resolveYaml(file, { KEYMUX_STORE: 'redis://b' });
    expect(redisOf({ store })).toMatchObject({ address: 'redis://b', prefix: 'p', members: 4 });
    expect(redisOf({ store }).tls).toBeUndefined();
    expect(notes).toEqual(['KEYMUX_STORE replaces the store that the file states']);
    expect(resolveYaml(file, { KEYMUX_STORE: 'sqlite' }).store).toEqual({ type: 'sqlite' });
    const sqlite = 'store: { type: sqlite, members: 2 }';
    expect(resolveYaml(sqlite, { KEYMUX_STORE: 'sqlite' }).store).toEqual({ type: 'sqlite', members: 2 });
    expect(redisOf(resolveYaml(sqlite, { KEYMUX_STORE: 'redis://b' })).members).toBeUndefined();
  });

  it.each([PASSWORD, `redis://u:${PASSWORD}@`, `${URL_WITH_PASSWORD}?a`])(
    'is an error that does not repeat it where it names no store (%#)',
    (value) => {
      const error = errorOf(() => resolveIn({}, { KEYMUX_STORE: value }));
      expect(error.code).toBe('KEYMUX_CONFIG_INVALID');
      expect(error.message).toMatch(/^The environment variable KEYMUX_STORE /);
      expect(everythingIn(error)).not.toContain(PASSWORD);
    },
  );

  it('is an error where the file it leads to holds no address', () => {
    const folder = folderWith({ address: PASSWORD });
    const error = errorOf(() => resolveIn({}, { KEYMUX_STORE: `file:${join(folder, 'address')}` }));
    expect(error.message).toContain('The environment variable KEYMUX_STORE must begin with redis://');
    expect(everythingIn(error)).not.toContain(PASSWORD);
  });
});
