/** Whether what is written holds together: links, anchors, error codes, exports and code. */
import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, dirname, join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { checkContent } from '#keymux/config/file.js';
import { ERROR_CODES, KeymuxError } from '#keymux/core/errors.js';
import { catalogue } from '#keymux/providers/catalogue.js';
import ts from 'typescript';
import { describe, expect, it, onTestFinished } from 'vitest';
import { parse } from 'yaml';
import { anchorsOf, linksOf, splitCode } from './markdown.js';

const root = fileURLToPath(new URL('../..', import.meta.url));

const paths = [
  'README.md',
  'SECURITY.md',
  'CONTRIBUTING.md',
  'CHANGELOG.md',
  ...['docs', 'examples'].flatMap((folder) =>
    readdirSync(join(root, folder), { recursive: true, encoding: 'utf8' })
      .filter((name) => name.endsWith('.md') && !name.includes('node_modules'))
      .map((name) => `${folder}/${name.replaceAll('\\', '/')}`),
  ),
];
const pages = new Map(paths.map((path) => [path, readFileSync(join(root, path), 'utf8')]));
const written = [...pages].filter(([path]) => !path.startsWith('docs/reference/'));

function pageOf(path: string): string {
  const text = pages.get(path);
  if (text === undefined) throw new Error(`There is no ${path}.`);
  return text;
}

const anchors = new Map([...pages].map(([path, text]) => [path, anchorsOf(text)]));

/** Why a link leads nowhere; undefined where it does, or leaves the repository. */
function faultOf(from: string, link: string): string | undefined {
  if (/^[a-z]+:/.test(link)) return undefined;
  const [file = '', anchor] = link.split('#');
  const path = file === '' ? from : relative(root, join(root, dirname(from), file));
  if (statSync(join(root, path), { throwIfNoEntry: false }) === undefined) return `${from}: ${link}`;
  const isMissing = anchor !== undefined && anchors.get(path)?.has(anchor) === false;
  return isMissing ? `${from}: ${link} (no such heading)` : undefined;
}

describe('links', () => {
  it.each(paths)('of %s lead somewhere', (path) => {
    const faults = linksOf(pageOf(path)).map((link) => faultOf(path, link));
    expect(faults.filter((fault) => fault !== undefined)).toEqual([]);
  });

  it('are found wanting where they are', () => {
    const page =
      '[a](nowhere.md) `[b](nor-this.md)` [c](docs/cli.md#no-heading) [d](docs/cli.md)\n```\n[e](x.md)\n```';
    const faults = linksOf(page).map((link) => faultOf('README.md', link));
    expect(faults).toEqual([
      'README.md: nowhere.md',
      'README.md: docs/cli.md#no-heading (no such heading)',
      undefined,
    ]);
  });

  it('lead from docs/README.md to every page', () => {
    const linked = new Set(
      linksOf(pageOf('docs/README.md')).map((link) => join('docs', link.split('#')[0] ?? '')),
    );
    const pagesInDocs = paths.filter((path) =>
      /^docs\/(?!README|(?:reference|decisions)\/(?!README))/.test(path),
    );
    expect(pagesInDocs.filter((path) => !linked.has(path))).toEqual([]);
  });
});

describe('anchors', () => {
  it('are those of GitHub', () => {
    const page =
      '# A `code`, and more!\n## Twice\n## Twice\n## [Linked](x.md) to\n```\n# no heading\n```\n## KEYMUX_X';
    expect([...anchorsOf(page)]).toEqual(['a-code-and-more', 'twice', 'twice-1', 'linked-to', 'keymux_x']);
  });
});

