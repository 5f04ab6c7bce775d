import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';
import ts from 'typescript';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { reportCoverage } from '../../scripts/coverage.mjs';

const root = mkdtempSync(join(tmpdir(), 'keymux-coverage-'));
const repository = fileURLToPath(new URL('../..', import.meta.url));

const SOURCE = `export function sign(amount: number): string {
  const parts = [amount, ...(amount > 0 ? [1] : [])];
  if (amount > 100) return 'never';
  return parts.join();
}
export class Counter {
  add(amount: number): string {
    return amount > 0 ? 'up' : 'down';
  }
}
const amount = Number(process.argv[2]);
sign(amount);
new Counter().add(amount);
`;

/** Builds as the package is built: modules by the compiler, then a bundle of them, both with source maps. */
async function buildSample(): Promise<void> {
  for (const folder of ['src', 'dist', 'v8']) mkdirSync(join(root, folder));
  symlinkSync(join(repository, 'node_modules'), join(root, 'node_modules'));
  writeFileSync(join(root, 'package.json'), '{ "type": "module" }');
  writeFileSync(join(root, 'src/register.ts'), SOURCE);
  const { outputText, sourceMapText } = ts.transpileModule(SOURCE, {
    fileName: '../src/register.ts',
    compilerOptions: {
      module: ts.ModuleKind.ESNext,
      target: ts.ScriptTarget.ES2023,
      sourceMap: true,
      inlineSources: true,
    },
  });
  writeFileSync(join(root, 'dist/register.js'), outputText);
  writeFileSync(join(root, 'dist/register.js.map'), sourceMapText ?? '');
  const [entry, outfile] = [join(root, 'dist/register.js'), join(root, 'dist/register.cjs')];
  await build({
    entryPoints: [entry],
    outfile,
    bundle: true,
    platform: 'node',
    format: 'cjs',
    sourcemap: true,
  });
}

function run(file: string, amount: number): void {
  const env = { ...process.env, NODE_V8_COVERAGE: join(root, 'v8') };
  expect(spawnSync(process.execPath, [join(root, 'dist', file), String(amount)], { env }).status).toBe(0);
}

/** Hits of each branch of a line, by the lcov report. */
function branchesOfLine(line: number): number[] {
  const lcov = readFileSync(join(root, 'coverage/lcov.info'), 'utf8');
  return [...lcov.matchAll(/^BRDA:(\d+),\d+,\d+,(\d+)$/gm)]
    .filter((match) => Number(match[1]) === line)
    .map((match) => Number(match[2]));
}

describe('reportCoverage', () => {
  let isEnough: boolean;

  beforeAll(async () => {
    await buildSample();
    run('register.js', -1);
    run('register.cjs', 1);
    const options = { root, rawDir: join(root, 'v8'), outputDir: join(root, 'coverage'), table: false };
    vi.spyOn(console, 'log').mockReturnValue();
    vi.spyOn(console, 'error').mockReturnValue();
    isEnough = await reportCoverage({ ...options, enforce: true });
  });

  afterAll(() => {
    vi.restoreAllMocks();
    rmSync(root, { recursive: true, force: true });
  });

  it('counts a branch that ran only in the bundle together with one that ran only in the module', () => {
    expect(branchesOfLine(2)).toEqual([1, 1]);
    expect(branchesOfLine(8)).toEqual([1, 1]);
  });

  it('tells a branch that ran in neither', () => {
    expect(branchesOfLine(3)).toEqual([0, 2]);
  });

  it('refuses coverage below the threshold', () => {
    expect(isEnough).toBe(false);
  });
});
