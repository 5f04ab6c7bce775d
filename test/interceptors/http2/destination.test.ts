import { destinationOf, namedOrigin } from '#keymux/interceptors/http2-destination.js';
import { describe, expect, it } from 'vitest';

describe('the destination of a session', () => {
  it.each([
    ['a text', ['https://acme.example'], 'https://acme.example'],
    ['a text with the usual port', ['http://acme.example:80/path'], 'http://acme.example'],
    ['a text with a port', ['http://acme.example:8080'], 'http://acme.example:8080'],
    ['a URL', [new URL('https://acme.example:8443/path')], 'https://acme.example:8443'],
    ['an address of IPv6', ['https://[::1]:8443'], 'https://[::1]:8443'],
    ['its parts', [{ protocol: 'http:', hostname: 'acme.example', port: 81 }], 'http://acme.example:81'],
    ['its parts without brackets', [{ hostname: '::1', port: 8443 }], 'https://[::1]:8443'],
    ['a host', [{ host: 'acme.example', port: '' }], 'https://acme.example'],
    ['a host and a protocol', [{ protocol: 'http:', host: 'acme.example', port: '' }], 'http://acme.example'],
    ['nothing but a port', [{ port: 8443 }], 'https://localhost:8443'],
    [
      'a protocol among the options',
      [{ host: 'acme.example', port: 80 }, { protocol: 'http:' }],
      'http://acme.example',
    ],
    [
      'host and port among the options, which win',
      ['https://acme.example', { host: 'other.example', port: 444 }],
      'https://other.example:444',
    ],
    ['a listener in place of options', ['https://acme.example', () => {}], 'https://acme.example'],
  ])('is read from %s', (_what, args, origin) => {
    expect(destinationOf(args).origin).toBe(origin);
  });

  it.each([
    ['no port', [{ hostname: 'acme.example' }]],
    ['a port within the host', [{ host: 'acme.example:80', port: '' }]],
    ['a host that is no text', [{ hostname: 7, port: 80 }]],
    ['a protocol that is no text', [{ hostname: 'acme.example', port: 80 }, { protocol: 7 }]],
    ['a path', ['https://acme.example', { path: '/run/socket' }]],
    ['a path by its other name', ['https://acme.example', { socketPath: '/run/socket' }]],
  ])('is unknown with %s', (_what, args) => {
    expect(destinationOf(args).origin).toBeUndefined();
  });

  it('is named by `servername`, whatever it connects to', () => {
    const { origin, namedOrigin } = destinationOf([
      'https://acme.example',
      { servername: 'named.example', host: 'other.example' },
    ]);
    expect({ origin, namedOrigin }).toEqual({
      origin: 'https://other.example',
      namedOrigin: 'https://named.example',
    });
  });

  it.each([
    [{}, {}],
    [{ path: '/run/socket' }, { hasSocketPath: true }],
    [{ createConnection: () => {} }, { hasOwnConnector: true }],
    [{ socket: {} }, { hasOwnConnector: true }],
    [{ lookup: () => {} }, { hasLookup: true }],
    [{ rejectUnauthorized: false }, { rejectUnauthorized: false }],
    [{ checkServerIdentity: () => {} }, { hasIdentityCheck: true }],
    [{ servername: 'named.example' }, { servername: 'named.example' }],
  ])('comes with what may lead elsewhere: %j', (options, facts) => {
    expect(destinationOf(['https://acme.example', options]).facts).toEqual({
      hasSocketPath: false,
      hasOwnConnector: false,
      hasLookup: false,
      hasIdentityCheck: false,
      ...facts,
    });
  });
});

describe('the origin that a request names', () => {
  it.each([
    ['acme.example', 'http:', 'http://acme.example'],
    ['ACME.example:443', 'https:', 'https://acme.example'],
    ['acme.example:0x', 'https:', undefined],
    ['', 'https:', undefined],
  ])('is read from %j', (authority, protocol, origin) => {
    expect(namedOrigin(authority, protocol)).toBe(origin);
  });
});
