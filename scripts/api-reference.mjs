// Writes docs/reference/: one page for each entry of the package, from its built types. `--check` writes nothing and
// exits with 1 where a page is stale. In both cases an export, or a method of an exported class, that has no docstring
// is an error. What is tagged `@internal` is not shown.
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import ts from 'typescript';

/** Tests name another package. */
const root = process.env.KEYMUX_REFERENCE_ROOT ?? fileURLToPath(new URL('..', import.meta.url));
const dist = join(root, 'dist');
const folder = join(root, 'docs/reference');
const manifest = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));

/** What has a meaning of its own in the language needs no words. */
const PLAIN_MEMBERS = new Set(['toString', 'toJSON', '[Symbol.dispose]', '[Symbol.asyncDispose]']);

const KINDS = new Map([
  [ts.SyntaxKind.FunctionDeclaration, 'function'],
  [ts.SyntaxKind.ClassDeclaration, 'class'],
  [ts.SyntaxKind.InterfaceDeclaration, 'interface'],
  [ts.SyntaxKind.TypeAliasDeclaration, 'type'],
  [ts.SyntaxKind.VariableDeclaration, 'constant'],
]);

// --- what there is --------------------------------------------------------------------------------------------------

const entries = Object.entries(manifest.exports)
  .filter(([, target]) => target.types !== undefined)
  .map(([path, { types }]) => {
    const id = path === '.' ? 'keymux' : path.slice(2);
    const file = types.replace(/\.d\.cts$/, '.d.ts').replace('./dist/', '');
    const source = readFileSync(join(root, 'src', file.replace('.d.ts', '.ts')), 'utf8');
    return { id, name: path === '.' ? 'keymux' : `keymux/${id}`, file: join(dist, file), source };
  });

const program = ts.createProgram(
  entries.map(({ file }) => file),
  {
    module: ts.ModuleKind.NodeNext,
    moduleResolution: ts.ModuleResolutionKind.NodeNext,
    target: ts.ScriptTarget.ES2023,
    lib: ['lib.es2023.d.ts', 'lib.esnext.disposable.d.ts'],
    types: existsSync(join(root, 'node_modules/@types/node')) ? ['node'] : [],
    typeRoots: [join(root, 'node_modules/@types')],
    skipLibCheck: true,
    strict: true,
  },
);
const checker = program.getTypeChecker();

const resolved = (symbol) =>
  symbol.flags & ts.SymbolFlags.Alias ? checker.getAliasedSymbol(symbol) : symbol;

/** The exports of an entry: name, symbol, and the declarations that are shown. */
function exportsOf({ file }) {
  const module = checker.getSymbolAtLocation(program.getSourceFile(file));
  if (module === undefined) return [];
  return checker.getExportsOfModule(module).map((symbol) => itemOf(symbol.name, resolved(symbol)));
}

function itemOf(name, symbol) {
  const declarations = symbol.declarations ?? [];
  const [first] = declarations;
  return {
    name,
    symbol,
    declarations,
    kind: KINDS.get(first.kind) ?? 'constant',
    text: ts.displayPartsToString(symbol.getDocumentationComment(checker)),
    tags: symbol.getJsDocTags(checker),
  };
}

const pages = entries.map((entry) => ({ ...entry, items: exportsOf(entry) }));

/** Where a symbol has its section. The page that names it first is its home. */
const homes = new Map();
for (const page of pages) {
  for (const { name, symbol } of page.items) {
    if (!homes.has(symbol)) homes.set(symbol, { page: page.id, name });
  }
}

// --- what is shown --------------------------------------------------------------------------------------------------

const isInternal = (node) => ts.getJSDocTags(node).some(({ tagName }) => tagName.text === 'internal');
const nameOf = (member) =>
  ts.isConstructorDeclaration(member) ? 'constructor' : (member.name?.getText() ?? '');

