/** How wide text stands on a terminal: an ideograph takes two columns, a combining mark none. */
import { stripVTControlCharacters } from 'node:util';

const graphemes = new Intl.Segmenter('en', { granularity: 'grapheme' });

const INVISIBLE = /^[\p{Mark}\p{Control}\p{Format}]+$/u;
/** Shown as a picture: by itself, or as the variation selector asks. */
const PICTURE = /\p{Emoji_Presentation}|\uFE0F/u;
/** The ranges of East Asian Width `W` and `F` that hold letters. */
const WIDE =
  /^[\u1100-\u115F\u2E80-\u303E\u3041-\u33FF\u3400-\u4DBF\u4E00-\u9FFF\uA000-\uA4CF\uA960-\uA97F\uAC00-\uD7A3\uF900-\uFAFF\uFE30-\uFE6F\uFF00-\uFF60\uFFE0-\uFFE6\u{1B000}-\u{1B2FF}\u{20000}-\u{3FFFD}]/u;

function widthOf(grapheme: string): number {
  if (INVISIBLE.test(grapheme)) return 0;
  return PICTURE.test(grapheme) || WIDE.test(grapheme) ? 2 : 1;
}

/** Columns that `text` takes; escape sequences take none. */
export function displayWidth(text: string): number {
  let width = 0;
  for (const { segment } of graphemes.segment(stripVTControlCharacters(text))) width += widthOf(segment);
  return width;
}

/** Cuts plain text (no escape sequences) to `columns`, and says so with `…`. */
export function cutToWidth(text: string, columns: number): string {
  if (displayWidth(text) <= columns) return text;
  let kept = '';
  let width = 0;
  for (const { segment } of graphemes.segment(text)) {
    width += widthOf(segment);
    if (width > columns - 1) break;
    kept += segment;
  }
  return columns < 1 ? '' : `${kept}…`;
}

/** Text from elsewhere as it may stand on a terminal: what would steer the terminal is taken out. */
export function printable(text: string): string {
  return stripVTControlCharacters(text).replaceAll(/\p{Control}+/gu, ' ');
}
