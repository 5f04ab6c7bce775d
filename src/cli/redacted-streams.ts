/** The output of a child on its way to this process's own, with keys taken out. */
import { Transform } from 'node:stream';
import type { Readable, Writable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { isatty } from 'node:tty';
import type { Redactor } from '../core/redaction.js';

/** stdout and stderr. */
export const OUTPUTS = [1, 2] as const;

export type Output = (typeof OUTPUTS)[number];

/** Terminals are left alone: a program behaves otherwise where it has none, and people see what they typed. */
export function isRedacted(output: Output): boolean {
  return !isatty(output);
}

/**
 * Passes everything on until the source ends; resolves then, also where nobody reads any more. No more is held than
 * streams hold, and what may be the beginning of a key.
 */
export async function passRedacted(source: Readable, output: Output, redactor: Redactor): Promise<void> {
  const target: Writable = output === 1 ? process.stdout : process.stderr;
  // A reader that has seen enough ends the program, by what it writes next, and not this process.
  target.removeAllListeners('error').on('error', () => {});
  try {
    await pipeline(source, redacting(redactor), target, { end: false });
  } catch {
    source.destroy();
  }
}

function redacting(redactor: Redactor): Transform {
  const stream = redactor.stream();
  return new Transform({
    transform(chunk: Buffer, _encoding, done) {
      done(null, stream.push(chunk));
    },
    flush(done) {
      done(null, stream.end());
    },
  });
}
