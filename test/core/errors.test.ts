import { inspect } from 'node:util';
import { describe, expect, it } from 'vitest';
import { ERROR_CODES, KeymuxError } from '#keymux/core/errors.js';

const fix = 'Wait, or add a key.';

describe('ERROR_CODES', () => {
  it('are unique, sorted and of one shape', () => {
    expect([...ERROR_CODES]).toEqual([...new Set(ERROR_CODES)].sort());
    for (const code of ERROR_CODES) expect(code).toMatch(/^KEYMUX_[A-Z]+(_[A-Z]+)*$/);
  });
});

describe('KeymuxError', () => {
  it('tells what happened, its code, and what to do next', () => {
    const error = new KeymuxError('KEYMUX_NO_USABLE_KEY', 'Every key of acme is out.', { fix });
    expect(error).toBeInstanceOf(Error);
    expect(error).toMatchObject({
      name: 'KeymuxError',
      code: 'KEYMUX_NO_USABLE_KEY',
      message: 'Every key of acme is out.',
      fix,
    });
    expect(error.stack).toContain('errors.test');
  });

  it('has a cause and a time to retry only where they were given', () => {
    const bare = new KeymuxError('KEYMUX_TIMEOUT', 'Too late.', { fix });
    expect(Object.keys(bare)).not.toContain('retryAt');
    expect('cause' in bare).toBe(false);
    expect(inspect(bare)).not.toContain('undefined');

    const cause = new Error('reset');
    const full = new KeymuxError('KEYMUX_TIMEOUT', 'Too late.', { fix, cause, retryAt: 0 });
    expect(full.cause).toBe(cause);
    expect(full.retryAt).toBe(0);
    expect(inspect(full)).toContain(fix);
  });

  it('is recognised when another copy of the package made it', () => {
    const foreign = Object.assign(new Error('from elsewhere'), { [Symbol.for('keymux.error')]: true });
    expect(foreign).toBeInstanceOf(KeymuxError);
  });

  it.each([new Error('x'), { code: 'KEYMUX_TIMEOUT' }, null, undefined, 'KEYMUX_TIMEOUT', 7, () => {}])(
    'is not mistaken for something else (%o)',
    (value) => {
      expect(value instanceof KeymuxError).toBe(false);
    },
  );
});
