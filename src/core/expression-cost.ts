/**
 * Whether an expression may take time out of all proportion to the text: a repetition without end that stands
 * within another repetition, such as `(a+)+` or `(?:x*,){5}`, can divide a text among the two in countless ways. Says
 * yes to some that are harmless: `(?:a+,)+` can only be divided in one way.
 */
export function repeatsWithinRepetition(source: string): boolean {
  // For each group that is open: whether a repetition without end stood before it.
  const before: boolean[] = [];
  let isEndless = false;
  for (const [token] of source.matchAll(TOKENS)) {
    if (token.startsWith('(')) {
      before.push(isEndless);
      isEndless = false;
    } else if (token.startsWith(')')) {
      const repetition = token.slice(1);
      if (repetition !== '' && isEndless) return true;
      const wasEndless = before.pop() === true;
      isEndless ||= wasEndless || ENDLESS.test(repetition);
    } else {
      isEndless ||= ENDLESS.test(token);
    }
  }
  return false;
}

/** Escapes and classes are passed over, so that their characters count for nothing. */
const TOKENS =
  /\\.|\[(?:\\.|[^\]\\])*\]|\((?:\?(?:[:=!]|<[=!]|<\w+>))?|\)(?:[*+]|\{\d+(?:,\d*)?\})?|[*+]|\{\d+,\}/gs;
const ENDLESS = /^(?:[*+]|\{\d+,\})$/;
