/** `--set PATH=VALUE` of `keymux replay`, in the words of the configuration. */
import { nearestName } from '../config/plain-names.js';
import type { DecisionRecord } from '../core/decision.js';
import { KeymuxError } from '../core/errors.js';
import type { KeyChange, PolicyChange, ServiceChange } from '../core/replay.js';
import { strategies } from '../core/select.js';
import type { StrategyName } from '../core/select.js';
import { typed } from './terminal.js';

const SETTABLE = [
  'services.NAME.strategy',
  'services.NAME.providers',
  'services.NAME.failoverThreshold',
  'providers.NAME.strategy',
  'providers.NAME.retry.maxAttempts',
  'providers.NAME.keys.ID.priority',
  'providers.NAME.keys.ID.weight',
];

/** Throws `KEYMUX_USAGE` for what cannot be set, or names nothing in the record. */
export function policyChangeOf(assignments: readonly string[], record: DecisionRecord): PolicyChange {
  const known = namesIn(record);
  const services = new Map<string, ServiceChange>();
  const keys = new Map<string, KeyChange>();
  const maxAttempts = new Map<string, number>();
  const changeService = (name: string, change: ServiceChange): void => {
    if (!known.services.has(name)) throw unknownName('service', name, known.services);
    services.set(name, { ...services.get(name), ...change });
  };
  for (const assignment of assignments) {
    const { path, value } = splitAssignment(assignment);
    const service = /^services\.([^.]+)\.(strategy|providers|failoverThreshold)$/.exec(path);
    const alone = /^providers\.([^.]+)\.(strategy|retry\.maxAttempts)$/.exec(path);
    const key = /^providers\.([^.]+)\.keys\.([^.]+)\.(priority|weight)$/.exec(path);
    if (service !== null) {
      changeService(service[1] as string, serviceChange(service[2] as string, value, known.providers));
    } else if (alone?.[2] === 'strategy') {
      changeService(alone[1] as string, { strategy: strategyOf(value) });
    } else if (alone !== null) {
      for (const name of servicesBegunBy(alone[1] as string, record))
        maxAttempts.set(name, wholeNumber(value, 1));
    } else if (key !== null) {
      const id = `${key[1]}/${key[2]}`;
      if (!known.keys.has(id)) throw unknownName('key', id, known.keys);
      keys.set(id, { ...keys.get(id), [key[3] as string]: wholeNumber(value, key[3] === 'weight' ? 1 : 0) });
    } else {
      throw cannotSet(path);
    }
  }
  return { services, keys, maxAttempts };
}

function splitAssignment(assignment: string): { path: string; value: string } {
  const at = assignment.indexOf('=');
  if (at > 0) return { path: assignment.slice(0, at), value: assignment.slice(at + 1) };
  throw new KeymuxError('KEYMUX_USAGE', `--set needs PATH=VALUE, and ${typed(assignment)} has no value.`, {
    fix: 'For example: --set services.market_data.strategy=round-robin',
  });
}

function serviceChange(option: string, value: string, providers: ReadonlySet<string>): ServiceChange {
  if (option === 'strategy') return { strategy: strategyOf(value) };
  if (option === 'failoverThreshold') return { failoverThreshold: shareOf(value) };
  const named = value
    .replace(/^\[|\]$/g, '')
    .split(',')
    .map((name) => name.trim().replace(/^"|"$/g, ''));
  for (const name of named) if (!providers.has(name)) throw unknownName('provider', name, providers);
  return { providers: named };
}

function strategyOf(value: string): StrategyName {
  if (Object.hasOwn(strategies, value)) return value as StrategyName;
  throw unknownName('strategy', value, new Set(Object.keys(strategies)));
}

function shareOf(value: string): number {
  const share = Number(value);
  if (value.trim() !== '' && share >= 0 && share <= 1) return share;
  throw new KeymuxError('KEYMUX_USAGE', `failoverThreshold must be from 0 to 1, not ${typed(value)}.`, {
    fix: 'For example: 0.95',
  });
}

function wholeNumber(value: string, least: number): number {
  const number = Number(value);
  if (value.trim() !== '' && Number.isSafeInteger(number) && number >= least) return number;
  throw new KeymuxError('KEYMUX_USAGE', `${typed(value)} is no whole number from ${least} on.`, {
    fix: 'Give a plain number.',
  });
}

/** The services that ask this provider first: how often they try is its matter. */
function servicesBegunBy(provider: string, record: DecisionRecord): string[] {
  const { providers } = namesIn(record);
  if (!providers.has(provider)) throw unknownName('provider', provider, providers);
  const begun = new Set<string>();
  for (const { service, attempts } of record.requests) {
    const first = attempts[0]?.candidates.toSorted((a, b) => a.figures.priority - b.figures.priority)[0];
    if (first?.provider === provider) begun.add(service);
  }
  return [...begun];
}

function namesIn(record: DecisionRecord): Record<'services' | 'providers' | 'keys', ReadonlySet<string>> {
  const candidates = record.requests.flatMap(({ attempts }) =>
    attempts.flatMap((attempt) => attempt.candidates),
  );
  return {
    services: new Set(record.requests.map(({ service }) => service)),
    providers: new Set(candidates.map(({ provider }) => provider)),
    keys: new Set(candidates.map(({ key }) => key)),
  };
}

function unknownName(what: string, name: string, known: ReadonlySet<string>): KeymuxError {
  const nearest = nearestName(name, known);
  const hint = nearest === undefined ? '' : `Did you mean "${nearest}"? `;
  return new KeymuxError('KEYMUX_USAGE', `There is no ${what} ${typed(name)} in the record.`, {
    fix: `${hint}Known: ${[...known].join(', ')}.`,
  });
}

function cannotSet(path: string): KeymuxError {
  return new KeymuxError('KEYMUX_USAGE', `A replay cannot change ${typed(path)}.`, {
    fix: `What it can change: ${SETTABLE.join(', ')}. The record tells nothing of the rest.`,
  });
}
