import { posix } from 'node:path';
import ts from 'typescript';

/** Layers by level: each may import those on lower levels, and none beside itself. */
const LEVELS: readonly (readonly string[])[] = [
  ['core'],
  ['state', 'stores', 'providers', 'config'],
  ['manager'],
  ['interceptors', 'observe', 'gateway'],
  ['cli'],
  ['(entry)'],
];
/** Imports any layer; imported only by its entry file, and by the command line for the simulators of the demo. */
const TESTING = 'testing';
const TESTING_IMPORTERS = ['src/testing.ts', 'src/cli/'];

/** Interceptors enter other people's programs before anything else, so they load no more than this. */
const LOADED_BY_INTERCEPTORS = ['interceptors', 'manager', 'core', 'state', 'providers'];
const WITHOUT_PACKAGES = ['core', 'interceptors'];

export interface Import {
  readonly specifier: string;
  readonly line: number;
  /** Erased by the compiler. */
  readonly typeOnly: boolean;
  /** `import()` or `require()`: loaded later, if at all. */
  readonly lazy: boolean;
}

/** Files by their path from the root of the repository, with `/`. */
export type Files = ReadonlyMap<string, string>;

export function importsOf(path: string, text: string): Import[] {
  const file = ts.createSourceFile(path, text, ts.ScriptTarget.Latest, true);
  const found: Import[] = [];
  const add = (node: ts.Node, specifier: ts.Node | undefined, typeOnly: boolean, lazy: boolean): void => {
    if (specifier === undefined || !ts.isStringLiteralLike(specifier)) return;
    const line = file.getLineAndCharacterOfPosition(node.getStart()).line + 1;
    found.push({ specifier: specifier.text, line, typeOnly, lazy });
  };
  const visit = (node: ts.Node): void => {
    if (ts.isImportDeclaration(node)) {
      add(node, node.moduleSpecifier, node.importClause?.phaseModifier === ts.SyntaxKind.TypeKeyword, false);
    } else if (ts.isExportDeclaration(node)) {
      add(node, node.moduleSpecifier, node.isTypeOnly, false);
    } else if (ts.isImportTypeNode(node)) {
      add(node, ts.isLiteralTypeNode(node.argument) ? node.argument.literal : undefined, true, true);
    } else if (ts.isCallExpression(node) && isLoader(node.expression)) {
      add(node, node.arguments[0], false, true);
    }
    ts.forEachChild(node, visit);
  };
  visit(file);
  return found;
}

function isLoader(callee: ts.Expression): boolean {
  return (
    callee.kind === ts.SyntaxKind.ImportKeyword || (ts.isIdentifier(callee) && callee.text === 'require')
  );
}

function layerOf(path: string): string {
  const [, layer, ...rest] = path.split('/');
  return rest.length === 0 ? '(entry)' : (layer ?? '');
}

function levelOf(layer: string): number {
  return LEVELS.findIndex((layers) => layers.includes(layer));
}

/** The source file that is meant; `undefined` for a package. */
function sourceOf(from: string, specifier: string): string | undefined {
  const source = specifier.replace(/\.c?js$/, '.ts');
  if (specifier.startsWith('#keymux/')) return source.replace('#keymux/', 'src/');
  return specifier.startsWith('.') ? posix.join(posix.dirname(from), source) : undefined;
}

/** Why `from` may not import `specifier`; `undefined` if it may. */
function objection(
  files: Files,
  from: string,
  { specifier, typeOnly }: Import,
  packages: readonly string[],
): string | undefined {
  const layer = layerOf(from);
  if (specifier.startsWith('node:')) return layer === 'core' ? 'core/ imports nothing from Node' : undefined;
  const target = sourceOf(from, specifier);
  if (target === undefined) return packageObjection(layer, specifier, packages);
  if (!files.has(target)) return `there is no ${target}`;
  const targetLayer = layerOf(target);
  if (targetLayer === TESTING && layer !== TESTING) {
    return TESTING_IMPORTERS.some((importer) => from.startsWith(importer))
      ? undefined
      : 'only src/testing.ts and cli/ import testing/';
  }
  if (layer === TESTING) return targetLayer === '(entry)' ? 'entry files are imported by nobody' : undefined;
  if (layer === 'interceptors' && !typeOnly && !LOADED_BY_INTERCEPTORS.includes(targetLayer)) {
    return `interceptors/ does not load ${targetLayer}`;
  }
  if (layer === targetLayer && layer !== '(entry)') return undefined;
  return levelOf(targetLayer) < levelOf(layer) ? undefined : `${targetLayer} is not below ${layer}`;
}

