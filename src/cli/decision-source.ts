/** Where decisions are asked for: a gateway that runs, or what a program wrote when it ended. */
import type { DecisionRecord } from '../core/decision.js';
import { KeymuxError } from '../core/errors.js';
import { readConfiguration } from '../manager/discovery.js';
import { findGateway } from './gateway-client.js';

export interface FoundDecisions {
  /** What they came from, for messages. */
  readonly place: string;
  readonly record: DecisionRecord;
}

/**
 * The decisions in the file or folder at `path`, if given; otherwise those of the gateway, or what `KEYMUX_DECISIONS`
 * names. Throws `KEYMUX_USAGE` where there are none.
 */
export async function findDecisions(path: string | undefined): Promise<FoundDecisions> {
  // Only who reads decisions pays for checking them.
  const { parseDecisions, readDecisions } = await import('./decision-file.js');
  if (path !== undefined) return { place: path, record: readDecisions(path) };
  const gateway = await findGateway(readConfiguration({ env: process.env }), process.env);
  if (gateway !== undefined) {
    const place = `the gateway at ${gateway.url}`;
    return { place, record: parseDecisions(await gateway.ask('GET', '/decisions'), place) };
  }
  const written = process.env['KEYMUX_DECISIONS'] ?? '';
  if (written !== '') return { place: written, record: readDecisions(written) };
  throw new KeymuxError('KEYMUX_USAGE', 'No gateway runs here, and no file of decisions was named.', {
    fix: 'Decisions live in the process that made them: run it with KEYMUX_DECISIONS=PATH and name that path, or send the requests through `keymux serve`.',
  });
}
