import { typed, usesColour } from '#keymux/cli/terminal.js';
import { describe, expect, it } from 'vitest';

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
