import { spawnSync } from 'node:child_process';
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, describe, expect, it } from 'vitest';
import { catalogue } from '#keymux/providers/catalogue.js';

const root = fileURLToPath(new URL('../..', import.meta.url));
// A copy with the same layout, so that the repository's own page is never written by a test.
const copy = mkdtempSync(join(tmpdir(), 'keymux-doc-'));
mkdirSync(join(copy, 'docs'));
cpSync(join(root, 'scripts/providers-doc.mjs'), join(copy, 'scripts/providers-doc.mjs'));
cpSync(join(root, 'dist/providers'), join(copy, 'dist/providers'), { recursive: true });
cpSync(join(root, 'package.json'), join(copy, 'package.json'));
const page = join(copy, 'docs/providers.md');

const run = (...args: string[]) =>
  spawnSync(process.execPath, [join(copy, 'scripts/providers-doc.mjs'), ...args], { encoding: 'utf8' });

afterAll(() => {
  rmSync(copy, { recursive: true, force: true });
});

describe('scripts/providers-doc.mjs', () => {
  it('writes a page that --check accepts until it is touched', () => {
    rmSync(page, { force: true });
    expect(run('--check')).toMatchObject({ status: 1 });
    expect(run()).toMatchObject({ status: 0, stderr: '' });
    expect(run('--check')).toMatchObject({ status: 0 });
    writeFileSync(page, `${readFileSync(page, 'utf8')}\n`);
    expect(run('--check')).toMatchObject({ status: 1 });
    expect(run('--check').stderr).toContain('node scripts/providers-doc.mjs');
  });

  it('shows every provider with its variables and origins', () => {
    run();
    const text = readFileSync(page, 'utf8');
    for (const { name, env, origins } of catalogue.values()) {
      for (const part of [`## ${name}`, ...env, ...origins]) expect(text).toContain(part);
    }
  });

  it('agrees with the page in the repository', () => {
    run();
    expect(readFileSync(join(root, 'docs/providers.md'), 'utf8')).toBe(readFileSync(page, 'utf8'));
  });
});
