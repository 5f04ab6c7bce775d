/** Adds and removes keys in the text of a configuration file; comments and everything else stay. Pure. */
import { isDeepStrictEqual } from 'node:util';
import { applyEdits, modify } from 'jsonc-parser';
import type { Document } from 'yaml';
import { isMap, isSeq, parseDocument } from 'yaml';
import type { FileKey } from '../config/file-content.js';
import type { SourceFormat } from '../config/source-text.js';

/** An entry of `providers.<name>.keys`. */
export type KeyEntry = Pick<FileKey, 'id' | 'value' | 'priority' | 'weight' | 'bucket'>;

export interface EditedPlace {
  readonly provider: string;
  /** How many keys the file gives to the provider now. */
  readonly keys: number;
}

export function withKeyAdded(
  text: string,
  format: SourceFormat,
  { provider, keys }: EditedPlace,
  entry: KeyEntry,
): string {
  if (format !== 'yaml') {
    const path = ['providers', provider, 'keys'];
    return keys === 0 ? jsonWith(text, path, [entry]) : jsonWith(text, [...path, keys], entry);
  }
  return yamlWith(text, (document) => {
    const path: string[] = [];
    for (const step of ['providers', provider]) {
      path.push(step);
      // `finnhub:` alone is a provider too.
      if (!isMap(document.getIn(path))) document.setIn(path, document.createNode({}));
    }
    path.push('keys');
    if (isSeq(document.getIn(path)) && keys > 0)
      document.addIn(path, document.createNode(entry, { flow: true }));
    else {
      const list = document.createNode<unknown[]>([]);
      list.add(document.createNode(entry, { flow: true }));
      document.setIn(path, list);
    }
  });
}

/** `index` is the place of the key among those of its provider. */
export function withKeyRemoved(
  text: string,
  format: SourceFormat,
  { provider, keys }: EditedPlace,
  index: number,
): string {
  const list = ['providers', provider, 'keys'];
  const path = keys === 1 ? list : [...list, index];
  if (format !== 'yaml') return jsonWith(text, path, undefined);
  return yamlWith(text, (document) => void document.deleteIn(path));
}

/** The key at `index` among those of its provider has its value somewhere else. */
export function withKeyValue(
  text: string,
  format: SourceFormat,
  { provider, index }: { readonly provider: string; readonly index: number },
  value: string,
): string {
  const path = ['providers', provider, 'keys', index, 'value'];
  if (format !== 'yaml') return jsonWith(text, path, value);
  return yamlWith(text, (document) => void document.setIn(path, value));
}

/** The library writes the whole document anew, in its own manner; only lines that the change is about are taken from it. */
function yamlWith(text: string, change: (document: Document) => void): string {
  const document = parseDocument(text) as Document;
  const before = linesOf(document);
  change(document);
  const after = linesOf(document);
  const own = text.split('\n');
  if (own.length !== before.length) return after.join('\n');
  const [start, end] = [commonStart(before, after), commonEnd(before, after)];
  const merged = [
    ...own.slice(0, start),
    ...after.slice(start, after.length - end),
    ...own.slice(own.length - end),
  ];
  const written = merged.join('\n');
  return isDeepStrictEqual(parseDocument(written).toJS(), document.toJS()) ? written : after.join('\n');
}

function linesOf(document: Document): string[] {
  return document.toString({ lineWidth: 0 }).split('\n');
}

function commonStart(a: readonly string[], b: readonly string[]): number {
  let count = 0;
  while (count < Math.min(a.length, b.length) && a[count] === b[count]) count += 1;
  return count;
}

function commonEnd(a: readonly string[], b: readonly string[]): number {
  const most = Math.min(a.length, b.length) - commonStart(a, b);
  let count = 0;
  while (count < most && a.at(-1 - count) === b.at(-1 - count)) count += 1;
  return count;
}

function jsonWith(text: string, path: (string | number)[], value: unknown): string {
  const formattingOptions = { insertSpaces: true, tabSize: 2, eol: '\n' };
  return applyEdits(text, modify(text, path, value, { formattingOptions }));
}
