// What is in the tarball, and how much of it there is.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { publint } from 'publint';
import { formatMessage } from 'publint/utils';
import { npm } from './processes.mjs';

/** More than this is no accident of one feature: look at what came in, then raise it. Bytes. */
const LARGEST_TARBALL = 2.25 * 2 ** 20;
const LARGEST_UNPACKED = 8 * 2 ** 20;
const INSTALL_HOOKS = ['preinstall', 'install', 'postinstall'];

/** Packs `root` into `folder`: what npm says of the tarball, and its `path`. */
export async function pack(root, folder) {
  const args = ['pack', '--json', '--ignore-scripts', '--pack-destination', folder];
  const [packed] = JSON.parse(await npm(args, root));
  return { ...packed, path: join(folder, packed.filename) };
}

export function sizeOf({ filename, size, unpackedSize, entryCount }) {
  const bounds = `at most ${kilobytes(LARGEST_TARBALL)} and ${kilobytes(LARGEST_UNPACKED)}`;
  return `${filename}: ${kilobytes(size)} packed, ${kilobytes(unpackedSize)} unpacked in ${entryCount} files (${bounds})`;
}

export function requireBoundedSize({ size, unpackedSize }) {
  requireAtMost('the tarball', size, LARGEST_TARBALL);
  requireAtMost('the unpacked package', unpackedSize, LARGEST_UNPACKED);
}

function requireAtMost(what, bytes, most) {
  if (bytes > most)
    throw new Error(`${what} has ${kilobytes(bytes)}, at most ${kilobytes(most)} are allowed`);
}

function kilobytes(bytes) {
  return `${(bytes / 1024).toFixed(0)} kB`;
}

export function requireContents({ files }, manifest, entryFiles) {
  const paths = files.map((file) => file.path);
  const needed = ['README.md', 'LICENSE', 'CHANGELOG.md', ...Object.values(manifest.bin), ...entryFiles];
  const missing = needed.map((path) => path.replace(/^\.\//, '')).filter((path) => !paths.includes(path));
  if (missing.length > 0) throw new Error(`missing: ${missing.join(', ')}`);
  const unwanted = paths.filter((path) =>
    /^(src|test|scripts|bench|coverage)\/|tsbuildinfo|\.env/.test(path),
  );
  if (unwanted.length > 0) throw new Error(`unwanted: ${unwanted.join(', ')}`);
  const hooks = INSTALL_HOOKS.filter((name) => name in manifest.scripts);
  if (hooks.length > 0) throw new Error(`runs scripts when it is installed: ${hooks.join(', ')}`);
}

export async function requireCleanPublint({ path }) {
  const data = readFileSync(path);
  const { messages, pkg } = await publint({
    strict: true,
    pack: { tarball: data.buffer.slice(data.byteOffset, data.byteOffset + data.byteLength) },
  });
  if (messages.length > 0) throw new Error(messages.map((message) => formatMessage(message, pkg)).join('\n'));
}
