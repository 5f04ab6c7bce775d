import { InvalidArgumentError, Option } from 'commander';
import type { Command } from 'commander';

export interface AuditFolderOptions {
  readonly path?: string;
  readonly json?: true;
}

export interface TailOptions extends AuditFolderOptions {
  readonly follow?: true;
  readonly last: number;
}

export interface VerifyCommandOptions extends AuditFolderOptions {
  readonly signedBy: readonly string[];
}

export interface ExportOptions extends AuditFolderOptions {
  readonly format: 'json' | 'csv';
}

export function registerAudit(program: Command): void {
  const audit = program
    .command('audit')
    .summary('read, check and export the audit trail')
    .description(
      'Reads the trail that `audit:` in the configuration asks for. It names keys, and never holds one.',
    );
  subcommand(audit, 'tail', 'Shows the newest records.')
    .option('-f, --follow', 'go on with those that come')
    .option('-n, --last <number>', 'how many', countOf, 20)
    .action(async (options: TailOptions) => (await import('./auditing.js')).tail(options));
  subcommand(audit, 'verify', 'Checks every byte, and names the first record that is not as it was written.')
    .option('--signed-by <fingerprint>', 'the key that must have signed; may be repeated', collect, [])
    .action(async (options: VerifyCommandOptions) => {
      process.exitCode = await (await import('./auditing.js')).verify(options);
    });
  subcommand(audit, 'export', 'Writes all records to stdout.')
    .addOption(
      new Option('--format <format>', 'one JSON document per line, or a table')
        .choices(['json', 'csv'])
        .default('json'),
    )
    .action(async (options: ExportOptions) => (await import('./auditing.js')).exportAll(options));
}

function subcommand(audit: Command, name: string, description: string): Command {
  return audit
    .command(name)
    .description(description)
    .option('--path <folder>', 'the folder of the trail; default: as configured')
    .option('--json', 'for programs');
}

function countOf(text: string): number {
  const count = Number(text);
  if (!/^\d{1,6}$/.test(text) || count === 0) throw new InvalidArgumentError('Give a number from 1 on.');
  return count;
}

function collect(name: string, before: readonly string[]): readonly string[] {
  return [...before, name];
}
