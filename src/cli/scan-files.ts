/** Which files a scan reads, and how. */
import { spawn } from 'node:child_process';
import { createReadStream, lstatSync } from 'node:fs';
import { readdir } from 'node:fs/promises';
import { basename, dirname, join, relative, resolve, sep } from 'node:path';
import { KeymuxError } from '../core/errors.js';
import { typed } from './terminal.js';

export interface ScannedFile {
  /** Absolute. */
  readonly path: string;
  open(): AsyncIterable<Uint8Array>;
}

/** Git's own folder, and what others wrote; with `--all` only the former is left out. */
const ALWAYS_SKIPPED = '.git';
const USUALLY_SKIPPED = 'node_modules';

/**
 * Files of a folder, or the one file: in a repository those that git tracks and those it would not ignore, else all but
 * `node_modules`. With `all` every file but `.git`. Links are not followed.
 */
export async function filesAt(path: string, all: boolean): Promise<ScannedFile[]> {
  const stats = lstatSync(path, { throwIfNoEntry: false });
  if (stats === undefined)
    throw new KeymuxError('KEYMUX_USAGE', `There is no file or folder ${typed(path)}.`, {
      fix: 'Name what is there, or nothing for this folder.',
    });
  if (!stats.isDirectory()) return [fileOf(resolve(path))];
  const folder = resolve(path);
  const listed = all ? undefined : await listedByGit(folder);
  const paths = listed ?? (await walk(folder, all));
  return paths.filter(isFile).map(fileOf);
}

/** What the next commit would hold of the files at these paths, as it is in the index. */
export async function stagedFiles(paths: readonly string[], cwd: string): Promise<ScannedFile[]> {
  const root = (await git(['rev-parse', '--show-toplevel'], cwd))?.replace(/\n$/, '');
  const changed = [
    'diff',
    '--cached',
    '--name-only',
    '-z',
    '--no-renames',
    '--diff-filter=ACMT',
    '--no-ext-diff',
  ];
  const names =
    root === undefined
      ? undefined
      : await git([...changed, '--', ...paths.map((path) => relativeTo(root, resolve(cwd, path)))], root);
  if (root === undefined || names === undefined)
    throw new KeymuxError(
      'KEYMUX_USAGE',
      '--staged reads the index of a git repository, and there is none here.',
      {
        fix: 'Run it in a repository with git installed, or without --staged.',
      },
    );
  return namesIn(names).map((name) => ({ path: join(root, name), open: () => blob(name, root) }));
}

function relativeTo(root: string, path: string): string {
  const below = relative(root, path);
  return below === '' ? '.' : below;
}

function fileOf(path: string): ScannedFile {
  return { path, open: () => createReadStream(path, { highWaterMark: 1 << 18 }) };
}

function isFile(path: string): boolean {
  return lstatSync(path, { throwIfNoEntry: false })?.isFile() === true;
}

async function listedByGit(folder: string): Promise<string[] | undefined> {
  const names = await git(['ls-files', '-z', '--cached', '--others', '--exclude-standard'], folder);
  return names === undefined ? undefined : namesIn(names).map((name) => join(folder, name));
}

function namesIn(list: string): string[] {
  return [...new Set(list.split('\0'))].filter((name) => name !== '');
}

async function walk(folder: string, all: boolean): Promise<string[]> {
  const entries = await readdir(folder, { withFileTypes: true });
  const below = await Promise.all(
    entries.map(async (entry) => {
      const path = join(folder, entry.name);
      if (!entry.isDirectory()) return [path];
      const isSkipped = entry.name === ALWAYS_SKIPPED || (!all && entry.name === USUALLY_SKIPPED);
      return isSkipped ? [] : walk(path, all);
    }),
  );
  return below.flat();
}

/** A repository may name programs that git runs to look at its files. None is run. */
const INERT = ['-c', 'core.fsmonitor=false', '-c', 'core.hooksPath=/dev/null'];

/** What git says; undefined where it is not installed, or refuses. */
async function git(args: readonly string[], cwd: string): Promise<string | undefined> {
  const child = spawn('git', [...INERT, ...args], { cwd, stdio: ['ignore', 'pipe', 'ignore'] });
  let said = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => (said += text));
  const code = await new Promise((done) => {
    child.once('error', done);
    child.once('close', done);
  });
  return code === 0 ? said : undefined;
}

async function* blob(name: string, root: string): AsyncGenerator<Uint8Array> {
  const child = spawn('git', [...INERT, 'cat-file', 'blob', `:${name}`], {
    cwd: root,
    stdio: ['ignore', 'pipe', 'ignore'],
  });
  const ended = new Promise((done) => {
    child.once('error', done);
    child.once('close', done);
  });
  for await (const chunk of child.stdout) yield chunk as Buffer;
  const code = await ended;
  if (code !== 0) throw new Error(`git gives no ${basename(name)} (${String(code)})`);
}

/** The folder whose `.keymuxignore` counts: that of the repository, else the path itself. */
export async function rootOfScan(path: string): Promise<string> {
  const stats = lstatSync(path, { throwIfNoEntry: false });
  const folder = stats?.isDirectory() === true ? resolve(path) : dirname(resolve(path));
  const root = await git(['rev-parse', '--show-toplevel'], folder);
  return root === undefined ? folder : root.replace(/\n$/, '');
}

/** As messages and ignore files name it: with `/`, from a folder if it is in there. */
export function pathFrom(folder: string, path: string): string {
  const below = relative(folder, path);
  return (below.startsWith('..') ? path : below).split(sep).join('/');
}
