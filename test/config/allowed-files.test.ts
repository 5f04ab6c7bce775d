import { createHash } from 'node:crypto';
import { chmodSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { AllowedFiles } from '#keymux/config/allowed-files.js';
import { describe, expect, it, onTestFinished } from 'vitest';

const DIGEST = 'a'.repeat(64);

function stateFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'keymux-allowed-'));
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

/** Where the record of a path is kept. */
function recordOf(folder: string, path: string): string {
  return join(folder, 'allowed', `${createHash('sha256').update(path).digest('hex')}.json`);
}

describe('allowed files', () => {
  it('are none where nothing was ever allowed', () => {
    const allowed = new AllowedFiles(stateFolder());
    expect(allowed.list()).toEqual([]);
    expect(allowed.has('/a/b.yaml', DIGEST)).toBe(false);
    expect(allowed.revoke('/a/b.yaml')).toBe(false);
  });

  it('are listed by path, and are allowed with one content until that is taken back', () => {
    const allowed = new AllowedFiles(stateFolder());
    for (const path of ['/none/b.yaml', '/none/a.yaml', '/none/c.yaml']) allowed.allow(path, DIGEST, 5);
    expect(allowed.list().map(({ path }) => path)).toEqual(['/none/a.yaml', '/none/b.yaml', '/none/c.yaml']);
    expect(allowed.has('/none/a.yaml', DIGEST)).toBe(true);
    expect(allowed.has('/none/a.yaml', 'b'.repeat(64))).toBe(false);
    expect(allowed.revoke('/none/a.yaml')).toBe(true);
    expect(allowed.has('/none/a.yaml', DIGEST)).toBe(false);
  });

  it('are the same by every way that leads to their folder', () => {
    const folder = stateFolder();
    const allowed = new AllowedFiles(join(folder, 'state'));
    mkdirSync(join(folder, 'project'));
    symlinkSync(join(folder, 'project'), join(folder, 'link'));
    allowed.allow(join(folder, 'link', 'a.yaml'), DIGEST, 5);
    expect(allowed.has(join(folder, 'project', 'a.yaml'), DIGEST)).toBe(true);
  });

  it.each([
    ['no JSON', '{'],
    ['null', 'null'],
    ['a text', '"/none/a.yaml"'],
    ['a record without a digest', JSON.stringify({ path: '/none/a.yaml', allowedAt: 5 })],
    ['a record without a path', JSON.stringify({ digest: DIGEST, allowedAt: 5 })],
    ['a record whose time is none', JSON.stringify({ path: '/none/a.yaml', digest: DIGEST, allowedAt: '5' })],
    ['the record of another file', JSON.stringify({ path: '/none/b.yaml', digest: DIGEST, allowedAt: 5 })],
    [
      'more than a record',
      JSON.stringify({ path: '/none/a.yaml', digest: DIGEST, allowedAt: 5, x: 'x'.repeat(20_000) }),
    ],
  ])('are not allowed by %s', (_what, text) => {
    const folder = stateFolder();
    const allowed = new AllowedFiles(folder);
    allowed.allow('/none/a.yaml', DIGEST, 5);
    writeFileSync(recordOf(folder, '/none/a.yaml'), text);
    expect(allowed.has('/none/a.yaml', DIGEST)).toBe(false);
    expect(allowed.list()).toEqual([]);
  });

  it('are not allowed by a folder, nor by what others may write', () => {
    const folder = stateFolder();
    const allowed = new AllowedFiles(folder);
    allowed.allow('/none/a.yaml', DIGEST, 5);
    chmodSync(recordOf(folder, '/none/a.yaml'), 0o620);
    mkdirSync(recordOf(folder, '/none/b.yaml'));
    expect(allowed.list()).toEqual([]);
    expect(allowed.has('/none/a.yaml', DIGEST)).toBe(false);
    chmodSync(recordOf(folder, '/none/a.yaml'), 0o600);
    expect(allowed.has('/none/a.yaml', DIGEST)).toBe(true);
  });

  it('are not recorded where the state directory cannot be written, which is told', () => {
    const folder = stateFolder();
    writeFileSync(join(folder, 'file'), '');
    const allowed = new AllowedFiles(join(folder, 'file'));
    expect(() => allowed.allow('/none/a.yaml', DIGEST, 5)).toThrow(
      expect.objectContaining({
        code: 'KEYMUX_USAGE',
        message: expect.stringContaining('cannot be written') as string,
        fix: expect.stringContaining('KEYMUX_STATE_DIR') as string,
      }),
    );
  });
});