function isShown(member) {
  const hidden = ts.ModifierFlags.Private | ts.ModifierFlags.Protected;
  if (ts.getCombinedModifierFlags(member) & hidden || isInternal(member)) return false;
  return !/^(#|\[(?!Symbol\.(?:asyncD|d)ispose))/.test(nameOf(member));
}

/** The parts of a declaration that its section shows, for whoever looks for the types they name. */
function shownPartsOf(declaration) {
  if (!ts.isClassDeclaration(declaration)) return [declaration];
  return [...(declaration.heritageClauses ?? []), ...declaration.members.filter(isShown)];
}

function signatureOf(declaration) {
  if (ts.isClassDeclaration(declaration)) return classText(declaration);
  const statement = ts.isVariableDeclaration(declaration) ? declaration.parent.parent : declaration;
  return withoutExport(statement.getText());
}

function classText(declaration) {
  const all = declaration.getText();
  const head = withoutExport(all.slice(0, all.indexOf('{'))).trimEnd();
  const members = declaration.members.filter(isShown).map((member) => {
    const comments = ts.getJSDocCommentsAndTags(member).filter(ts.isJSDoc);
    const from = comments[0]?.getStart() ?? member.getStart();
    return `    ${member.getSourceFile().text.slice(from, member.getEnd())}`;
  });
  return `${head} {\n${members.join('\n')}\n}`;
}

const withoutExport = (text) => text.replace(/^export /, '').replace(/^declare /, '');

/** Types of our own that the shown parts name, in the order in which they occur. */
function namedTypes(declarations) {
  const found = new Set();
  const visit = (node) => {
    const name = ts.isTypeReferenceNode(node)
      ? node.typeName
      : ts.isExpressionWithTypeArguments(node)
        ? node.expression
        : ts.isImportTypeNode(node)
          ? node.qualifier
          : ts.isTypeQueryNode(node)
            ? node.exprName
            : undefined;
    const symbol = name && checker.getSymbolAtLocation(name);
    if (symbol !== undefined) found.add(resolved(symbol));
    ts.forEachChild(node, visit);
  };
  for (const part of declarations.flatMap(shownPartsOf)) visit(part);
  return [...found].filter((symbol) => {
    const [first] = symbol.declarations ?? [];
    return first !== undefined && KINDS.has(first.kind) && first.getSourceFile().fileName.startsWith(dist);
  });
}

/** What an entry names and does not export: shown at the end of its page. */
function furtherItems(items) {
  const known = new Set(items.map(({ symbol }) => symbol));
  const further = [];
  const queue = [...items];
  for (let item = queue.shift(); item !== undefined; item = queue.shift()) {
    for (const symbol of namedTypes(item.declarations)) {
      if (known.has(symbol) || homes.has(symbol)) continue;
      known.add(symbol);
      if (isInternal(symbol.declarations[0])) continue;
      const next = itemOf(symbol.name, symbol);
      further.push(next);
      queue.push(next);
    }
  }
  return further.sort((a, b) => a.name.localeCompare(b.name, 'en'));
}

// --- faults ---------------------------------------------------------------------------------------------------------

function undocumentedIn(page) {
  return page.items.flatMap(({ name, text, declarations }) => [
    ...(text === '' ? [`${page.name}: ${name} has no docstring`] : []),
    ...declarations.filter(ts.isClassDeclaration).flatMap(({ members }) => {
      const documented = new Set(members.filter(hasText).map(nameOf));
      const wanting = members.filter(
        (member) =>
          isShown(member) &&
          (ts.isMethodDeclaration(member) || ts.isAccessor(member)) &&
          !PLAIN_MEMBERS.has(nameOf(member)) &&
          !documented.has(nameOf(member)),
      );
      return wanting.map((member) => `${page.name}: ${name}.${nameOf(member)} has no docstring`);
    }),
  ]);
}

const hasText = (node) => ts.getJSDocCommentsAndTags(node).some(({ comment }) => comment !== undefined);

// --- pages ----------------------------------------------------------------------------------------------------------

const ERROR_CODES = new Set(
  [...readFileSync(join(root, 'docs/troubleshooting.md'), 'utf8').matchAll(/^## (KEYMUX_\w+)$/gm)].map(
    ([, code]) => code,
  ),
);
const codeLink = (code) => `[\`${code}\`](../troubleshooting.md#${code.toLowerCase()})`;

const linked = (text) =>
  text.replace(/`(KEYMUX_[A-Z_]+)`/g, (all, code) => (ERROR_CODES.has(code) ? codeLink(code) : all));

function seeAlso(item, local) {
  const links = namedTypes(item.declarations).flatMap((symbol) => {
    if (symbol === item.symbol) return [];
    const here = local.find((other) => other.symbol === symbol);
    if (here !== undefined) return [`[${here.name}](#${here.name.toLowerCase()})`];
    const home = homes.get(symbol);
    return home === undefined ? [] : [`[${home.name}](${home.page}.md#${home.name.toLowerCase()})`];
  });
  return links.length === 0 ? [] : [`Names: ${[...new Set(links)].join(', ')}.`, ''];
}

/** Every code that the docstrings of an item and its shown members mention. */
function errorsOf(item) {
  const shown = item.declarations.map(signatureOf).join('\n');
  const tags = tagsOf(item, 'throws').join('\n');
  const named = `${item.text}\n${tags}\n${shown}`.match(/KEYMUX_[A-Z_]+/g) ?? [];
  const codes = [...new Set(named)].filter((code) => ERROR_CODES.has(code)).sort();
  return codes.length === 0 ? [] : [`Errors: ${codes.map(codeLink).join(', ')}.`, ''];
}

const tagsOf = (item, wanted) =>
  item.tags.filter(({ name }) => name === wanted).map(({ text }) => ts.displayPartsToString(text));

const throwLines = (item) =>
  tagsOf(item, 'throws').flatMap((text) => [`Throws ${linked(text).replace(/\.$/, '')}.`, '']);

const exampleLines = (item) => tagsOf(item, 'example').flatMap((text) => ['```ts', text, '```', '']);

function section(item, local, level) {
  const declared = item.symbol.name;
  return [
    `${level} ${item.name}`,
    '',
    ...(item.text === '' ? [] : [linked(item.text), '']),
    ...(declared === item.name ? [] : [`Declared as \`${declared}\`.`, '']),
    ...throwLines(item),
    '```ts',
    ...item.declarations.map(signatureOf),
    '```',
    '',
    ...exampleLines(item),
    ...(item.kind === 'constant' ? [] : errorsOf(item)),
    ...seeAlso(item, local),
  ];
}

const firstSentence = (text) =>
  text
    .replaceAll('\n', ' ')
    .split(/(?<=[.:])\s(?=[A-Z`])/)[0]
    .replace(/:$/, '.');
const cell = (text) => linked(text).replaceAll('|', '\\|');

const GENERATED = `Generated from the docstrings of \`src/\` by \`node scripts/api-reference.mjs\`; corrections go there.`;

function headOf({ source }) {
  const [, comment = ''] = /^\/\*\*([^]*?)\*\//.exec(source) ?? [];
  return comment.replace(/^[ \t]*\*[ \t]?/gm, '').trim();
}

function pageText(page) {
  const further = furtherItems(page.items);
  const local = [...page.items, ...further];
  const sorted = page.items.toSorted((a, b) => a.name.localeCompare(b.name, 'en'));
  const table = sorted.map(
    ({ name, kind, text }) =>
      `| [\`${name}\`](#${name.toLowerCase()}) | ${kind} | ${cell(firstSentence(text))} |`,
  );
  return [
    `# ${page.name}`,
    '',
    headOf(page),
    '',
    GENERATED,
    '',
    ...(table.length === 0
      ? ['It exports nothing: loading it is what it does.', '']
      : ['| export | kind | what it is |', '| --- | --- | --- |', ...table, '']),
    ...sorted.flatMap((item) => section(item, local, '##')),
    ...(further.length === 0 ? [] : ['## Further types', '', 'Named above, and not exported by name.', '']),
    ...further.flatMap((item) => section(item, local, '###')),
  ]
    .join('\n')
    .replace(/\n+$/, '\n');
}

function indexText() {
  const rows = pages.map(
    (page) => `| [\`${page.name}\`](${page.id}.md) | ${cell(headOf(page).replaceAll('\n', ' '))} |`,
  );
  return [
    '# API reference',
    '',
    GENERATED,
    '',
    '| entry | what it holds |',
    '| --- | --- |',
    ...rows,
    '',
  ].join('\n');
}

const wanted = new Map([
  ['README.md', indexText()],
  ...pages.map((page) => [`${page.id}.md`, pageText(page)]),
]);
const present = existsSync(folder) ? readdirSync(folder) : [];
const textOf = (name) => (present.includes(name) ? readFileSync(join(folder, name), 'utf8') : undefined);
const orphans = present.filter((name) => !wanted.has(name));
const stale = [...wanted.keys()].filter((name) => textOf(name) !== wanted.get(name));

for (const fault of pages.flatMap(undocumentedIn)) {
  console.error(fault);
  process.exitCode = 1;
}
if (!process.argv.includes('--check')) {
  mkdirSync(folder, { recursive: true });
  for (const name of stale) writeFileSync(join(folder, name), wanted.get(name));
  for (const name of orphans) rmSync(join(folder, name));
} else if (stale.length + orphans.length > 0) {
  console.error(
    `docs/reference is stale: ${[...stale, ...orphans].join(', ')}. Run: npm run build && node scripts/api-reference.mjs`,
  );
  process.exitCode = 1;
}
