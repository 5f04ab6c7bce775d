import type { ConnectionFacts } from '#keymux/interceptors/connection-trust.js';
import { judgeConnection } from '#keymux/interceptors/connection-trust.js';
import { afterEach, describe, expect, it, vi } from 'vitest';

const HTTPS = 'https://api.acme.example';
const HTTP = 'http://127.0.0.1:9';

afterEach(() => vi.unstubAllEnvs());

describe('a connection', () => {
  it.each<[string, ConnectionFacts, RegExp]>([
    ['an agent of another make', { isUnknownAgent: true }, /agent/],
    ['a proxy without a tunnel', { isPlainProxy: true }, /proxy/],
    ['a socket path', { hasSocketPath: true }, /socketPath/],
    ['a connection function', { hasOwnConnector: true }, /function of the application/],
    ['a lookup', { hasLookup: true }, /lookup/],
  ])('is not trusted with %s, over https or http', (_what, facts, reason) => {
    expect(judgeConnection(HTTPS, facts, true)).toMatch(reason);
    expect(judgeConnection(HTTP, facts, true)).toMatch(reason);
  });

  it.each<[string, ConnectionFacts, RegExp]>([
    ['no check of the certificate', { rejectUnauthorized: false }, /certificates is switched off/],
    ['what only looks like a check', { rejectUnauthorized: 0 }, /certificates is switched off/],
    ['a check of its own', { hasIdentityCheck: true }, /checkServerIdentity/],
    ['the name of another host', { servername: 'evil.example' }, /servername/],
  ])('is not trusted over https with %s', (_what, facts, reason) => {
    expect(judgeConnection(HTTPS, facts, true)).toMatch(reason);
    expect(judgeConnection(HTTP, facts, true)).toBeUndefined();
  });

  it.each<[string, string, ConnectionFacts]>([
    ['in the usual way', HTTPS, {}],
    ['with the name of its own host', HTTPS, { servername: 'API.acme.example' }],
    ['to an address, for which there is no name', 'https://127.0.0.1:8443', { servername: '' }],
    ['to an IPv6 address', 'https://[::1]:8443', { servername: '::1' }],
    ['with the check said out loud', HTTPS, { rejectUnauthorized: true }],
  ])('is trusted %s', (_what, origin, facts) => {
    expect(judgeConnection(origin, facts, true)).toBeUndefined();
  });

  it('is not trusted where the environment switches the check off, unless it is switched on for it', () => {
    vi.stubEnv('NODE_TLS_REJECT_UNAUTHORIZED', '0');
    expect(judgeConnection(HTTPS, {})).toMatch(/switched off/);
    expect(judgeConnection(HTTPS, { rejectUnauthorized: true })).toBeUndefined();
    expect(judgeConnection(HTTP, {})).toBeUndefined();
    vi.stubEnv('NODE_TLS_REJECT_UNAUTHORIZED', '1');
    expect(judgeConnection(HTTPS, {})).toBeUndefined();
  });
});
