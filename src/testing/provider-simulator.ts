/** Any provider of the catalogue, simulated. */
import { KeymuxError } from '../core/errors.js';
import type { ErrorRule } from '../core/provider.js';
import type { CatalogueEntry } from '../providers/catalogue-entry.js';
import { catalogue } from '../providers/catalogue.js';
import { answerOf } from './rule-answer.js';
import type { Action, AnswerOptions } from './script.js';
import { reply } from './script.js';
import type { Simulator, SimulatorOptions } from './simulator-api.js';
import { flavourOf } from './simulator-flavour-entry.js';
import { startSimulator } from './simulator.js';

/** As for `startSimulator`; the provider brings its own flavour. */
export type ProviderSimulatorOptions = Omit<SimulatorOptions, 'flavour' | 'auth'>;

/**
 * Starts a simulated provider of the catalogue on 127.0.0.1, by its id or its entry. Keys are accepted in every place
 * that the entry names. Good answers have the form of the provider's protocol, `refuse(kind)` uses the words of its
 * rules, and `tripRule(rule)` brings up one rule in particular. Throws `KEYMUX_USAGE` for an id that is unknown,
 * and as `startSimulator` does.
 *
 * @example
 * await using simulator = await startProviderSimulator('openrouter', {
 *   keys: { 'sk-or-1': { first: [refuse('quota-exhausted')] }, 'sk-or-2': {} },
 * });
 */
export async function startProviderSimulator(
  provider: string | CatalogueEntry,
  options: ProviderSimulatorOptions = {},
): Promise<Simulator> {
  const entry = typeof provider === 'string' ? entryOf(provider) : provider;
  return startSimulator({ ...options, flavour: flavourOf(entry) });
}

function entryOf(id: string): CatalogueEntry {
  const entry = catalogue.get(id);
  if (entry !== undefined) return entry;
  throw new KeymuxError('KEYMUX_USAGE', `The catalogue has no provider ${id}`, {
    fix: `Use one of: ${[...catalogue.keys()].join(', ')}.`,
  });
}

/** How the answer that fires a rule differs otherwise. */
export interface TripOptions extends AnswerOptions {
  /** Where the rule names several. Default: the last of them. */
  readonly status?: number;
}

/**
 * The answer that a rule is about: its status and header, and a body, or first event, in which its expression finds
 * what it is looking for. Throws `KEYMUX_USAGE` where no text is found that the expression accepts.
 */
export function tripRule(rule: ErrorRule, options: TripOptions = {}): Action {
  const { status, headers, body } = answerOf(rule, options.status);
  return reply(status, {
    executes: status >= 500,
    ...options,
    headers: { ...headers, ...options.headers },
    body,
  });
}
