import { once } from 'node:events';
import net from 'node:net';
import { describe, expect, it, onTestFinished } from 'vitest';
import { codeOf, isBeforeConnection, isNetworkFailure } from '#keymux/interceptors/network-failure.js';

function coded(code: string, members: object = {}): Error {
  return Object.assign(new Error(code), { code, ...members });
}

describe('isNetworkFailure', () => {
  it.each([
    ...[
      'ECONNREFUSED',
      'ECONNRESET',
      'EPIPE',
      'ETIMEDOUT',
      'ENOTFOUND',
      'EAI_AGAIN',
      'EHOSTUNREACH',
      'EPROTO',
    ],
    ...['UND_ERR_SOCKET', 'UND_ERR_CONNECT_TIMEOUT', 'UND_ERR_HEADERS_TIMEOUT', 'HPE_INVALID_CONSTANT'],
    ...['ERR_SSL_WRONG_VERSION_NUMBER', 'ERR_TLS_CERT_ALTNAME_INVALID', 'CERT_HAS_EXPIRED'],
    ...['DEPTH_ZERO_SELF_SIGNED_CERT', 'UNABLE_TO_VERIFY_LEAF_SIGNATURE', 'ERR_HTTP2_STREAM_ERROR'],
  ])('is true for %s', (code) => expect(isNetworkFailure(coded(code))).toBe(true));

  it.each([
    'UND_ERR_RES_EXCEEDED_MAX_SIZE',
    'UND_ERR_INVALID_ARG',
    'UND_ERR_ABORTED',
    'UND_ERR_CLOSED',
    'ABORT_ERR',
    'ERR_INVALID_ARG_TYPE',
  ])('is false for %s, which is the caller’s own affair', (code) =>
    expect(isNetworkFailure(coded(code))).toBe(false),
  );

  it('is true for an answer that is no HTTP, though undici gives its error no code', async () => {
    const server = net.createServer((socket) => socket.on('error', () => {}).end('no HTTP at all\r\n\r\n'));
    onTestFinished(() => void server.close());
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    const { port } = server.address() as net.AddressInfo;
    const failure: unknown = await fetch(`http://127.0.0.1:${port}`).catch(
      ({ cause }: Error): unknown => cause,
    );
    expect(failure).toMatchObject({ name: 'HTTPParserError' });
    expect(isNetworkFailure(failure)).toBe(true);
    expect(codeOf(failure)).toMatch(/^HPE_INVALID/);
  });

  it('is false for what is no error with a code', () => {
    for (const value of [new Error('plain'), undefined, null, 'ECONNRESET', { code: 7 }]) {
      expect(codeOf(value)).toBeUndefined();
      expect(isNetworkFailure(value)).toBe(false);
    }
  });
});

describe('isBeforeConnection', () => {
  it('is proved by a failed connect or lookup', () => {
    expect(isBeforeConnection(coded('ECONNREFUSED', { syscall: 'connect' }))).toBe(true);
    expect(isBeforeConnection(coded('ENOTFOUND', { syscall: 'getaddrinfo' }))).toBe(true);
  });

  it('is proved by several only if all of them failed so', () => {
    const connect = coded('ECONNREFUSED', { syscall: 'connect' });
    expect(isBeforeConnection(new AggregateError([connect, connect]))).toBe(true);
    expect(isBeforeConnection(new AggregateError([connect, coded('ECONNRESET', { syscall: 'read' })]))).toBe(
      false,
    );
    expect(isBeforeConnection(new AggregateError([]))).toBe(false);
  });

  it('is not proved by anything else', () => {
    for (const value of [coded('ECONNRESET', { syscall: 'read' }), coded('ETIMEDOUT'), null, 'connect']) {
      expect(isBeforeConnection(value)).toBe(false);
    }
  });
});
