import fc from 'fast-check';
import { isThisMachine, isWebhookReference, isWebhookUrl } from '#keymux/config/safe-address.js';
import { isVirtualKey, virtualKeyFor } from '#keymux/config/virtual-key.js';
import { looksLikeRedisAddress, parseRedisAddress } from '#keymux/core/redis-address.js';
import { hostFault, isLoopback } from '#keymux/gateway/request-faults.js';
import { makeToken, readTokens } from '#keymux/gateway/tokens.js';
import { targetOf } from '#keymux/gateway/target.js';
import { ROLES } from '#keymux/gateway/access.js';
import { catalogue } from '#keymux/providers/catalogue.js';
import { describe, expect, it } from 'vitest';
import { acmeManager } from '../manager/acme.js';
import { POLLUTING, SECRET, anyText, mixOf, soundly, watchPrototypes } from './soundness.js';

watchPrototypes();

const runs = { numRuns: 1_500 };

const hostPieces = [
  'api.acme.example',
  'acme.example',
  '127.0.0.1',
  'localhost',
  '[::1]',
  '0x7f.1',
  '2130706433',
  '.',
  '..',
  '@',
  ':',
  ':443',
  ':8443',
  '/',
  '\\',
  '?',
  '#',
  '%2e',
  '%40',
  '\t',
  '\u3002',
  '\uFF0E',
  '\u0130',
  'xn--',
];

describe('an origin', () => {
  it('is managed only if it is one of the provider, however it is written', () => {
    const manager = acmeManager({ baseUrl: 'https://api.acme.example' });
    expect(manager.origins.find('https://api.acme.example')).toBeDefined();
    let managed = 0;
    fc.assert(
      fc.property(
        fc.constantFrom('https://', 'http://', 'HTTPS://', 'https:', 'https:\\\\', 'wss://', ''),
        fc.oneof(
          {
            weight: 2,
            arbitrary: fc.constantFrom('api.acme.example', 'API.ACME.example', 'api.acme.example:443'),
          },
          mixOf(...hostPieces),
        ),
        (scheme, host) => {
          const text = `${scheme}${host}`;
          const origin = URL.canParse(text) ? new URL(text).origin : text;
          if (soundly(() => manager.origins.find(origin)) === undefined) return;
          managed += 1;
          const url = new URL(text);
          expect([url.protocol, url.hostname, url.port]).toEqual(['https:', 'api.acme.example', '']);
        },
      ),
      runs,
    );
    expect(managed).toBeGreaterThan(0);
    for (const name of POLLUTING) expect(manager.origins.find(name)).toBeUndefined();
  });

  it('is this machine only if requests to it stay there', () => {
    fc.assert(
      fc.property(mixOf(...hostPieces), (host) => {
        const text = `http://${host}`;
        if (!URL.canParse(text)) return;
        const { hostname } = new URL(text);
        const isHere = soundly(() => isThisMachine(hostname))!;
        if (isHere)
          expect(hostname).toMatch(/^(?:localhost|[^/@\s]+\.localhost|127(?:\.\d{1,3}){3}|\[::1\])$/);
        if (isWebhookUrl(text)) expect([isHere, new URL(text).username]).toEqual([true, '']);
        soundly(() => [isWebhookReference(host), isLoopback(host)]);
      }),
      runs,
    );
  });

  it('of a gateway is its own name alone', () => {
    const names = { localAddress: '192.0.2.1', allowed: new Set(['gateway.example']) };
    fc.assert(
      fc.property(mixOf('evil.example', ...hostPieces), (host) => {
        const fault = soundly(() => hostFault(host, names));
        if (fault === undefined)
          expect(host).toMatch(/^(?:[\w.-]*localhost|\[::1\]|127[\d.]+)\.?(?::\d{1,5})?$/i);
        else expect(JSON.stringify(fault)).not.toContain(SECRET.slice(3, 15));
      }),
      { numRuns: 500 },
    );
  });
});

