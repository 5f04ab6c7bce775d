import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it, onTestFinished } from 'vitest';
import { isWritable, writeValue } from '#keymux/cli/key-value.js';

function folderOfTest(): string {
  const folder = mkdtempSync(join(tmpdir(), 'keymux-value-'));
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

it('writes to files and vaults only', () => {
  expect(['file:a', 'vault:a', 'env:A', 'exec:a'].map(isWritable)).toEqual([true, true, false, false]);
});

it('replaces the file that a link leads to, and takes it from others', async () => {
  const folder = folderOfTest();
  writeFileSync(join(folder, 'real.key'), 'old', { mode: 0o644 });
  symlinkSync('real.key', join(folder, 'link.key'));
  await writeValue('file:link.key', 'new', folder);
  expect(readFileSync(join(folder, 'real.key'), 'utf8')).toBe('new\n');
  expect(statSync(join(folder, 'real.key')).mode & 0o777).toBe(0o600);
  expect(readdirSync(folder).sort()).toEqual(['link.key', 'real.key']);
});

it('changes nothing where it cannot write', async () => {
  const folder = folderOfTest();
  const error = { code: 'KEYMUX_USAGE' };
  await expect(writeValue('file:none.key', 'new', folder)).rejects.toMatchObject(error);
  expect(existsSync(join(folder, 'none.key'))).toBe(false);
  mkdirSync(join(folder, 'folder.key'));
  await expect(writeValue('file:folder.key', 'new', folder)).rejects.toMatchObject(error);
  expect(readdirSync(folder)).toEqual(['folder.key']);
});
