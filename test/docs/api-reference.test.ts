import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, describe, expect, it } from 'vitest';

const root = fileURLToPath(new URL('../..', import.meta.url));
const script = join(root, 'scripts/api-reference.mjs');
const run = (at: string, ...args: string[]) =>
  spawnSync(process.execPath, [script, ...args], {
    encoding: 'utf8',
    env: { ...process.env, KEYMUX_REFERENCE_ROOT: at },
  });

const small = mkdtempSync(join(tmpdir(), 'keymux-reference-'));
afterAll(() => {
  rmSync(small, { recursive: true, force: true });
});

/** A package with one entry. */
function writePackage(types: string): void {
  for (const folder of ['src', 'dist', 'docs']) mkdirSync(join(small, folder), { recursive: true });
  writeFileSync(
    join(small, 'package.json'),
    '{"exports":{".":{"types":"./dist/index.d.ts"}},"type":"module"}',
  );
  writeFileSync(join(small, 'docs/troubleshooting.md'), '## KEYMUX_TIMEOUT\n');
  writeFileSync(join(small, 'src/index.ts'), '/** What it is for. */\n');
  writeFileSync(join(small, 'dist/index.d.ts'), types);
}

const DOCUMENTED = `
import type { Hidden, Unsaid } from './hidden.js';
/** Waits. Throws \`KEYMUX_TIMEOUT\`. */
export declare function wait(options: Hidden): void;
/** One thing. */
export declare class Thing {
    #private;
    /** Does it. */
    go(): void;
    /** @internal */
    inner(how: Unsaid): void;
}
`;

describe('scripts/api-reference.mjs', () => {
  it('finds the pages of this package complete and up to date', () => {
    const { status, stderr } = run(root, '--check');
    expect(stderr).toBe('');
    expect(status).toBe(0);
  });

  it('writes what is exported, links its errors, shows the types that it names, and refuses what has no docstring', () => {
    writePackage(
      `${DOCUMENTED}\nexport declare const bare: 1;\nexport declare class Other {\n    go(): void;\n}\n`,
    );
    writeFileSync(
      join(small, 'dist/hidden.d.ts'),
      '/** Not exported. */\nexport interface Hidden { a: 1 }\nexport interface Unsaid { b: 2 }\n',
    );
    const { status, stderr } = run(small);
    expect(status).toBe(1);
    expect(stderr.split('\n')).toEqual([
      'keymux: bare has no docstring',
      'keymux: Other has no docstring',
      'keymux: Other.go has no docstring',
      '',
    ]);
    const page = readFileSync(join(small, 'docs/reference/keymux.md'), 'utf8');
    for (const part of [
      'What it is for.',
      '| [`wait`](#wait) | function | Waits. |',
      'function wait(options: Hidden): void;',
      'Errors: [`KEYMUX_TIMEOUT`](../troubleshooting.md#keymux_timeout).',
      'Names: [Hidden](#hidden).',
      '### Hidden\n\nNot exported.',
      '    /** Does it. */\n    go(): void;',
    ])
      expect(page).toContain(part);
    expect(page).not.toMatch(/inner|Unsaid|#private/);
  });

  it('calls pages stale that are not as they would be written, or that nothing writes any more', () => {
    writePackage(DOCUMENTED.replace('Waits.', 'Waits long.'));
    mkdirSync(join(small, 'docs/reference'), { recursive: true });
    writeFileSync(join(small, 'docs/reference/gone.md'), '');
    const stale = run(small, '--check');
    expect(stale.status).toBe(1);
    expect(stale.stderr).toMatch(/stale: .*keymux\.md.*, gone\.md\. Run: npm run build && node scripts/);
  });
});