describe('the address of a Redis', () => {
  const pieces = [
    'redis://',
    'rediss://',
    'redis+sentinel://',
    'redis+cluster://',
    'user',
    ':',
    '@',
    'host',
    ',',
    '/',
    '/0',
    '/mymaster',
    ':6379',
    '[::1]',
    '?',
    '#',
    '%',
    '%40',
    ' ',
  ];

  it('of any text is understood or refused, and shows neither user nor password', () => {
    let understood = 0;
    fc.assert(
      fc.property(
        fc.tuple(
          fc.constantFrom('redis://', 'rediss://', 'redis+sentinel://', 'redis+cluster://', ''),
          mixOf(...pieces),
        ),
        (parts) => {
          const text = parts.join('');
          soundly(() => looksLikeRedisAddress(text));
          const address = soundly(() => parseRedisAddress(text))!;
          if ('fault' in address) {
            expect(address.fault).not.toContain(SECRET.slice(3, 15));
            return;
          }
          understood += 1;
          expect(address.shown).not.toContain('@');
          for (const { host, port } of address.endpoints) {
            expect(host).not.toBe('');
            expect(port > 0 && port < 65_536).toBe(true);
          }
        },
      ),
      runs,
    );
    expect(understood).toBeGreaterThan(0);
  });

  it('keeps a password out of what is shown, whatever is in it', () => {
    fc.assert(
      fc.property(fc.string({ minLength: 8, unit: 'grapheme-ascii' }), (password) => {
        const address = parseRedisAddress(`rediss://user:${encodeURIComponent(password)}@host:1/2`);
        if ('fault' in address) throw new Error(address.fault);
        expect([address.login.password, address.shown]).toEqual([password, 'rediss://host:1/2']);
      }),
      { numRuns: 300 },
    );
  });
});

describe('a virtual key', () => {
  it('is known as one, and nothing else is', () => {
    const provider = fc.constantFrom(...catalogue.keys(), ...POLLUTING, 'acme');
    fc.assert(
      fc.property(
        provider,
        anyText,
        fc.uint8Array({ minLength: 16, maxLength: 32 }),
        fc.nat(),
        (id, application, secret, at) => {
          const key = soundly(() => virtualKeyFor(id, application, secret))!;
          expect(isVirtualKey(key)).toBe(true);
          expect(virtualKeyFor(id, application, secret)).toBe(key);
          const index = at % key.length;
          const character = key[index]!;
          // Capitals and small letters are the same there, and separators are not looked at.
          if (/[a-z0-9]/i.test(character)) {
            const changed = `${key.slice(0, index)}${character.toLowerCase() === 'q' ? 'z' : 'q'}${key.slice(index + 1)}`;
            expect(isVirtualKey(changed)).toBe(false);
          }
          expect(soundly(() => isVirtualKey(application))).toBe(false);
        },
      ),
      { numRuns: 500 },
    );
  });
});

describe('tokens', () => {
  it('of any text are tokens or refused', () => {
    const text = mixOf(
      'kmx_use_',
      'kmx_admin_',
      'kmx_read_',
      'a'.repeat(24),
      'name=',
      '\n',
      ',',
      ' ',
      '#',
      ...POLLUTING,
    );
    fc.assert(
      fc.property(text, (given) => {
        for (const token of soundly(() => readTokens(given, 'the file')) ?? []) {
          expect(ROLES).toContain(token.role);
          expect(token.secret.reveal()).toMatch(/^kmx_(use|read|admin)_[\w-]{24,}$/);
          expect(token.name).not.toBe('');
        }
      }),
      runs,
    );
    for (const role of ROLES) expect(readTokens(makeToken(role).secret.reveal(), 'x')[0]?.role).toBe(role);
  });
});

describe('the target of a request to the gateway', () => {
  it('of any text is within what it names, unknown, or odd', () => {
    const manager = acmeManager();
    const path = mixOf(
      '/',
      'acme',
      'data',
      '-',
      'api',
      '..',
      '.',
      '%2e',
      '%2F',
      '%5c',
      '%',
      '%00',
      '?',
      '#',
      '\\',
      '//',
      ';',
      '@',
      ' ',
      ...POLLUTING,
    );
    let forwarded = 0;
    fc.assert(
      fc.property(
        fc.oneof(
          path,
          path.map((rest) => `/acme/${rest}`),
          anyText,
        ),
        (url) => {
          const target = soundly(() => targetOf(manager, url))!;
          if (target.kind === 'odd') expect(target.why).not.toContain(SECRET.slice(3, 15));
          if (target.kind !== 'forward') return;
          forwarded += 1;
          // What others make of it stays below the name.
          const seen = new URL(`http://a${target.path}`);
          expect(seen.origin).toBe('http://a');
          expect(new URL(`http://a/base${target.path}`).pathname.startsWith('/base')).toBe(true);
          expect(target.path.startsWith('/')).toBe(true);
        },
      ),
      runs,
    );
    expect(forwarded).toBeGreaterThan(0);
  });
});
