import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { systemCodeOf } from '../config/environment.js';
import { KeymuxError } from '../core/errors.js';

export const IGNORE_FILE = '.keymuxignore';

export interface Ignored {
  /** By its path from the folder of the ignore file, with `/`. */
  file(path: string): boolean;
  fingerprint(fingerprint: string): boolean;
}

const FINGERPRINT = /^[0-9a-f]{12}$/;

/**
 * What `.keymuxignore` of a folder lists, one on a line; `#` begins a remark. A fingerprint; or a path, in which `*`
 * stands for any letters but `/` and `**` for any at all: of a file, or of a folder with all in it. Without a `/` in it,
 * it may stand anywhere below.
 */
export function readIgnored(folder: string): Ignored {
  const lines = linesOf(join(folder, IGNORE_FILE));
  const fingerprints = new Set(lines.filter((line) => FINGERPRINT.test(line)));
  const paths = lines.filter((line) => !FINGERPRINT.test(line)).map(patternOf);
  return {
    file: (path) => paths.some((pattern) => pattern.test(path)),
    fingerprint: (fingerprint) => fingerprints.has(fingerprint),
  };
}

function linesOf(file: string): string[] {
  let text: string;
  try {
    text = readFileSync(file, 'utf8');
  } catch (error) {
    const code = systemCodeOf(error);
    if (code === 'ENOENT' || code === 'ENOTDIR') return [];
    throw new KeymuxError('KEYMUX_CONFIG_UNREADABLE', `${file} cannot be read (${code}).`, {
      fix: 'Let this user read it, or remove it.',
    });
  }
  return text
    .split('\n')
    .map((line) => line.trim())
    .filter((line) => line !== '' && !line.startsWith('#'));
}

function patternOf(line: string): RegExp {
  const path = line.replace(/\/+$/, '');
  const anywhere = path.includes('/') ? '' : '(?:.*/)?';
  const pattern = path
    .replace(/^\//, '')
    .split(/(\*\*\/?|\*)/)
    .map((part) =>
      part === '*' ? '[^/]*' : part.startsWith('**') ? '.*' : part.replaceAll(/[\\^$.|?+()[\]{}]/g, '\\$&'),
    )
    .join('');
  return new RegExp(`^${anywhere}${pattern}(?:/|$)`);
}
