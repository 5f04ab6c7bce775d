import type { Command } from 'commander';
import type { RequestExplanation } from '../core/decision.js';
import { KeymuxError } from '../core/errors.js';
import { findDecisions } from './decision-source.js';
import { EXIT } from './exit-codes.js';
import { coloursFor, print, printJson, stdoutColumns, typed } from './terminal.js';
import { requestLines } from './why-view.js';

interface WhyOptions {
  readonly last?: string;
  readonly service?: string;
  readonly from?: string;
  readonly json?: true;
}

export function registerWhy(program: Command): void {
  program
    .command('why')
    .summary('why a request got the key that it got')
    .description(
      'Shows every attempt of a request: each key, why it was taken or passed over, how keymux knew, and what came of it. Asks a running gateway (KEYMUX_GATEWAY_URL), or reads what a program wrote (KEYMUX_DECISIONS=PATH).',
    )
    .argument('[request-id]', 'as in `x-request-id` of an answer, or in an event')
    .option('--last <number>', 'the latest requests instead of one')
    .option('--service <name>', 'with --last: of this service alone')
    .option('--from <path>', 'a file or folder of decisions, instead of a gateway')
    .option('--json', 'one JSON document')
    .action(async (requestId: string | undefined, options: WhyOptions) => {
      process.exitCode = await runWhy(requestId, options);
    });
}

async function runWhy(requestId: string | undefined, options: WhyOptions): Promise<number> {
  const found = await requestsFor(requestId, options);
  if (options.json === true) {
    printJson(requestId === undefined ? found : found[0]);
    return EXIT.ok;
  }
  const colours = coloursFor(process.stdout);
  const lines = found.map((request) => requestLines(request, colours, stdoutColumns()).join('\n'));
  print(lines.length === 0 ? 'no decision is known' : lines.join('\n\n'));
  return EXIT.ok;
}

async function requestsFor(
  requestId: string | undefined,
  { last, service, from }: WhyOptions,
): Promise<readonly RequestExplanation[]> {
  if ((requestId === undefined) === (last === undefined)) {
    throw new KeymuxError('KEYMUX_USAGE', '`keymux why` needs a request id, or --last NUMBER.', {
      fix: 'The id stands in `x-request-id` of an answer of the gateway, and in the events of a manager.',
    });
  }
  const { place, record } = await findDecisions(from);
  if (requestId !== undefined) {
    const found = record.requests.find((request) => request.requestId === requestId);
    if (found === undefined) throw unknownRequest(requestId, place);
    return [found];
  }
  const count = Number(last);
  if (!Number.isSafeInteger(count) || count < 1) {
    throw new KeymuxError('KEYMUX_USAGE', '--last must be a whole number from 1 on.', {
      fix: 'For example: --last 5',
    });
  }
  const wanted = record.requests.filter((request) => service === undefined || request.service === service);
  return wanted.slice(-count);
}

function unknownRequest(requestId: string, place: string): KeymuxError {
  return new KeymuxError('KEYMUX_USAGE', `There is no request ${typed(requestId)} in ${place}.`, {
    fix: 'Decisions live in the process that made them, the latest 1,000 unless `decisions` says otherwise; `keymux why --last 10` lists what is known.',
  });
}
