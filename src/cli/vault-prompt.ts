/** Asks a person in a terminal; what is secret is not shown while it is typed. */
import { createInterface } from 'node:readline/promises';
import { vaultUsage } from '../config/vault-errors.js';
import { KeymuxError } from '../core/errors.js';

const INTERRUPT = '\u0003';
const END = '\u0004';
const SHORTEST_PASSPHRASE = 12;

/** Whether there is somebody to ask. */
export function hasTerminal(): boolean {
  return process.stdin.isTTY && process.stderr.isTTY;
}

/** What became of a line after more was typed. */
export interface TypedLine {
  readonly text: string;
  readonly end?: 'entered' | 'interrupted';
}

/** Backspace and Ctrl-U edit; Enter and Ctrl-D end; Ctrl-C gives up. Other control characters are left out. */
export function typeInto(line: string, typed: string): TypedLine {
  let text = line;
  for (const character of typed) {
    if (character === '\r' || character === '\n' || character === END) return { text, end: 'entered' };
    if (character === INTERRUPT) return { text: '', end: 'interrupted' };
    if (character === '\u007f' || character === '\b') text = [...text].slice(0, -1).join('');
    else if (character === '\u0015') text = '';
    else if (character >= ' ') text += character;
  }
  return { text };
}

/**
 * One line, typed without echo.
 * @throws `KEYMUX_ABORTED` at Ctrl-C, or where the terminal goes away
 */
export async function askHidden(question: string): Promise<string> {
  const { stdin, stderr } = process;
  // Before the question: what is typed at once would be shown.
  stdin.setRawMode(true);
  stderr.write(`${question}: `);
  stdin.setEncoding('utf8');
  try {
    let line = '';
    for await (const chunk of stdin.iterator({ destroyOnReturn: false }) as AsyncIterable<string>) {
      const { text, end } = typeInto(line, chunk);
      if (end === 'entered') return text;
      if (end === 'interrupted') break;
      line = text;
    }
    throw new KeymuxError('KEYMUX_ABORTED', 'Given up; nothing was changed.', { fix: 'Run it again.' });
  } finally {
    stdin.setRawMode(false);
    stdin.pause();
    stderr.write('\n');
  }
}

/** A new passphrase, typed twice. */
export async function askNewPassphrase(): Promise<string> {
  const first = await askHidden('New passphrase of the vault');
  if (first.trim().length < SHORTEST_PASSPHRASE)
    throw vaultUsage(
      `A passphrase of fewer than ${SHORTEST_PASSPHRASE} characters is soon found by trying.`,
      'Take five random words, or keep an identity in a file: --key file:PATH.',
    );
  if ((await askHidden('Once more')) === first) return first.trim();
  throw vaultUsage('The two differ; nothing was changed.', 'Run it again.');
}

/** Whether the answer was `yes`. */
export async function askYes(question: string): Promise<boolean> {
  const dialogue = createInterface({ input: process.stdin, output: process.stderr });
  try {
    const answer = await dialogue.question(`${question} (yes/no) `);
    return /^y(?:es)?$/i.test(answer.trim());
  } finally {
    dialogue.close();
  }
}
