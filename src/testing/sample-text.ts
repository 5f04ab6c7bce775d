/** A text that a regular expression accepts: the shortest way through it, first choices first. */
import { KeymuxError } from '../core/errors.js';

interface Cursor {
  readonly source: string;
  at: number;
}

/**
 * Such as `1011` for `^101[1-9]$`. Reads what the catalogue's expressions are made of: choices, groups, classes,
 * repetitions, anchors and looks ahead. Throws `KEYMUX_USAGE` where it finds no text that fits.
 */
export function sampleText(source: string): string {
  const expression = new RegExp(source, 'i');
  const text = choices({ source, at: 0 });
  if (expression.test(text)) return text;
  throw new KeymuxError('KEYMUX_USAGE', `No text was found that /${source}/ accepts`, {
    fix: 'Give the answer yourself: `reply(status, { headers, body })`.',
  });
}

/** All choices are read, and the first is taken. */
function choices(cursor: Cursor): string {
  const first = sequence(cursor);
  while (cursor.source[cursor.at] === '|') {
    cursor.at += 1;
    sequence(cursor);
  }
  return first;
}

function sequence(cursor: Cursor): string {
  let text = '';
  while (cursor.at < cursor.source.length && !'|)'.includes(cursor.source[cursor.at] ?? '')) {
    const atom = oneAtom(cursor);
    text += atom.repeat(leastCount(cursor));
  }
  return text;
}

function oneAtom(cursor: Cursor): string {
  const char = cursor.source[cursor.at] ?? '';
  cursor.at += 1;
  switch (char) {
    case '^':
    case '$':
      return '';
    case '.':
      return 'x';
    case '(':
      return group(cursor);
    case '[':
      return oneOfClass(cursor);
    case '\\':
      return escaped(cursor);
    default:
      return char;
  }
}

function group(cursor: Cursor): string {
  const [opening = ''] = /^\?(?:[:=!]|<[=!]|<\w+>)/.exec(cursor.source.slice(cursor.at)) ?? [];
  cursor.at += opening.length;
  const text = choices(cursor);
  cursor.at += 1;
  const takesNothing = /^\?<?[=!]$/.test(opening);
  return takesNothing ? '' : text;
}

/** The first member; of an excluding class, a letter that is hardly ever excluded. */
function oneOfClass(cursor: Cursor): string {
  const isExcluding = cursor.source[cursor.at] === '^';
  if (isExcluding) cursor.at += 1;
  const first = oneAtom(cursor);
  while (cursor.at < cursor.source.length && cursor.source[cursor.at] !== ']') {
    cursor.at += cursor.source[cursor.at] === '\\' ? 2 : 1;
  }
  cursor.at += 1;
  return isExcluding ? 'x' : first;
}

function escaped(cursor: Cursor): string {
  const char = cursor.source[cursor.at] ?? '';
  cursor.at += 1;
  const classes: Readonly<Record<string, string>> = {
    d: '5',
    w: 'x',
    s: ' ',
    D: 'x',
    W: ' ',
    S: 'x',
    b: '',
    B: '',
  };
  return classes[char] ?? char;
}

function leastCount(cursor: Cursor): number {
  const [found = '', least] = /^(?:[*?+]|\{(\d+)(?:,\d*)?\})\??/.exec(cursor.source.slice(cursor.at)) ?? [];
  cursor.at += found.length;
  if (least !== undefined) return Number(least);
  return found.startsWith('*') || found.startsWith('?') ? 0 : 1;
}
