import type { Command } from 'commander';
import type { Configuration } from '../config/configuration.js';
import { readConfiguration } from '../manager/discovery.js';
import { accountChecks } from './doctor/account-checks.js';
import { bucketChecks } from './doctor/bucket-checks.js';
import { failed } from './doctor/check.js';
import type { Check } from './doctor/check.js';
import { clientChecks } from './doctor/client-checks.js';
import { configurationChecks, keyChecks, virtualChecks } from './doctor/configuration-checks.js';
import { expiryChecks } from './doctor/expiry-checks.js';
import { nodeOptionsCheck, nodeVersionCheck } from './doctor/node-checks.js';
import { redisChecks } from './doctor/redis-checks.js';
import { modeCheck, storeCheck } from './doctor/state-checks.js';
import { EXIT, exitCodeOf, rootOf } from './exit-codes.js';
import { printable } from './display-width.js';
import { coloursFor, print, printJson } from './terminal.js';
import { KeymuxError } from '../core/errors.js';

/** What `doctor --json` prints. */
interface DoctorReport {
  /** No check failed. */
  readonly ok: boolean;
  readonly checks: readonly Check[];
}

export function registerDoctor(program: Command): void {
  program
    .command('doctor')
    .summary('check what keymux needs, and say how to mend it')
    .description(
      'Checks Node, configuration, keys, state and clients one by one. Exit code 3 if the configuration fails, 7 if it is not allowed, 1 if another check does.',
    )
    .option('--json', 'one JSON document')
    .action(async (options: { readonly json?: true }) => {
      process.exitCode = await runDoctor(options.json === true);
    });
}

async function runDoctor(json: boolean): Promise<number> {
  const checks: Check[] = [];
  const add = (...found: readonly Check[]): void => {
    checks.push(...found);
    if (!json) for (const check of found) print(checkText(check));
  };
  add(nodeVersionCheck(process.versions.node), nodeOptionsCheck(process.env['NODE_OPTIONS'] ?? ''));
  const configuration = read();
  if (configuration instanceof KeymuxError) {
    add(failed('configuration', configuration.message, configuration.fix));
  } else {
    add(...configurationChecks(configuration), ...keyChecks(configuration), ...virtualChecks(configuration));
    add(...accountChecks(configuration), ...expiryChecks(configuration, Date.now()));
    const modes = modeCheck(configuration);
    if (modes !== undefined) add(modes);
    add(await storeCheck(configuration));
    if (configuration.store.type === 'redis') add(...(await redisChecks(configuration.store)));
    add(...(await bucketChecks(configuration)));
  }
  add(...(await clientChecks()));
  const failures = checks.filter(({ status }) => status === 'fail');
  const report: DoctorReport = { ok: failures.length === 0, checks };
  if (json) printJson(report);
  if (configuration instanceof KeymuxError) return exitCodeOf(configuration);
  return report.ok ? EXIT.ok : EXIT.failure;
}

function read(): Configuration | KeymuxError {
  try {
    return readConfiguration({});
  } catch (error) {
    const root = rootOf(error);
    if (root instanceof KeymuxError) return root;
    throw error;
  }
}

function checkText({ name, status, message, fix }: Check): string {
  const colours = coloursFor(process.stdout);
  const mark = { ok: colours.green('✓ ok  '), warn: colours.yellow('! warn'), fail: colours.red('✗ fail') };
  const lines = message.split('\n').map(printable);
  const text = `${mark[status]}  ${name}: ${lines.join('\n          ')}`;
  return fix === undefined ? text : `${text}\n        fix: ${printable(fix)}`;
}
