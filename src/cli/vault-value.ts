/** Where the value of an entry comes from: never from an argument, which every process of the machine can see. */
import { readFileSync, statSync } from 'node:fs';
import { text } from 'node:stream/consumers';
import { systemCodeOf } from '../config/environment.js';
import { vaultUsage } from '../config/vault-errors.js';
import { askHidden, hasTerminal } from './vault-prompt.js';

const LARGEST_FILE_BYTES = 262_144;

/** Without the line break at its end. @throws `KEYMUX_USAGE` */
export async function readValue(name: string, file: string | undefined): Promise<string> {
  const value =
    file === undefined
      ? hasTerminal()
        ? await askHidden(`Value of ${name}`)
        : await text(process.stdin)
      : readFile(file);
  return value.replace(/\r?\n$/, '');
}

function readFile(path: string): string {
  try {
    const stat = statSync(path);
    if (!stat.isFile() || stat.size > LARGEST_FILE_BYTES)
      throw vaultUsage(
        '--from-file names no regular file of at most 256 KiB.',
        'Name the file with the value.',
      );
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(readFileSync(path));
  } catch (error) {
    if (error instanceof Error && 'fix' in error) throw error;
    if (error instanceof TypeError)
      throw vaultUsage('The file holds no text.', 'Encode it, such as with base64.');
    throw vaultUsage(`--from-file cannot be read (${systemCodeOf(error)}).`, 'Name the file with the value.');
  }
}
