import { printError, typed, usesColour } from '#keymux/cli/terminal.js';
import { KeymuxError } from '#keymux/core/errors.js';
import { afterEach, describe, expect, it, vi } from 'vitest';

describe('printError', () => {
  afterEach(() => {
    vi.restoreAllMocks();
    vi.unstubAllEnvs();
  });

  function printed(error: unknown): string {
    vi.stubEnv('NO_COLOR', '1');
    const write = vi.spyOn(process.stderr, 'write').mockReturnValue(true);
    printError(error);
    const text = write.mock.calls.map(([each]) => each).join('');
    write.mockRestore();
    return text;
  }

  it('tells what failed a start, and its fix and code', () => {
    const cause = new KeymuxError('KEYMUX_CONFIG_INVALID', 'Two problems.', { fix: 'Correct them.' });
    const error = new KeymuxError('KEYMUX_INIT_FAILED', 'It could not start.', { fix: '', cause });
    expect(printed(error)).toBe('keymux: Two problems.\nfix: Correct them. (KEYMUX_CONFIG_INVALID)\n');
  });

  it('asks for a report of what nobody foresaw', () => {
    expect(printed(new TypeError('x is not a function'))).toMatch(
      /^keymux: x is not a function\nfix: .*KEYMUX_DEBUG=1/,
    );
    expect(printed('a text')).toMatch(/^keymux: a text\n/);
  });

  it('adds the stack only where it is asked for', () => {
    expect(printed(new Error('failed'))).not.toContain('    at ');
    vi.stubEnv('KEYMUX_DEBUG', '1');
    expect(printed(new Error('failed'))).toContain('    at ');
    expect(printed('a text')).not.toContain('    at ');
  });
});

describe('usesColour', () => {
  const terminal = { isTTY: true };
  it.each([
    [{}, {}, false],
    [terminal, {}, true],
    [terminal, { TERM: 'dumb' }, false],
    [terminal, { NO_COLOR: '1' }, false],
    [terminal, { NO_COLOR: '' }, true],
    [{}, { FORCE_COLOR: '1' }, true],
    [terminal, { FORCE_COLOR: '0' }, false],
    [terminal, { FORCE_COLOR: 'false' }, false],
    [{}, { FORCE_COLOR: '1', NO_COLOR: '1' }, false],
    [{}, { CI: 'true' }, false],
  ])('decides for %j and %j: %s', (target, env, expected) => {
    expect(usesColour(target, env)).toBe(expected);
  });
});

describe('typed', () => {
  it('repeats what reads like a name, and nothing that may be a key', () => {
    expect(typed('acme/main')).toBe('"acme/main"');
    expect(typed('--watch')).toBe('"--watch"');
    expect(typed('sk-proj-8f3kd02kLx93kd0')).not.toContain('8f3kd');
  });
});