function packageObjection(layer: string, specifier: string, packages: readonly string[]): string | undefined {
  if (WITHOUT_PACKAGES.includes(layer)) return `${layer}/ imports no package`;
  const name = specifier
    .split('/')
    .slice(0, specifier.startsWith('@') ? 2 : 1)
    .join('/');
  return packages.includes(name) ? undefined : `${name} is not a dependency of the package`;
}

/** Every import that the layers forbid, as `path:line: imports "…": reason`. `packages` are those that users get. */
export function forbiddenImports(files: Files, packages: readonly string[]): string[] {
  const complaints: string[] = [];
  for (const [path, text] of files) {
    if (layerOf(path) !== '(entry)' && layerOf(path) !== TESTING && levelOf(layerOf(path)) < 0) {
      complaints.push(`${path}: ${layerOf(path)}/ is not a layer`);
      continue;
    }
    for (const entry of importsOf(path, text)) {
      const reason = objection(files, path, entry, packages);
      if (reason !== undefined) {
        complaints.push(`${path}:${entry.line}: imports "${entry.specifier}": ${reason}`);
      }
    }
  }
  return complaints;
}

/** Circles of files that import each other as they are loaded, as `a -> b -> a`. */
export function importCycles(files: Files): string[] {
  const cycles: string[] = [];
  const done = new Set<string>();
  const visit = (path: string, trail: readonly string[]): void => {
    const start = trail.indexOf(path);
    if (start >= 0) {
      cycles.push([...trail.slice(start), path].join(' -> '));
      return;
    }
    if (done.has(path)) return;
    for (const target of loadedBy(files, path)) visit(target, [...trail, path]);
    done.add(path);
  };
  for (const path of files.keys()) visit(path, []);
  return cycles;
}

function loadedBy(files: Files, path: string): string[] {
  return importsOf(path, files.get(path) ?? '')
    .filter((entry) => !entry.typeOnly && !entry.lazy)
    .map((entry) => sourceOf(path, entry.specifier))
    .filter((target): target is string => target !== undefined && files.has(target));
}

const VAGUE = /^(utils?|helpers?|common|misc|stuff)$/;

/** Files and folders whose name is not kebab-case, or tells nothing. */
export function badNames(paths: Iterable<string>): string[] {
  const complaints = new Set<string>();
  for (const path of paths) {
    for (const part of path.split('/')) {
      const [name = '', ...suffixes] = part.split('.');
      if (![name, ...suffixes].every((word) => /^[a-z0-9]+(-[a-z0-9]+)*$/.test(word))) {
        complaints.add(`${path}: "${part}" is not kebab-case`);
      }
      if (name.split('-').some((word) => VAGUE.test(word)))
        complaints.add(`${path}: "${part}" tells nothing`);
    }
  }
  return [...complaints];
}

export interface Manifest {
  readonly exports: Readonly<Record<string, string | Readonly<Record<string, string>>>>;
  readonly bin: Readonly<Record<string, string>>;
}

/** Entry files that the package does not offer, and offers that no entry file stands behind. */
export function entryMismatches(
  files: Files,
  manifest: Manifest,
  internal: ReadonlyMap<string, string>,
): string[] {
  const offered = new Map<string, string>();
  for (const [subpath, target] of Object.entries(manifest.exports)) {
    for (const file of typeof target === 'string' ? [target] : Object.values(target))
      offered.set(file, subpath);
  }
  for (const [name, file] of Object.entries(manifest.bin)) offered.set(`./${file}`, `bin ${name}`);

  const complaints: string[] = [];
  const offeredSources = new Set<string>();
  for (const [file, subpath] of offered) {
    if (file === './package.json') continue;
    const source = file.replace(/^\.\/dist\//, 'src/').replace(/\.(d\.ts|d\.cts|js|cjs)$/, '.ts');
    offeredSources.add(source);
    if (!files.has(source))
      complaints.push(`package.json offers ${file} as "${subpath}", but there is no ${source}`);
  }
  for (const path of files.keys()) {
    if (layerOf(path) === '(entry)' && !offeredSources.has(path) && !internal.has(path)) {
      complaints.push(`${path} is an entry file, but package.json does not offer it`);
    }
  }
  return complaints;
}
