import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { IGNORE_FILE, readIgnored } from '#keymux/cli/scan-ignore.js';
import type { Ignored } from '#keymux/cli/scan-ignore.js';
import { describe, expect, it, onTestFinished } from 'vitest';

function folder(): string {
  const made = mkdtempSync(join(tmpdir(), 'keymux-ignore-'));
  onTestFinished(() => rmSync(made, { recursive: true, force: true }));
  return made;
}

function ignoring(...lines: readonly string[]): Ignored {
  const place = folder();
  writeFileSync(join(place, IGNORE_FILE), lines.join('\n'));
  return readIgnored(place);
}

describe('what is ignored', () => {
  it.each([
    ['notes.txt', 'notes.txt', true],
    ['notes.txt', 'a/b/notes.txt', true],
    ['notes.txt', 'notes.txt/inside', true],
    ['notes.txt', 'my-notes.txt', false],
    ['notes.txt', 'notesXtxt', false],
    ['/notes.txt', 'notes.txt', true],
    ['/notes.txt', 'a/notes.txt', false],
    ['a/b/', 'a/b/c', true],
    ['a/b', 'x/a/b', false],
    ['*.log', 'a/b.log', true],
    ['a/*.log', 'a/b/c.log', false],
    ['a/**/c.log', 'a/b/b/c.log', true],
    ['a/**/c.log', 'a/c.log', true],
    ['a/**', 'a/b/c', true],
    ['what?(1)+[x].txt', 'what?(1)+[x].txt', true],
    ['what?(1)+[x].txt', 'wha(1)x.txt', false],
  ])('%s, for the path %s: %s', (line, path, expected) => {
    expect(ignoring(line).file(path)).toBe(expected);
  });

  it('is nothing that stands in a remark or an empty line', () => {
    const ignored = ignoring('# notes.txt', '', '   ', '  other.txt  ');
    expect([ignored.file('notes.txt'), ignored.file(''), ignored.file('other.txt')]).toEqual([
      false,
      false,
      true,
    ]);
  });

  it('is a fingerprint, which is no path', () => {
    const ignored = ignoring('0123456789ab');
    expect([ignored.fingerprint('0123456789ab'), ignored.fingerprint('ba9876543210')]).toEqual([true, false]);
    expect(ignored.file('0123456789ab')).toBe(false);
  });

  it('is nothing where there is no such file', () => {
    const place = folder();
    expect(readIgnored(place).file('a')).toBe(false);
    writeFileSync(join(place, 'file'), '');
    expect(readIgnored(join(place, 'file')).fingerprint('0123456789ab')).toBe(false);
  });

  it('is not guessed where the file cannot be read', () => {
    const place = folder();
    mkdirSync(join(place, IGNORE_FILE));
    expect(() => readIgnored(place)).toThrow(
      expect.objectContaining({
        code: 'KEYMUX_CONFIG_UNREADABLE',
        message: expect.stringContaining('cannot be read (EISDIR)') as string,
      }),
    );
  });
});
