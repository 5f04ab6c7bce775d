import { virtualKeyFor } from '#keymux/config/virtual-key.js';
import { KeymuxError } from '#keymux/core/errors.js';
import type { ConnectionFacts } from '#keymux/interceptors/connection-trust.js';
import type { KeyGuard, Outgoing } from '#keymux/interceptors/key-guard.js';
import { KeyGuard as Guard, guardOf } from '#keymux/interceptors/key-guard.js';
import { virtualKeysOf } from '#keymux/manager/virtual-keys.js';
import type { KeyManager } from '#keymux/manager/key-manager.js';
import type { Lease } from '#keymux/manager/lease.js';
import { describe, expect, it } from 'vitest';
import { directManager, plainManager, virtualKeyOf, virtualManager, virtualProvider } from './virtual.js';

const HOME = 'https://api.acme.example';
const EU = 'https://eu.acme.example';
const ELSEWHERE = 'https://files.example';
const REAL = 'key-one';

interface Request {
  origin?: string | undefined;
  path?: string;
  headers?: Record<string, string>;
  connection?: ConnectionFacts;
}

function request({ origin, path = '/', headers = {}, connection = {} }: Request): Outgoing {
  return { origin, path, headers: Object.entries(headers), connection: () => connection };
}

function refusalOf(guard: KeyGuard, outgoing: Request): string {
  try {
    guard.check(request(outgoing));
  } catch (error) {
    if (!(error instanceof KeymuxError)) throw error;
    expect(error.code).toBe('KEYMUX_ORIGIN_REFUSED');
    expect(error.fix).not.toBe('');
    return error.message;
  }
  return 'was not refused';
}

function bearer(key: string): Record<string, string> {
  return { authorization: `Bearer ${key}` };
}

async function leaseOf(manager: KeyManager): Promise<Lease> {
  return manager.acquire('acme');
}

describe('a guard', () => {
  it('has nothing to watch without virtual keys and redirects', () => {
    const manager = directManager(HOME, REAL);
    expect(guardOf(manager).isOnWatch).toBe(false);
    expect(guardOf(manager).check(request({ origin: ELSEWHERE, headers: bearer(REAL) }))).toBeUndefined();
    expect(guardOf(manager)).toBe(guardOf(manager));
  });

  it('begins to watch when a provider becomes virtual, and knows keys that the application still holds', () => {
    const providers = { acme: { baseUrl: HOME, mode: '', ...virtualProvider([REAL]) } };
    const manager = plainManager(providers, { ACME_API_KEY: REAL });
    const guard = guardOf(manager);
    const key = virtualKeyOf(manager);
    expect(guard.isOnWatch).toBe(true);
    providers.acme.mode = 'direct';
    manager.reload();
    expect(virtualKeysOf(manager).of('acme')).toBeUndefined();
    expect(guard.isOnWatch).toBe(true);
    expect(refusalOf(guard, { origin: ELSEWHERE, headers: bearer(key) })).toContain('acme');
    expect(manager.origins.find(HOME)?.isKnownKey(key)).toBe(true);
  });

  it('goes on watching over the keys of a provider that is gone', () => {
    const providers: Record<string, object> = { acme: { baseUrl: HOME, ...virtualProvider([REAL]) } };
    const manager = plainManager(providers);
    const key = virtualKeyOf(manager);
    delete providers['acme'];
    manager.reload();
    const said = refusalOf(guardOf(manager), { origin: HOME, headers: bearer(key) });
    expect(said).toContain('It may go to no origin');
  });
});

