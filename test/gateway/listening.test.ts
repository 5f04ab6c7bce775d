import { KeymuxError } from '#keymux/core/errors.js';
import { addressOf, listeningError, refuseOpenListening } from '#keymux/gateway/listening.js';
import { describe, expect, it } from 'vitest';

describe('the address of a gateway', () => {
  it.each([
    ['127.0.0.1', false, 'http://127.0.0.1:4800'],
    ['0.0.0.0', true, 'https://127.0.0.1:4800'],
    ['::', true, 'https://[::1]:4800'],
    ['::1', false, 'http://[::1]:4800'],
    ['gateway.internal', true, 'https://gateway.internal:4800'],
  ])('on %s, TLS %s, is one that programs on its machine can use', (host, hasTls, origin) => {
    expect(addressOf(host, 4_800, hasTls)).toEqual({ origin, host, port: 4_800 });
  });

  it.each([
    ['0.0.0.0', false, false, true],
    ['192.0.2.7', false, false, true],
    ['192.0.2.7', true, false, false],
    ['0.0.0.0', false, true, false],
    ['::1', false, false, false],
  ])('%s, TLS %s, told to %s: refused %s', (host, hasTls, isInsecureWanted, isRefused) => {
    const listen = () => refuseOpenListening(host, hasTls, isInsecureWanted);
    if (isRefused) expect(listen).toThrow(expect.objectContaining({ code: 'KEYMUX_USAGE' }));
    else expect(listen).not.toThrow();
  });
});

describe('a gateway that cannot listen', () => {
  const coded = (code: string) => Object.assign(new Error('listen'), { code });

  it.each([
    [coded('EADDRINUSE'), 'Another program listens on port 80 of 127.0.0.1.', 'another port with `--port`'],
    [coded('EACCES'), 'This user may not listen on port 80 of 127.0.0.1.', 'a port above 1023'],
    [
      coded('EADDRNOTAVAIL'),
      'cannot listen on port 80 of 127.0.0.1 (EADDRNOTAVAIL).',
      'an address of this machine',
    ],
    [new Error('odd'), 'cannot listen on port 80 of 127.0.0.1 (UNKNOWN).', 'an address of this machine'],
    ['odd', 'cannot listen on port 80 of 127.0.0.1 (UNKNOWN).', 'an address of this machine'],
  ])('says why, and what to do (%#)', (cause, message, fix) => {
    const error = listeningError('127.0.0.1', 80, cause);
    expect(error).toBeInstanceOf(KeymuxError);
    expect(error).toMatchObject({ code: 'KEYMUX_USAGE', cause });
    expect(error.message).toContain(message);
    expect(error.fix).toContain(fix);
  });
});
