import { cutToWidth, displayWidth, printable } from './display-width.js';

export interface Column {
  readonly title: string;
  readonly align?: 'right';
  /** Where the room is short, the column with the highest number goes first; absent, it stays. */
  readonly dropOrder?: number;
}

export interface Cell {
  readonly text: string;
  /** Applied after the text was cut and padded. */
  readonly paint?: (text: string) => string;
}

const GAP = '  ';
const NARROWEST_COLUMN = 8;

/**
 * Lines of a table that fits into `columns`: first whole columns are left out, then the widest are cut. Without rows
 * there is nothing.
 */
export function renderTable(
  heads: readonly Column[],
  rows: readonly (readonly Cell[])[],
  columns: number,
): string[] {
  if (rows.length === 0) return [];
  const texts = rows.map((row) => row.map((cell) => ({ ...cell, text: printable(cell.text) })));
  let shown = heads.map((head, index) => ({
    head,
    index,
    width: Math.max(displayWidth(head.title), ...texts.map((row) => displayWidth(row[index]?.text ?? ''))),
  }));
  // A column in which nothing stands tells nothing.
  shown = shown.filter(({ index }) => texts.some((row) => (row[index]?.text ?? '') !== ''));
  while (totalOf(shown) > columns) {
    const last = shown.reduce((a, b) => ((b.head.dropOrder ?? 0) > (a.head.dropOrder ?? 0) ? b : a));
    if (last.head.dropOrder === undefined) break;
    shown = shown.filter((column) => column !== last);
  }
  while (totalOf(shown) > columns) {
    const widest = shown.reduce((a, b) => (b.width > a.width ? b : a));
    if (widest.width <= NARROWEST_COLUMN) break;
    widest.width -= 1;
  }
  const line = (cellOf: (index: number, title: string) => Cell): string =>
    shown
      .map(({ head, index, width }) => padded(cellOf(index, head.title), width, head.align))
      .join(GAP)
      .trimEnd();
  return [
    line((_, title) => ({ text: title })),
    ...texts.map((row) => line((index) => row[index] ?? { text: '' })),
  ];
}

function totalOf(shown: readonly { readonly width: number }[]): number {
  return shown.reduce((sum, { width }) => sum + width, GAP.length * (shown.length - 1));
}

function padded({ text, paint }: Cell, width: number, align: Column['align']): string {
  const cut = cutToWidth(text, width);
  const room = ' '.repeat(Math.max(0, width - displayWidth(cut)));
  const shown = paint === undefined ? cut : paint(cut);
  return align === 'right' ? room + shown : shown + room;
}
