import { readdirSync, readFileSync } from 'node:fs';
import { join, relative, sep } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import {
  badNames,
  entryMismatches,
  forbiddenImports,
  importCycles,
  importsOf,
  type Files,
  type Manifest,
} from './arrows.js';

const root = fileURLToPath(new URL('../..', import.meta.url));

function pathsUnder(folder: string): string[] {
  return readdirSync(join(root, folder), { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && !entry.name.startsWith('.'))
    .map((entry) => relative(root, join(entry.parentPath, entry.name)).split(sep).join('/'))
    .filter((path) => !path.includes('node_modules/'));
}

function readManifest(): Manifest & { readonly dependencies: Readonly<Record<string, string>> } {
  return JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));
}

const sources: Files = new Map(
  pathsUnder('src')
    .filter((path) => path.endsWith('.ts'))
    .map((path) => [path, readFileSync(join(root, path), 'utf8')]),
);
const manifest = readManifest();

/** Files directly in src/ that are not offered to users, each with the reason. */
const INTERNAL_ENTRIES: ReadonlyMap<string, string> = new Map();

describe('the source tree', () => {
  it('holds the files of every layer', () => {
    expect(sources.size).toBeGreaterThan(10);
  });

  it('imports only along the arrows', () => {
    expect(forbiddenImports(sources, Object.keys(manifest.dependencies))).toEqual([]);
  });

  it('has no import cycle at run time', () => {
    expect(importCycles(sources)).toEqual([]);
  });

  it('offers every entry file, and has an entry file for every offer', () => {
    expect(entryMismatches(sources, manifest, INTERNAL_ENTRIES)).toEqual([]);
  });

  it('names files in kebab-case for what they hold', () => {
    expect(badNames(['src', 'test', 'scripts'].flatMap(pathsUnder))).toEqual([]);
  });
});

describe('importsOf', () => {
  it('finds every form of import', () => {
    const text = `
      import { a } from './a.js';
      import type { B } from './b.js';
      export * from './c.js';
      export type { D } from './d.js';
      import './e.js';
      const f = await import('./f.js');
      const g = require('./g.js');
      type H = import('./h.js').H;
      // import './comment.js';
      const text = "import './text.js'";`;
    expect(
      importsOf('x.ts', text).map(({ specifier, typeOnly, lazy }) => [specifier, typeOnly, lazy]),
    ).toEqual([
      ['./a.js', false, false],
      ['./b.js', true, false],
      ['./c.js', false, false],
      ['./d.js', true, false],
      ['./e.js', false, false],
      ['./f.js', false, true],
      ['./g.js', false, true],
      ['./h.js', true, true],
    ]);
  });
});

