import {
  type Node as JsonNode,
  parseTree,
  type ParseError,
  type ParseOptions,
  printParseErrorCode,
} from 'jsonc-parser';
import {
  type Document,
  isAlias,
  isMap,
  isScalar,
  isSeq,
  LineCounter,
  parseDocument,
  type YAMLError,
} from 'yaml';
import type { OptionPath, Position } from './file-content.js';
import type { Problem } from './problems.js';

export type SourceFormat = 'yaml' | 'json' | 'jsonc';

export interface SourceContent {
  /** Plain data: objects, arrays and scalars. `undefined` if nothing could be read. */
  readonly value: unknown;
  readonly problems: readonly Problem[];
  /** Where an option stands: its name, or the entry of a list; the nearest that surrounds it if there is no such option. */
  readonly positionOf: (path: OptionPath) => Position | undefined;
}

const DEEPEST = 32;
/** Aliases multiply what they stand for; no sensible file comes near this. */
const MOST_VALUES = 50_000;
const MOST_ALIASES = 100;

/** Parses without executing anything, and remembers where each option stands. */
export function parseSource(text: string, format: SourceFormat): SourceContent {
  const content = new ContentBuilder(text);
  try {
    const value = format === 'yaml' ? parseYaml(text, content) : parseJson(text, format === 'jsonc', content);
    return { value, problems: content.problems, positionOf: (path) => content.positionOf(path) };
  } catch (error) {
    // The recursive parsers run out of stack on thousands of open brackets.
    if (!(error instanceof TooMuch || error instanceof RangeError)) throw error;
    const problem = {
      text: `holds more than ${DEEPEST} levels, ${MOST_VALUES} values or ${MOST_ALIASES} aliases`,
    };
    return { value: undefined, problems: [problem], positionOf: () => undefined };
  }
}

class TooMuch extends Error {}

class ContentBuilder {
  readonly problems: Problem[] = [];
  readonly #positions = new Map<string, Position>();
  readonly #lines: LineCounter = new LineCounter();
  readonly #refused = new Set<number>();
  #values = 0;
  #aliases = 0;

  constructor(text: string) {
    this.#lines.addNewLine(0);
    for (let at = text.indexOf('\n'); at !== -1; at = text.indexOf('\n', at + 1))
      this.#lines.addNewLine(at + 1);
  }

  at(offset: number): Position {
    const { line, col } = this.#lines.linePos(offset);
    return { line, column: col };
  }

