import type * as terminal from '#keymux/cli/terminal.js';
import { hideSecrets, note, printError, typed, usesColour, warn } from '#keymux/cli/terminal.js';
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

describe('hideSecrets', () => {
  afterEach(() => {
    hideSecrets(() => []);
    vi.restoreAllMocks();
    vi.unstubAllEnvs();
  });

  it('takes keys out of all chatter, also those that were added later', () => {
    vi.stubEnv('KEYMUX_DEBUG', '1');
    const write = vi.spyOn(process.stderr, 'write').mockReturnValue(true);
    const secrets = [{ text: 'canary/one+1', label: 'acme/main' }];
    hideSecrets(() => secrets);
    secrets.push({ text: 'canary/two+2', label: 'acme/2' });
    note('asking http://127.0.0.1/?key=canary/one+1');
    warn('It said canary%2Ftwo%2B2.', 'Replace canary/two+2.');
    printError(new Error('Failed to parse URL from http://127.0.0.1/?key=canary%2Fone%2B1'));
    const said = write.mock.calls.map(([each]) => each).join('');
    write.mockRestore();
    expect(said).not.toMatch(/canary/);
    expect(said).toContain('asking http://127.0.0.1/?key=[keymux:acme/main]\n');
    expect(said).toContain('[keymux:acme/2]');
    expect(said).toContain('    at ');
  });

  it('takes out what another copy of the module was told of, as where a command is a module of its own', async () => {
    const copy = (await import(`${import.meta.resolve('#keymux/cli/terminal.js')}?copy`)) as typeof terminal;
    expect(copy.hideSecrets).not.toBe(hideSecrets);
    copy.hideSecrets(() => [{ text: 'canary-three', label: 'acme/3' }]);
    const write = vi.spyOn(process.stderr, 'write').mockReturnValue(true);
    printError(new Error('refused canary-three'));
    copy.hideSecrets(() => []);
    expect(write.mock.calls[0]?.[0]).toContain('refused [keymux:acme/3]\n');
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