describe('a virtual key', () => {
  it('passes in its place, to each origin of its provider', () => {
    const { manager, key } = virtualManager(HOME, [REAL], { origins: [EU] });
    const guard = guardOf(manager);
    expect(guard.isOnWatch).toBe(true);
    for (const origin of [HOME, EU])
      expect(guard.check(request({ origin, headers: { accept: '*/*', ...bearer(key) } }))).toBeUndefined();
  });

  it.each<[string, (key: string) => Request, RegExp]>([
    [
      'another origin',
      (key) => ({ origin: ELSEWHERE, headers: bearer(key) }),
      /the header "authorization".*https:\/\/files\.example/,
    ],
    [
      'the same host over http',
      (key) => ({ origin: 'http://api.acme.example', headers: bearer(key) }),
      /to http:\/\/api/,
    ],
    ['another port', (key) => ({ origin: `${HOME}:8443`, headers: bearer(key) }), /:8443/],
    ['a destination that nobody knows', (key) => ({ origin: undefined, headers: bearer(key) }), /cannot see/],
    [
      'another header',
      (key) => ({ origin: HOME, headers: { 'X-Trace': key } }),
      /the header "x-trace".*may stand in the header "authorization" only/,
    ],
    ['a cookie', (key) => ({ origin: HOME, headers: { cookie: `a=1; k=${key}` } }), /the header "cookie"/],
    ['the name of a header', (key) => ({ origin: HOME, headers: { [key]: '1' } }), /the name of a header/],
    [
      'its header, behind other text',
      (key) => ({ origin: HOME, headers: bearer(`${key}, ${key}x`) }),
      /the header "authorization"/,
    ],
    ['the query', (key) => ({ origin: HOME, path: `/a?b=1&k=${key}&c=2` }), /the query parameter "k"/],
    ['a flag of the query', (key) => ({ origin: HOME, path: `/a?x${key}` }), /the query parameter/],
    [
      'the query, escaped',
      (key) => ({
        origin: HOME,
        path: `/a?k=%${key.charCodeAt(0).toString(16)}${key.slice(1)}&z=%zz`.replace('&z=%zz', ''),
      }),
      /mode: virtual|may stand/,
    ],
    ['the path', (key) => ({ origin: HOME, path: `/${key}/x?y=1` }), /the path/],
    [
      'a whole URL, as a proxy gets it',
      (key) => ({ origin: 'http://127.0.0.1:3128', path: `${HOME}/a?k=${key}` }),
      /query parameter "k".*127\.0\.0\.1:3128/,
    ],
    [
      'basic authorization',
      (key) => ({ origin: ELSEWHERE, headers: { Authorization: `Basic ${btoa(`user:${key}`)}` } }),
      /the header "authorization"/,
    ],
  ])('is refused on the way to %s, which names no key', (_what, outgoing, message) => {
    const { manager, key } = virtualManager(HOME);
    const said = refusalOf(guardOf(manager), outgoing(key));
    expect(said).toMatch(message);
    expect(said).toMatch(/acme.*The request was not sent\.$/);
    expect(said).not.toContain(key);
    expect(said).not.toContain(REAL);
  });

  it.each<[string, object, (key: string) => Request]>([
    ['query', { auth: { in: 'query', name: 'token' } }, (key) => ({ path: `/a?token=${key}` })],
    ['path', { auth: { in: 'path' } }, (key) => ({ path: `/v2/${key}/a` })],
    [
      'basic',
      { auth: { in: 'basic' } },
      (key) => ({ headers: { authorization: `Basic ${btoa(`${key}:`)}` } }),
    ],
    ['header', { auth: { in: 'header', name: 'X-Key' } }, (key) => ({ headers: { 'x-key': key } })],
  ])('passes where a provider takes it in the %s, and is refused elsewhere', (where, provider, outgoing) => {
    const { manager, key } = virtualManager(HOME, [REAL], provider);
    const guard = guardOf(manager);
    expect(guard.check(request({ origin: HOME, ...outgoing(key) }))).toBeUndefined();
    expect(refusalOf(guard, { origin: ELSEWHERE, ...outgoing(key) })).toContain(ELSEWHERE);
    expect(refusalOf(guard, { origin: HOME, headers: { 'x-else': key } })).toContain(where);
  });

  it('of another provider is refused, however right the place', () => {
    const providers = {
      acme: { baseUrl: HOME, ...virtualProvider(['key-one']) },
      other: { baseUrl: EU, ...virtualProvider(['key-two']) },
    };
    const manager = plainManager(providers);
    const guard = guardOf(manager);
    const key = virtualKeyOf(manager, 'other');
    const said = refusalOf(guard, { origin: HOME, headers: bearer(key) });
    expect(said).toContain('A virtual key of other');
    expect(said).toContain(`It may go to ${EU} only`);
  });

  it('is refused in its place where the connection may lead elsewhere, even if it is escaped', () => {
    const { manager, key } = virtualManager(HOME, [REAL], { auth: { in: 'query', name: 'token' } });
    const guard = guardOf(manager);
    const connection = { hasLookup: true };
    const escaped = `%${key.charCodeAt(0).toString(16)}${key.slice(1)}`;
    for (const text of [key, escaped]) {
      const path = `/a?token=${text}`;
      expect(refusalOf(guard, { origin: HOME, path, connection })).toMatch(
        /not turned into a real one.*`lookup`/,
      );
      expect(guard.check(request({ origin: HOME, path }))).toBeUndefined();
    }
    const asked: string[] = [];
    const ask = (): ConnectionFacts => {
      asked.push('asked');
      return connection;
    };
    guard.check({ origin: HOME, path: '/a', headers: [['accept', '*/*']], connection: ask });
    expect(asked).toEqual([]);
  });

  it('does not keep a direct provider from connecting as it likes', () => {
    const providers = {
      acme: { baseUrl: HOME, env: ['ACME_API_KEY'] },
      other: { baseUrl: EU, ...virtualProvider(['key-two']) },
    };
    const manager = plainManager(providers, { ACME_API_KEY: REAL });
    const outgoing = request({ origin: HOME, headers: bearer(REAL), connection: { hasLookup: true } });
    expect(guardOf(manager).check(outgoing)).toBeUndefined();
  });

  it('that was inherited is as good as the own one', () => {
    const { manager, key } = virtualManager(HOME);
    const inherited = virtualKeyFor('acme', '/of/the/parent', new Uint8Array(32));
    expect(inherited).not.toBe(key);
    const keys = virtualKeysOf(manager);
    keys.accept('acme', 'key-of-nobody');
    keys.accept('acme', inherited);
    keys.accept('acme', inherited);
    expect(keys.size).toBe(2);
    const guard = guardOf(manager);
    expect(guard.check(request({ origin: HOME, headers: bearer(inherited) }))).toBeUndefined();
    expect(manager.origins.find(HOME)?.isKnownKey(inherited)).toBe(true);
    expect(refusalOf(guard, { origin: ELSEWHERE, headers: bearer(inherited) })).toContain('acme');
  });

  it('that cannot be decoded is looked for as it stands', () => {
    const { manager, key } = virtualManager(HOME);
    expect(refusalOf(guardOf(manager), { origin: HOME, path: `/%zz/${key}` })).toContain('the path');
  });
});