describe('forbiddenImports', () => {
  /** The complaints about `path` containing an import of `specifier`, in a tree of one file per layer. */
  function complaintsAbout(path: string, specifier: string, statement = `import '${specifier}';`): string[] {
    const layers = ['core', 'state', 'stores', 'providers', 'config', 'manager', 'interceptors', 'observe'];
    const files = new Map(
      [...layers, 'gateway', 'cli', 'testing'].map((layer) => [`src/${layer}/one.ts`, '']),
    );
    files.set('src/index.ts', '').set('src/testing.ts', '').set(path, statement);
    return forbiddenImports(files, ['zod', '@scope/name']);
  }

  it.each([
    ['src/core/two.ts', './one.js'],
    ['src/core/strategies/two.ts', '../one.js'],
    ['src/config/two.ts', 'zod'],
    ['src/config/two.ts', '@scope/name/deep'],
    ['src/config/two.ts', 'node:fs'],
    ['src/manager/two.ts', '../stores/one.js'],
    ['src/manager/two.ts', '#keymux/config/one.cjs'],
    ['src/interceptors/two.ts', '../state/one.js'],
    ['src/gateway/two.ts', '../core/one.js'],
    ['src/cli/two.ts', '../interceptors/one.js'],
    ['src/cli/two.ts', '../testing/one.js'],
    ['src/testing.ts', './testing/one.js'],
    ['src/testing/two.ts', '../cli/one.js'],
    ['src/index.ts', './manager/one.js'],
  ])('lets %s import %s', (path, specifier) => {
    expect(complaintsAbout(path, specifier)).toEqual([]);
  });

  it.each([
    ['src/core/two.ts', '../state/one.js', 'state is not below core'],
    ['src/core/two.ts', 'node:fs', 'core/ imports nothing from Node'],
    ['src/core/two.ts', 'zod', 'core/ imports no package'],
    ['src/stores/two.ts', '../providers/one.js', 'providers is not below stores'],
    ['src/config/two.ts', '../manager/one.js', 'manager is not below config'],
    ['src/interceptors/two.ts', '../config/one.js', 'interceptors/ does not load config'],
    ['src/interceptors/two.ts', '../gateway/one.js', 'interceptors/ does not load gateway'],
    ['src/interceptors/two.ts', 'zod', 'interceptors/ imports no package'],
    ['src/observe/two.ts', '../gateway/one.js', 'gateway is not below observe'],
    ['src/manager/two.ts', '../testing/one.js', 'only src/testing.ts and cli/ import testing/'],
    ['src/index.ts', './testing/one.js', 'only src/testing.ts and cli/ import testing/'],
    ['src/index.ts', './testing.js', '(entry) is not below (entry)'],
    ['src/testing/two.ts', '../index.js', 'entry files are imported by nobody'],
    ['src/cli/two.ts', '../index.js', '(entry) is not below cli'],
    ['src/config/two.ts', 'vitest', 'vitest is not a dependency of the package'],
    ['src/config/two.ts', '#keymux/manager/one.js', 'manager is not below config'],
    ['src/config/two.ts', './gone.js', 'there is no src/config/gone.ts'],
    ['src/other/two.ts', './one.js', 'other/ is not a layer'],
  ])('keeps %s from importing %s', (path, specifier, reason) => {
    expect(complaintsAbout(path, specifier)).toEqual([expect.stringContaining(reason)]);
  });

  it('lets interceptors/ take types, which load nothing, from any layer below', () => {
    const typeImport = (layer: string): string[] =>
      complaintsAbout('src/interceptors/two.ts', '', `import type { A } from '../${layer}/one.js';`);
    expect(typeImport('config')).toEqual([]);
    expect(typeImport('gateway')).toHaveLength(1);
  });

  it('sees type-only, lazy and re-exporting imports too', () => {
    for (const statement of [
      `import type { A } from '../manager/one.js';`,
      `export { a } from '../manager/one.js';`,
      `const a = await import('../manager/one.js');`,
    ]) {
      expect(complaintsAbout('src/stores/two.ts', '', statement)).toHaveLength(1);
    }
  });
});

describe('importCycles', () => {
  const cycle = (statement: string): string[] =>
    importCycles(
      new Map([
        ['src/core/a.ts', `import './b.js';`],
        ['src/core/b.ts', `import './c.js';`],
        ['src/core/c.ts', statement],
      ]),
    );

  it('finds a circle of files', () => {
    expect(cycle(`import './b.js';`)).toEqual(['src/core/b.ts -> src/core/c.ts -> src/core/b.ts']);
  });

  it('leaves out imports that are erased or come later', () => {
    expect(cycle(`import type { A } from './a.js'; void import('./a.js');`)).toEqual([]);
  });
});

describe('badNames', () => {
  it('complains of names that are not kebab-case or tell nothing', () => {
    const good = [
      'src/core/quota.ts',
      'src/testing/fake-clock.ts',
      'test/core/quota.test.ts',
      'scripts/test.mjs',
    ];
    expect(badNames(good)).toEqual([]);
    const bad = ['src/core/fakeClock.ts', 'src/Core/quota.ts', 'src/core/utils.ts', 'src/helpers/a.ts'];
    expect(badNames([...bad, 'src/core/http-helpers.ts'])).toHaveLength(5);
  });
});

describe('entryMismatches', () => {
  const offer: Manifest = {
    exports: {
      '.': { types: './dist/index.d.ts', default: './dist/index.js' },
      './package.json': './package.json',
    },
    bin: { keymux: 'dist/bin.js' },
  };
  const tree = (...paths: string[]): Files => new Map(paths.map((path) => [path, '']));

  it('accepts a tree in which files and offers agree', () => {
    expect(entryMismatches(tree('src/index.ts', 'src/bin.ts', 'src/core/a.ts'), offer, new Map())).toEqual(
      [],
    );
  });

  it('finds an entry file that is not offered, unless it is internal for a reason', () => {
    const files = tree('src/index.ts', 'src/bin.ts', 'src/extra.ts');
    expect(entryMismatches(files, offer, new Map())).toEqual([expect.stringContaining('src/extra.ts')]);
    expect(entryMismatches(files, offer, new Map([['src/extra.ts', 'a worker']]))).toEqual([]);
  });

  it('finds an offer without an entry file', () => {
    expect(entryMismatches(tree('src/index.ts'), offer, new Map())).toEqual([
      expect.stringContaining('src/bin.ts'),
    ]);
  });
});
