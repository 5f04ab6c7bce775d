import type { Command } from 'commander';
import { nearestName } from '../config/plain-names.js';
import { KeymuxError } from '../core/errors.js';
import type { KeyManager } from '../manager/key-manager.js';
import type { Explanation } from '../manager/inspection.js';
import { EXIT } from './exit-codes.js';
import { findGateway } from './gateway-client.js';
import { withManager } from './opened-manager.js';
import { explanationReport } from './status-report.js';
import type { ExplanationReport } from './status-report.js';
import { explanationLines } from './status-view.js';
import { coloursFor, print, printJson, stdoutColumns, typed, warn } from './terminal.js';

export function registerExplain(program: Command): void {
  program
    .command('explain')
    .summary('which key a service would use now, and why not the others')
    .description(
      'Shows the keys of a service in the order of preference, and why each is passed over. Exit code 6 if none is usable.',
    )
    .argument('<service>', 'a service, or a provider')
    .option('--json', 'one JSON document')
    .action(async (service: string, options: { readonly json?: true }) => {
      process.exitCode = await runExplain(service, options.json === true);
    });
}

async function runExplain(service: string, json: boolean): Promise<number> {
  return withManager(
    async ({ manager }) => {
      if (manager.findPool(service) === undefined) throw unknownService(service, manager);
      const report = await withGatewayFacts(await explanationReport(manager, service), manager);
      if (json) printJson(report);
      else print(explanationLines(report, coloursFor(process.stdout), stdoutColumns()).join('\n'));
      return report.next === undefined ? EXIT.noUsableKey : EXIT.ok;
    },
    { onTrouble: ({ message, fix }) => warn(message, fix) },
  );
}

/**
 * A process that looks on knows that a key rests, and not since when; a gateway on the same configuration may have met
 * it itself.
 */
async function withGatewayFacts(report: ExplanationReport, manager: KeyManager): Promise<ExplanationReport> {
  const gateway = await findGateway(manager.configuration, process.env).catch(() => undefined);
  const answer = await gateway
    ?.ask('GET', `/services/${encodeURIComponent(report.service)}/explain`)
    .catch(() => undefined);
  if (answer === undefined) return report;
  const met = new Map((answer as Explanation).candidates.map((candidate) => [candidate.key, candidate]));
  return {
    ...report,
    candidates: report.candidates.map((candidate) => {
      const { fact, because } = met.get(candidate.key) ?? {};
      return fact === undefined || because !== candidate.because ? candidate : { ...candidate, fact };
    }),
  };
}

function unknownService(service: string, { configuration }: KeyManager): KeymuxError {
  const known = [...new Set([...configuration.services.keys(), ...configuration.providers.keys()])];
  const nearest = nearestName(service, known);
  const fix =
    known.length === 0
      ? 'Set the key of a provider in the environment, or run `keymux init`.'
      : `${nearest === undefined ? '' : `Did you mean "${nearest}"? `}Known: ${known.join(', ')}.`;
  const message = `There is no service or provider ${typed(service)}.`;
  return new KeymuxError('KEYMUX_UNKNOWN_SERVICE', message, { fix });
}
