/** What goes to the terminal, and how: results on stdout, everything else on stderr. */
import pc from 'picocolors';
import { readsLikeName } from '../config/plain-names.js';
import { KeymuxError } from '../core/errors.js';
import type { LabelledSecret } from '../core/redaction.js';
import { createRedactor } from '../core/redaction.js';
import { joinRedaction, redactKnown } from '../manager/process-redaction.js';
import { rootOf } from './exit-codes.js';

export type Colours = ReturnType<typeof pc.createColors>;

export interface ColourTarget {
  readonly isTTY?: boolean;
}

/** `NO_COLOR` wins, then `FORCE_COLOR`; otherwise only a terminal that can show colours gets any. */
export function usesColour(target: ColourTarget, env: Readonly<Record<string, string | undefined>>): boolean {
  const { NO_COLOR: no = '', FORCE_COLOR: force = '', TERM: terminal } = env;
  if (no !== '') return false;
  if (force !== '') return force !== '0' && force !== 'false';
  return target.isTTY === true && terminal !== 'dumb';
}

export function coloursFor(target: ColourTarget): Colours {
  return pc.createColors(usesColour(target, process.env));
}

/** Columns that a line on stdout may take; a pipe has no end. */
export function stdoutColumns(): number {
  return process.stdout.isTTY ? Math.max(1, process.stdout.columns) : Number.POSITIVE_INFINITY;
}

let readSecrets: () => readonly LabelledSecret[] = () => [];
let hasJoined = false;
const redact = (text: string): string => createRedactor(readSecrets()).redact(text);

/**
 * From now on, these stand in no chatter, warning or error, whoever worded it: the error of a library may quote the
 * address that it was asked for. `read` is called with each message, so that it may tell of keys that were added.
 */
export function hideSecrets(read: () => readonly LabelledSecret[]): void {
  readSecrets = read;
  // Some commands are modules of their own, with a copy of this one; the error that ends them is told by the main one.
  if (!hasJoined) joinRedaction(redact);
  hasJoined = true;
}

function tell(text: string): void {
  process.stderr.write(redactKnown(text));
}

/** The result of a command. */
export function print(text: string): void {
  process.stdout.write(`${text}\n`);
}

/** The result of a command with `--json`: one document, never in colour. */
export function printJson(value: unknown): void {
  print(JSON.stringify(value, null, 2));
}

/** Chatter, which is no result. */
export function note(text: string): void {
  tell(`keymux: ${text}\n`);
}

/** Something to know that stops nothing. */
export function warn(message: string, fix: string): void {
  const colours = coloursFor(process.stderr);
  tell(`${colours.yellow('keymux:')} ${message}\n${colours.bold('fix:')} ${fix}\n`);
}

/** Never a stack, unless `KEYMUX_DEBUG=1`; never the cause's text, which may hold what a command printed. */
export function printError(error: unknown): void {
  const root = rootOf(error);
  const colours = coloursFor(process.stderr);
  const message = root instanceof Error ? root.message : String(root);
  const fix =
    root instanceof KeymuxError
      ? `${root.fix} (${root.code})`
      : 'This should not have happened: run it again with KEYMUX_DEBUG=1 and report what it says.';
  tell(`${colours.red('keymux:')} ${message}\n${colours.bold('fix:')} ${fix}\n`);
  if (process.env['KEYMUX_DEBUG'] !== '1' || !(error instanceof Error)) return;
  tell(`${error.stack ?? ''}\n`);
}

/** What was typed, as a message may repeat it: somebody may have pasted a key. */
export function typed(text: string): string {
  const isName = text.split('/').every((part) => readsLikeName(part.replace(/^-{1,2}/, '')));
  return isName ? `"${text}"` : 'this (not shown, it may be a key)';
}