describe('docs/troubleshooting.md', () => {
  const page = pageOf('docs/troubleshooting.md');

  it.each([...ERROR_CODES])('tells what %s is and what to do, where the error points', (code) => {
    const [, section = ''] = new RegExp(`^## ${code}\n([^]*?)(?=^#|\\Z)`, 'm').exec(page) ?? [];
    expect(section).toContain('**What to do:** ');
    const { docs } = new KeymuxError(code, 'x', { fix: 'y' });
    expect(faultOf('README.md', docs)).toBeUndefined();
  });

  it('knows no other code', () => {
    const sections = [...page.matchAll(/^## (KEYMUX_\w+)$/gm)].map(([, code = '']) => code);
    expect(sections).toEqual([...ERROR_CODES]);
  });
});

describe('docs/architecture.md', () => {
  const page = pageOf('docs/architecture.md');

  it('names every layer', () => {
    const layers = readdirSync(join(root, 'src'), { withFileTypes: true }).filter((entry) =>
      entry.isDirectory(),
    );
    expect(layers.map(({ name }) => name).filter((name) => !page.includes(`\n| \`${name}/\` `))).toEqual([]);
  });

  it('names everything that is patched', () => {
    const folder = join(root, 'src/interceptors');
    const sources = readdirSync(folder).map((name) => readFileSync(join(folder, name), 'utf8'));
    const patched = sources.flatMap((text) =>
      [...text.matchAll(/\b(?:patch|trapFirstUse|watchReads)\((?:[^,()]+, )?'(\w+)'/g)].map(
        ([, name = '']) => name,
      ),
    );
    expect(patched).toContain('dispatch');
    const [, table = ''] = /^## What is patched\n([^]*?)^## /m.exec(page) ?? [];
    expect(patched.filter((name) => !new RegExp(`\\b${name}\\b`).test(table))).toEqual([]);
  });
});

describe('exports', () => {
  const programs = readdirSync(join(root, 'examples'), { recursive: true, encoding: 'utf8' })
    .filter((name) => /\.m?[jt]s$/.test(name) && !name.includes('node_modules'))
    .map((name) => readFileSync(join(root, 'examples', name), 'utf8'));
  const code = written.flatMap(([, text]) => [
    ...splitCode(text).blocks.map((block) => block.text),
    ...(text.match(/`[^`\n]+`/g) ?? []),
  ]);
  const shown = new Set([...programs, ...code].flatMap((text) => text.match(/[A-Za-z_]\w*/g) ?? []));
  const entries = paths.filter((path) => /^docs\/reference\/(?!README)/.test(path));

  it.each(entries)('in %s that are no types are shown in use by an example or a page', (path) => {
    const values = [...pageOf(path).matchAll(/^\| \[`(\w+)`\]\(#\w+\) \| (?:function|class|constant) \|/gm)];
    expect(values.length).toBeGreaterThan(path.endsWith('/register.md') ? -1 : 0);
    expect(values.map(([, name = '']) => name).filter((name) => !shown.has(name))).toEqual([]);
  });
});

describe('code in the documentation', () => {
  const blocks = written.flatMap(([path, text]) =>
    splitCode(text)
      .blocks.filter(({ info }) => /^(ts|js|mjs|typescript|javascript)\b/.test(info))
      .map((block) => ({ ...block, path, title: `${path}:${String(block.line)}` })),
  );
  const runnable = blocks.filter(({ info }) => info === 'ts run');

  it('can be parsed', () => {
    const faults = blocks.flatMap(({ text, title }) =>
      (
        ts.transpileModule(text, { reportDiagnostics: true, compilerOptions: COMPILED }).diagnostics ?? []
      ).map(({ messageText }) => `${title}: ${ts.flattenDiagnosticMessageText(messageText, '\n')}`),
    );
    expect(faults).toEqual([]);
    expect(blocks.length).toBeGreaterThan(20);
  });

  it('in YAML and JSON can be read, and a configuration is valid', () => {
    const parsers: Readonly<Record<string, (text: string) => unknown>> = { yaml: parse, json: JSON.parse };
    const faults = written.flatMap(([path, text]) =>
      splitCode(text).blocks.flatMap((block) => {
        try {
          checkConfiguration(parsers[block.info]?.(block.text));
          return [];
        } catch (error) {
          return [`${path}:${String(block.line)}: ${String(error)}`];
        }
      }),
    );
    expect(faults).toEqual([]);
    expect(() => checkConfiguration({ store: { type: 'sqllite' } })).toThrow('did you mean `sqlite`');
  });

  it('has the right types and runs, where it says so', { timeout: 90_000 }, () => {
    expect(runnable.length).toBeGreaterThanOrEqual(8);
    // Below the package, so that its own name is found as users find it.
    const parent = join(root, '.tmp');
    mkdirSync(parent, { recursive: true });
    const folder = mkdtempSync(join(parent, 'docs-'));
    onTestFinished(() => {
      rmSync(folder, { recursive: true, force: true });
    });
    const files = runnable.map(({ text, path, line }) => {
      const file = join(folder, `${path.replaceAll(/\W/g, '-')}-${String(line)}.mts`);
      writeFileSync(file, `${text}\nexport {};\n`);
      writeFileSync(
        file.replace(/mts$/, 'mjs'),
        ts.transpile(text, { ...COMPILED, module: ts.ModuleKind.ESNext }),
      );
      return file;
    });
    const program = ts.createProgram(files, { ...COMPILED, noEmit: true, strict: true, skipLibCheck: true });
    const diagnostics = files.flatMap((file) => {
      const source = program.getSourceFile(file);
      return [...program.getSemanticDiagnostics(source)].map(
        ({ messageText }) => `${file}: ${ts.flattenDiagnosticMessageText(messageText, '\n')}`,
      );
    });
    expect(diagnostics).toEqual([]);

    const main = files.map((file) => `await import('./${basename(file, '.mts')}.mjs');`);
    writeFileSync(join(folder, 'main.mjs'), main.join(`\nconsole.log('${SEPARATOR}');\n`));
    const state = mkdtempSync(join(tmpdir(), 'keymux-docs-'));
    onTestFinished(() => {
      rmSync(state, { recursive: true, force: true });
    });
    const { status, stdout, stderr } = spawnSync(process.execPath, [join(folder, 'main.mjs')], {
      cwd: state,
      encoding: 'utf8',
      env: { ...process.env, XDG_STATE_HOME: state, HOME: state },
    });
    expect([status, stderr]).toEqual([0, '']);
    const outputs = stdout.split(SEPARATOR);
    expect(outputs).toHaveLength(runnable.length);
    const wrong = runnable.flatMap(({ text, title }, index) =>
      promisedOutput(text)
        .filter((line) => outputs[index]?.includes(`${line}\n`) !== true)
        .map((line) => `${title}: ${line}`),
    );
    expect(wrong).toEqual([]);
  });
});

const OPTIONS = new Set(['services', 'providers', 'store', 'audit', 'alerts', 'vault', 'api_management']);

/** Throws where something that looks like a configuration is none; a part of one may leave out where its provider is. */
function checkConfiguration(content: unknown): void {
  if (typeof content !== 'object' || content === null) return;
  if (!Object.keys(content).every((option) => OPTIONS.has(option))) return;
  try {
    checkContent(content, { name: 'example', folder: '/', catalogue });
  } catch (error) {
    if (!(error instanceof KeymuxError)) throw error;
    const problems = error.message.split('\n').slice(1);
    if (problems.some((problem) => !problem.includes('needs a `baseUrl`'))) throw error;
  }
}

const SEPARATOR = '--- next ---';

/** What the comments behind (or below) `console.log(…);` say that it prints; words after a colon explain. */
function promisedOutput(text: string): readonly string[] {
  return [...text.matchAll(/console\.log\(.*\);\s*\/\/ (.*?)(?:: .*)?$/gm)]
    .map(([, line = '']) => line)
    .filter((line) => !line.includes('…'));
}

const COMPILED: ts.CompilerOptions = {
  module: ts.ModuleKind.NodeNext,
  moduleResolution: ts.ModuleResolutionKind.NodeNext,
  // Node 20 has no `await using`.
  target: ts.ScriptTarget.ES2022,
  lib: ['lib.es2023.d.ts', 'lib.esnext.disposable.d.ts'],
  types: ['node'],
  typeRoots: [join(root, 'node_modules/@types')],
};
