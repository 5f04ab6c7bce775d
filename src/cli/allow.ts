/** `keymux allow`: a configuration file that names addresses or commands does nothing before its user has read it. */
import { homedir } from 'node:os';
import { isAbsolute, resolve } from 'node:path';
import { createInterface } from 'node:readline/promises';
import type { Command } from 'commander';
import { AllowedFiles } from '../config/allowed-files.js';
import { readEnvironment } from '../config/environment.js';
import { readConfigurationFile } from '../config/file.js';
import type { ConfigurationFile } from '../config/file-content.js';
import { locateConfigurationFile } from '../config/file-search.js';
import { demandText } from '../config/not-allowed.js';
import { KeymuxError } from '../core/errors.js';
import { catalogue } from '../providers/catalogue.js';
import { stateDirectory } from '../stores/sqlite/state-directory.js';
import { auditChange } from './audited-change.js';
import { printable } from './display-width.js';
import { EXIT } from './exit-codes.js';
import { note, print, printJson } from './terminal.js';

interface AllowOptions {
  readonly yes?: true;
  readonly list?: true;
  readonly revoke?: true;
  readonly json?: true;
}

/** What `allow --json` prints. */
interface AllowReport {
  readonly path: string;
  /** What it does that needs to be allowed. */
  readonly demands: readonly { readonly kind: string; readonly option: string; readonly text: string }[];
  readonly allowed: boolean;
}

export function registerAllow(program: Command): void {
  program
    .command('allow')
    .summary('let a configuration file name addresses and commands')
    .description(
      'Shows where a configuration file would send keys and what it would run, and lets it, as long as it stays as it is.',
    )
    .argument('[path]', 'the file; without it, the one of the working directory')
    .option('-y, --yes', 'ask nothing')
    .option('--list', 'show the files that are allowed')
    .option('--revoke', 'allow the file no longer')
    .option('--json', 'one JSON document; allows nothing without --yes')
    .action(async (path: string | undefined, options: AllowOptions) => {
      const allowed = new AllowedFiles(stateDirectory(process.env));
      if (options.list === true) list(allowed, options);
      else if (options.revoke === true) revoke(allowed, path, options);
      else process.exitCode = await allow(allowed, path, options);
    });
}

function list(allowed: AllowedFiles, { json }: AllowOptions): void {
  const files = allowed.list();
  if (json === true) printJson({ files });
  else
    for (const { path, allowedAt } of files)
      print(`${new Date(allowedAt).toISOString()}  ${printable(path)}`);
}

/** A file that is gone can be revoked too. */
function revoke(allowed: AllowedFiles, stated: string | undefined, { json }: AllowOptions): void {
  const path = stated === undefined ? located() : resolve(stated);
  const revoked = allowed.revoke(path);
  if (revoked) auditChange({ type: 'allowed', data: { action: 'revoke', path } });
  if (json === true) printJson({ path, revoked });
  else note(revoked ? `${printable(path)} is allowed no longer` : `${printable(path)} was not allowed`);
}

async function allow(
  allowed: AllowedFiles,
  stated: string | undefined,
  options: AllowOptions,
): Promise<number> {
  const path = stated === undefined ? located() : resolve(stated);
  const file = readConfigurationFile(path, catalogue);
  const { digest = '', demands = [] } = file;
  const report = (isAllowed: boolean): AllowReport => ({
    path,
    demands: demands.map((demand) => ({
      kind: demand.kind,
      option: demand.path.join('.'),
      text: demand.text,
    })),
    allowed: isAllowed,
  });
  if (options.json !== true) show(file);
  if (demands.length > 0 && !allowed.has(path, digest)) {
    if (options.yes !== true && !(await agrees(options))) {
      if (options.json === true) printJson(report(false));
      else note('nothing is allowed; see `keymux allow --help`');
      return EXIT.policy;
    }
    allowed.allow(path, digest, Date.now());
    auditChange({ type: 'allowed', data: { action: 'allow', path } });
  }
  if (options.json === true) printJson(report(true));
  else if (demands.length > 0) note(`${printable(path)} is allowed until it changes`);
  return EXIT.ok;
}

function show(file: ConfigurationFile): void {
  const { path = '', demands = [], positionOf } = file;
  if (demands.length === 0) {
    print(`${printable(path)} needs no permission: it names no address or command of its own.`);
    return;
  }
  print(`${printable(path)}:`);
  for (const demand of demands) {
    const line = positionOf(demand.path)?.line;
    print(`  ${line === undefined ? '' : `line ${line}: `}${printable(demandText(demand, demand.text))}`);
  }
  if (demands.some(({ kind, text }) => kind === 'command' && !isAbsolute(text)))
    print('  (what its commands run is not part of it: look at scripts of this folder as well)');
}

/** Nobody is asked where nobody can answer. */
async function agrees({ json }: AllowOptions): Promise<boolean> {
  if (json === true || !process.stdin.isTTY) return false;
  const prompt = createInterface({ input: process.stdin, output: process.stderr });
  try {
    return /^y(?:es)?$/i.test((await prompt.question('Allow this? [y/N] ')).trim());
  } finally {
    prompt.close();
  }
}

function located(): string {
  const cwd = process.cwd();
  const { path } = locateConfigurationFile(readEnvironment(process.env, cwd), cwd, homedir());
  if (path !== undefined) return path;
  throw new KeymuxError('KEYMUX_USAGE', 'There is no configuration file here.', {
    fix: 'Go to its folder, or name it: `keymux allow PATH`.',
  });
}
