import { findKey } from '#keymux/cli/key-name.js';
import { describe, expect, it } from 'vitest';

const IDS = ['acme/main', 'acme/spare', 'openai/main'];

describe('findKey', () => {
  it('takes the whole name, or an id that only one key has', () => {
    expect(findKey('openai/main', IDS)).toBe('openai/main');
    expect(findKey('spare', IDS)).toBe('acme/spare');
  });

  it('asks which one where several are called so', () => {
    expect(() => findKey('main', IDS)).toThrow(
      expect.objectContaining({ code: 'KEYMUX_USAGE', fix: 'Name one of them: acme/main, openai/main.' }),
    );
  });

  it.each([
    ['acme/mian', 'acme/main'],
    ['spar', 'acme/spare'],
  ])('names what %s was meant to be', (wanted, nearest) => {
    expect(() => findKey(wanted, IDS)).toThrow(
      expect.objectContaining({
        code: 'KEYMUX_UNKNOWN_KEY',
        fix: expect.stringContaining(`Did you mean "${nearest}"?`) as string,
      }),
    );
  });

  it('lists what there is where nothing is near', () => {
    expect(() => findKey('whatever', IDS)).toThrow(
      expect.objectContaining({ fix: `Known: ${IDS.join(', ')}.` }),
    );
    expect(() => findKey('whatever', [])).toThrow(
      expect.objectContaining({ fix: 'No key was found at all.' }),
    );
  });

  it('does not repeat what may be a key', () => {
    const pasted = 'sk-proj-8f3kd02kLx93kd0';
    expect(() => findKey(pasted, IDS)).toThrow(
      expect.objectContaining({ message: expect.not.stringContaining(pasted) as string }),
    );
  });
});