describe('a redirect', () => {
  it('within the origins of a provider goes on as it is', async () => {
    const manager = directManager(HOME, REAL, { origins: [EU] });
    const guard = guardOf(manager);
    const lease = await leaseOf(manager);
    for (const location of ['/next', `${EU}/next?k=${REAL}`, '?page=2'])
      expect(guard.redirect(lease, `${HOME}/a`, location)).toBe(location);
    expect(guard.isOnWatch).toBe(false);
  });

  it('within the origins of a virtual provider shows the virtual key', async () => {
    const { manager, key } = virtualManager(HOME);
    const location = guardOf(manager).redirect(await leaseOf(manager), `${HOME}/a`, `/next?k=${REAL}`);
    expect(location).toBe(`/next?k=${key}`);
  });

  it.each([
    ['raw', REAL, `${ELSEWHERE}/${REAL}?k=${REAL}#${REAL}`, `${ELSEWHERE}/?k=#`],
    ['escaped', 'key/one+', `${ELSEWHERE}/?k=key%2Fone%2B`, `${ELSEWHERE}/?k=`],
    ['in the user name', REAL, `https://${REAL}@files.example/a`, 'https://@files.example/a'],
    ['over another protocol', REAL, `ftp://files.example/${REAL}`, 'ftp://files.example/'],
    ['without an origin', REAL, `mailto:${REAL}@acme.example`, 'mailto:@acme.example'],
    ['unreadable', REAL, `https://[${REAL}`, 'https://['],
  ])('elsewhere takes no key along: %s', async (_what, text, location, expected) => {
    const manager = directManager(HOME, text);
    expect(guardOf(manager).redirect(await leaseOf(manager), `${HOME}/a`, location)).toBe(expected);
  });

  it.each(['x-api-key', 'X-Goog-Api-Key'])(
    'elsewhere, when it is followed, leaves keys in %s behind',
    async (name) => {
      const manager = directManager(HOME, REAL, { auth: { in: 'header', name: 'x-api-key' } });
      const guard = guardOf(manager);
      guard.redirect(await leaseOf(manager), `${HOME}/a`, `${ELSEWHERE}/b`);
      expect(guard.isOnWatch).toBe(true);
      const followed = {
        accept: '*/*',
        [name]: REAL,
        authorization: `Bearer ${REAL}`,
        referer: `${HOME}/a?key=${REAL}`,
        'x-basic': 'Basic !',
      };
      const dropped = guard.check(request({ origin: ELSEWHERE, path: '/b', headers: followed }));
      expect([...(dropped ?? [])].toSorted()).toEqual(['authorization', 'referer', name.toLowerCase()]);
      expect(guard.check(request({ origin: HOME, headers: followed }))).toBeUndefined();
      expect(guard.check(request({ origin: 'https://third.example', headers: followed }))).toBeUndefined();
      expect(guard.check(request({ origin: undefined, headers: followed }))).toBeUndefined();
    },
  );

  it('elsewhere leaves the virtual key behind instead of refusing it', async () => {
    const { manager, key } = virtualManager(HOME);
    const guard = guardOf(manager);
    const basic = { authorization: `Basic ${btoa(`${key}:`)}` };
    guard.redirect(await leaseOf(manager), `${HOME}/a`, `${ELSEWHERE}/b`);
    for (const headers of [bearer(key), basic])
      expect(guard.check(request({ origin: ELSEWHERE, headers }))).toEqual(new Set(['authorization']));
    expect(refusalOf(guard, { origin: ELSEWHERE, path: `/b?k=${key}` })).toContain(ELSEWHERE);
  });

  it('to another provider leaves the key of that one alone', async () => {
    const providers = {
      acme: { baseUrl: HOME, auth: { in: 'header', name: 'x-api-key' } },
      other: { baseUrl: EU },
    };
    const env = { ACME_API_KEY: 'key-acme', OTHER_API_KEY: 'key-other' };
    const manager = plainManager(providers, env);
    const guard = guardOf(manager);
    guard.redirect(await leaseOf(manager), `${HOME}/a`, `${EU}/b`);
    const headers = { 'x-api-key': 'key-acme', ...bearer('key-other') };
    expect(guard.check(request({ origin: EU, headers }))).toEqual(new Set(['x-api-key']));
  });

  it('is remembered for ten minutes, and no more than 64 of them', async () => {
    const manager = directManager(HOME, REAL);
    let now = 0;
    const guard = new Guard(manager, () => now);
    const lease = await leaseOf(manager);
    const isWatched = (origin: string): boolean =>
      guard.check(request({ origin, headers: bearer(REAL) })) !== undefined;
    guard.redirect(lease, `${HOME}/a`, ELSEWHERE);
    now = 599_999;
    expect(isWatched(ELSEWHERE)).toBe(true);
    guard.redirect(lease, `${HOME}/a`, ELSEWHERE);
    now = 600_000;
    expect(isWatched(ELSEWHERE)).toBe(true);
    for (let index = 0; index < 64; index++) guard.redirect(lease, `${HOME}/a`, `https://h${index}.example/`);
    expect(isWatched(ELSEWHERE)).toBe(false);
    expect(isWatched('https://h0.example')).toBe(true);
    now = 1_200_000;
    expect(isWatched('https://h0.example')).toBe(false);
    expect(guard.isOnWatch).toBe(false);
  });

  it('of a provider that is gone is not remembered', async () => {
    const providers = { acme: { baseUrl: HOME } };
    const manager = plainManager(providers, { ACME_API_KEY: REAL });
    const guard = guardOf(manager);
    const lease = await leaseOf(manager);
    providers.acme.baseUrl = EU;
    manager.reload();
    expect(guard.redirect(lease, `${HOME}/a`, `${ELSEWHERE}/${REAL}`)).toBe(`${ELSEWHERE}/`);
    expect(guard.isOnWatch).toBe(false);
  });
});
