import { EXIT, exitCodeOf } from '#keymux/cli/exit-codes.js';
import { ERROR_CODES, KeymuxError } from '#keymux/core/errors.js';
import { describe, expect, it } from 'vitest';

const errorOf = (code: (typeof ERROR_CODES)[number], cause?: unknown) =>
  new KeymuxError(code, 'message', { fix: 'fix', cause });

describe('exitCodeOf', () => {
  it('gives every error a code that is not success', () => {
    for (const code of ERROR_CODES) expect(exitCodeOf(errorOf(code))).toBeGreaterThan(0);
  });

  it.each([
    ['KEYMUX_USAGE', 2],
    ['KEYMUX_UNKNOWN_SERVICE', 2],
    ['KEYMUX_UNKNOWN_KEY', 2],
    ['KEYMUX_CONFIG_INVALID', 3],
    ['KEYMUX_CONFIG_UNREADABLE', 3],
    ['KEYMUX_NO_USABLE_KEY', 6],
    ['KEYMUX_ORIGIN_REFUSED', 7],
    ['KEYMUX_STORE_UNAVAILABLE', 1],
  ] as const)('maps %s to %i', (code, exit) => {
    expect(exitCodeOf(errorOf(code))).toBe(exit);
  });

  it('looks through a failed start at what made it fail', () => {
    const error = errorOf(
      'KEYMUX_INIT_FAILED',
      errorOf('KEYMUX_INIT_FAILED', errorOf('KEYMUX_CONFIG_INVALID')),
    );
    expect(exitCodeOf(error)).toBe(EXIT.configuration);
    expect(exitCodeOf(errorOf('KEYMUX_INIT_FAILED', new Error('other')))).toBe(EXIT.failure);
    expect(exitCodeOf(errorOf('KEYMUX_INIT_FAILED'))).toBe(EXIT.failure);
  });

  it('takes anything else for a failure', () => {
    expect(exitCodeOf(new Error('other'))).toBe(1);
    expect(exitCodeOf('text')).toBe(1);
  });
});
