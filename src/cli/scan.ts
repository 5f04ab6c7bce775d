import type { Command } from 'commander';
import { systemCodeOf } from '../config/environment.js';
import { KeymuxError } from '../core/errors.js';
import { createRedactor } from '../core/redaction.js';
import { readConfiguration } from '../manager/discovery.js';
import { catalogue } from '../providers/catalogue.js';
import { EXIT } from './exit-codes.js';
import { secretsOf } from './run-redactor.js';
import type { FoundKey, Knowledge } from './scan-content.js';
import { findKeys } from './scan-content.js';
import { filesAt, pathFrom, rootOfScan, stagedFiles } from './scan-files.js';
import type { ScannedFile } from './scan-files.js';
import { IGNORE_FILE, readIgnored } from './scan-ignore.js';
import type { Ignored } from './scan-ignore.js';
import { note, print, printJson, warn } from './terminal.js';

interface ScanOptions {
  readonly staged?: true;
  readonly all?: true;
  readonly json?: true;
}

interface Leak extends FoundKey {
  readonly path: string;
}

export function registerScan(program: Command): void {
  program
    .command('scan')
    .summary('find keys in files')
    .description(
      'Finds keys in files: those of this configuration in every encoding, and others by what they look like. Never prints one.',
    )
    .argument('[paths...]', 'files and folders; default: this folder')
    .option('--staged', 'what the next commit would hold, for a pre-commit hook')
    .option('--all', 'also what git ignores, and node_modules')
    .option('--json', 'one JSON document')
    .action(scan);
}

async function scan(paths: readonly string[], options: ScanOptions): Promise<void> {
  if (options.staged === true && options.all === true)
    throw new KeymuxError('KEYMUX_USAGE', '--staged reads the index, --all reads folders.', {
      fix: 'Leave one of them out.',
    });
  const places = paths.length === 0 ? ['.'] : paths;
  const root = await rootOfScan(places[0] ?? '.');
  const ignored = readIgnored(root);
  const files =
    options.staged === true
      ? await stagedFiles(paths, process.cwd())
      : (await Promise.all(places.map((path) => filesAt(path, options.all === true)))).flat();
  const wanted = unique(files).filter(({ path }) => !ignored.file(pathFrom(root, path)));
  const { leaks, unreadable } = await searchAll(wanted, knowledge(), ignored);
  tell(leaks, wanted.length, unreadable, options.json === true);
  if (leaks.length > 0) process.exitCode = EXIT.leak;
  else if (unreadable.length > 0) process.exitCode = EXIT.failure;
}

/** Without a configuration that can be read, keys are found by their looks alone. */
function knowledge(): Knowledge {
  const variables = new Map<string, string>();
  for (const { id, env } of catalogue.values()) for (const name of env) variables.set(name, id);
  try {
    const configuration = readConfiguration({});
    for (const { id, env } of configuration.providers.values())
      for (const name of env) variables.set(name, id);
    const redactor = createRedactor(secretsOf(configuration));
    if (redactor.left.length > 0)
      warn(
        `Not looked for, since it would be found by chance anywhere: ${redactor.left.join(', ')}.`,
        'Ask for a longer key.',
      );
    return { redactor, variables };
  } catch (error) {
    if (!(error instanceof KeymuxError)) throw error;
    warn(`Keys of the configuration are not looked for. ${error.message}`, `${error.fix} (${error.code})`);
    return { redactor: createRedactor([]), variables };
  }
}

interface Searched {
  readonly leaks: readonly Leak[];
  /** Paths, with why. */
  readonly unreadable: readonly string[];
}

async function searchAll(
  files: readonly ScannedFile[],
  known: Knowledge,
  ignored: Ignored,
): Promise<Searched> {
  const leaks: Leak[] = [];
  const unreadable: string[] = [];
  const cwd = process.cwd();
  for (const file of files) {
    const path = pathFrom(cwd, file.path);
    try {
      for (const found of await findKeys(file.open(), known)) {
        if (found.fingerprint === undefined || !ignored.fingerprint(found.fingerprint))
          leaks.push({ path, ...found });
      }
    } catch (error) {
      unreadable.push(`${path} (${systemCodeOf(error)})`);
    }
  }
  return { leaks, unreadable };
}

const SURE = { known: 'certain', shape: 'likely', name: 'possible' } as const;

function tell(leaks: readonly Leak[], files: number, unreadable: readonly string[], json: boolean): void {
  for (const path of unreadable) warn(`Not searched: ${path}.`, 'Let this user read it, or leave it out.');
  if (json) {
    printJson({ files, unreadable, findings: leaks.map((leak) => ({ ...leak, sure: SURE[leak.how] })) });
    return;
  }
  for (const { path, line, column, provider, how, key, fingerprint } of leaks)
    print(`${path}:${line}:${column}  ${key ?? provider}  ${SURE[how]}  ${fingerprint ?? ''}`.trimEnd());
  if (leaks.length === 0) {
    note(`no key in ${files} ${files === 1 ? 'file' : 'files'}`);
    return;
  }
  warn(
    `${leaks.length} ${leaks.length === 1 ? 'key stands' : 'keys stand'} in files.`,
    `Revoke what others may have seen. What may stay: \`keymux:allow\` on its line, or its path or fingerprint in ${IGNORE_FILE}.`,
  );
}

function unique(files: readonly ScannedFile[]): ScannedFile[] {
  return [...new Map(files.map((file) => [file.path, file])).values()];
}