  /** Counts one value and remembers its place. */
  enter(path: OptionPath, offset: number): void {
    this.#values += 1;
    if (this.#values > MOST_VALUES || path.length > DEEPEST) throw new TooMuch();
    this.#positions.set(JSON.stringify(path), this.at(offset));
  }

  /** A fault of the syntax; of several at one place the first tells the most. */
  refuse(offset: number, text: string): void {
    if (this.#refused.has(offset)) return;
    this.#refused.add(offset);
    this.problems.push({ position: this.at(offset), text });
  }

  enterAlias(): void {
    this.#aliases += 1;
    if (this.#aliases > MOST_ALIASES) throw new TooMuch();
  }

  /** Names that would reach an object's prototype, and names said twice, are refused here once for both formats. */
  accepts(name: string, path: OptionPath, offset: number, taken: object): boolean {
    const isTwice = Object.hasOwn(taken, name);
    if (name !== '__proto__' && !isTwice) return true;
    this.problems.push({
      path: [...path, name],
      position: this.at(offset),
      text: isTwice ? 'is there twice' : 'is not a name that can be used',
    });
    return false;
  }

  positionOf(path: OptionPath): Position | undefined {
    for (let length = path.length; length >= 0; length -= 1) {
      const position = this.#positions.get(JSON.stringify(path.slice(0, length)));
      if (position !== undefined) return position;
    }
    return undefined;
  }
}

function parseYaml(text: string, content: ContentBuilder): unknown {
  const document = parseDocument(text, {
    version: '1.2',
    schema: 'core',
    merge: false,
    strict: true,
    stringKeys: true,
    prettyErrors: false,
    uniqueKeys: false,
  });
  // A warning tells of something that would be ignored, such as an unknown tag.
  const faults: YAMLError[] = [...document.errors, ...document.warnings];
  for (const fault of faults) {
    content.refuse(fault.pos[0], YAML_FAULTS[fault.code] ?? 'is not valid YAML here');
  }
  return document.errors.length > 0 ? undefined : fromYaml(document.contents, [], 0, document, content);
}

const BAD_ALIAS = 'an alias (`*name`) has no anchor before it; a text that begins with `*` needs quotes';

/** The parser's own messages quote the text, which may be a key. */
const YAML_FAULTS: Readonly<Record<string, string>> = {
  BAD_ALIAS,
  BAD_DQ_ESCAPE: 'a backslash in double quotes does not form an escape; single quotes take it as it is',
  BAD_INDENT: 'the indentation does not fit the lines above, or a bracket is not closed',
  BAD_SCALAR_START: 'a text begins with a character that YAML reserves; put it in quotes',
  BLOCK_AS_IMPLICIT_KEY:
    'a mapping begins where none can; is the next line indented too far, or are quotes missing?',
  MISSING_CHAR: 'a closing quote, bracket, comma or colon is missing',
  MULTILINE_IMPLICIT_KEY: 'a name goes over several lines; is a colon missing?',
  MULTIPLE_DOCS: 'a second document begins here (`---`); a configuration is one',
  NON_STRING_KEY: 'a name must be plain text',
  RESOURCE_EXHAUSTION: 'the brackets are nested too deeply',
  TAB_AS_INDENT: 'a tab cannot indent; use blanks',
  TAG_RESOLVE_FAILED: 'tags (`!name`) are not supported; a text that begins with `!` needs quotes',
  UNEXPECTED_TOKEN:
    'something stands here that YAML does not expect; is an indentation, a colon or a quote wrong?',
};

function fromYaml(
  node: unknown,
  path: OptionPath,
  offset: number,
  document: Document,
  content: ContentBuilder,
): unknown {
  const start = rangeStart(node) ?? offset;
  content.enter(path, path.length === 0 || typeof path.at(-1) === 'number' ? start : offset);
  if (isAlias(node)) {
    content.enterAlias();
    const target = node.resolve(document);
    if (target === undefined) content.refuse(start, BAD_ALIAS);
    return fromYaml(target, path, start, document, content);
  }
  if (isSeq(node))
    return node.items.map((item, index) => fromYaml(item, [...path, index], start, document, content));
  if (!isMap(node)) return isScalar(node) ? node.value : null;
  const object: Record<string, unknown> = {};
  for (const { key, value } of node.items) {
    const nameNode: unknown = isAlias(key) ? key.resolve(document) : key;
    const name = isScalar(nameNode) ? String(nameNode.value) : '';
    const at = rangeStart(key) ?? start;
    if (content.accepts(name, path, at, object))
      object[name] = fromYaml(value, [...path, name], at, document, content);
  }
  return object;
}

function rangeStart(node: unknown): number | undefined {
  return isAlias(node) || isScalar(node) || isMap(node) || isSeq(node) ? node.range?.[0] : undefined;
}

function parseJson(text: string, isLenient: boolean, content: ContentBuilder): unknown {
  const errors: ParseError[] = [];
  const options: ParseOptions = {
    disallowComments: !isLenient,
    allowTrailingComma: isLenient,
    allowEmptyContent: true,
  };
  const tree = parseTree(text, errors, options);
  for (const error of errors) {
    const name = printParseErrorCode(error.error);
    content.refuse(error.offset, JSON_FAULTS[name] ?? 'is not valid JSON here');
  }
  return tree === undefined || errors.length > 0 ? undefined : fromJson(tree, [], tree.offset, content);
}

const JSON_FAULTS: Readonly<Record<string, string>> = {
  InvalidCommentToken: 'comments are not allowed in .json; name the file .jsonc',
  InvalidSymbol: 'a word stands here that JSON does not know; is a quote missing?',
  PropertyNameExpected: 'a name in double quotes is expected; is there a comma too many?',
  ValueExpected: 'a value is expected; is there a comma too many?',
  ColonExpected: 'a colon is expected',
  CommaExpected: 'a comma is missing',
  CloseBraceExpected: 'a closing `}` is missing',
  CloseBracketExpected: 'a closing `]` is missing',
  EndOfFileExpected: 'the content ended before this',
  UnexpectedEndOfString: 'a closing quote is missing',
};

function fromJson(node: JsonNode, path: OptionPath, offset: number, content: ContentBuilder): unknown {
  content.enter(path, offset);
  const children = node.children ?? [];
  if (node.type === 'array')
    return children.map((child, index) => fromJson(child, [...path, index], child.offset, content));
  if (node.type !== 'object') return node.value;
  const object: Record<string, unknown> = {};
  for (const { children: [key, value] = [] } of children) {
    if (key === undefined || value === undefined) continue;
    const name = String(key.value);
    if (content.accepts(name, path, key.offset, object))
      object[name] = fromJson(value, [...path, name], key.offset, content);
  }
  return object;
}
