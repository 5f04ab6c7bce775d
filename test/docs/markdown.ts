/** What the documentation's tests need of Markdown: its links, the anchors of its headings, and its code. */

export interface CodeBlock {
  /** What stands behind the fence, such as `ts run`. */
  readonly info: string;
  readonly text: string;
  /** Of its fence, from 1. */
  readonly line: number;
}

const FENCE = /^ {0,3}```(.*)$/;

/** The blocks between fences, and the lines outside of them (those within are empty). */
export function splitCode(markdown: string): {
  readonly blocks: readonly CodeBlock[];
  readonly prose: string;
} {
  const blocks: CodeBlock[] = [];
  const prose: string[] = [];
  let open: { info: string; line: number; text: string[] } | undefined;
  for (const [index, line] of markdown.split('\n').entries()) {
    const [, info] = FENCE.exec(line) ?? [];
    if (open === undefined && info === undefined) {
      prose.push(line);
      continue;
    }
    prose.push('');
    if (open === undefined) open = { info: (info ?? '').trim(), line: index + 1, text: [] };
    else if (info === undefined) open.text.push(line);
    else {
      blocks.push({ ...open, text: open.text.join('\n') });
      open = undefined;
    }
  }
  return { blocks, prose: prose.join('\n') };
}

/** The targets of all links, but not of what only looks like one within code. */
export function linksOf(markdown: string): readonly string[] {
  const text = splitCode(markdown).prose.replace(/`[^`\n]*`/g, '``');
  return [...text.matchAll(/\]\(\s*<?([^)\s>]+)>?[^)]*\)/g)].map(([, target = '']) => target);
}

/** As GitHub makes them. */
export function anchorsOf(markdown: string): ReadonlySet<string> {
  const seen = new Map<string, number>();
  const anchors = new Set<string>();
  for (const [, heading = ''] of splitCode(markdown).prose.matchAll(/^#{1,6} +(.*?) *#*$/gm)) {
    const slug = slugOf(heading);
    const count = seen.get(slug) ?? 0;
    seen.set(slug, count + 1);
    anchors.add(count === 0 ? slug : `${slug}-${String(count)}`);
  }
  return anchors;
}

function slugOf(heading: string): string {
  return heading
    .replace(/\[([^\]]*)\]\([^)]*\)/g, '$1')
    .toLowerCase()
    .replace(/[^\p{L}\p{N}\s_-]/gu, '')
    .trim()
    .replace(/\s/g, '-');
}
