/**
 * The older names of the same settings: the variables `API_PROVIDER_PRIORITIES`, `API_HEALTH_CHECK_INTERVAL` and
 * `API_FAILOVER_THRESHOLD`, and `api_management:` in a file. What cannot have an effect is refused or remarked upon.
 */
import { KeymuxError } from '../core/errors.js';
import type { Environment } from './environment.js';
import type { FileApiManagement, FileService, FileStore } from './file-content.js';
import { readsLikeName, suggestion } from './plain-names.js';

const SECOND_MS = 1_000;

export interface EnvironmentSettings {
  /** Service name -> provider ids. */
  readonly priorities: ReadonlyMap<string, readonly string[]>;
  readonly failoverThreshold?: number;
  readonly healthCheckIntervalMs?: number;
  readonly notes: readonly string[];
}

/**
 * Reads the three variables. A provider that nobody defined is skipped with a note as long as its service keeps one.
 * @throws `KEYMUX_CONFIG_INVALID` naming the variable
 */
export function readEnvironmentSettings(
  environment: Environment,
  knownProviders: ReadonlySet<string>,
): EnvironmentSettings {
  const textOf = (name: string): string | undefined => {
    const text = environment.variables.get(name)?.value.trim();
    return text === '' ? undefined : text;
  };
  const notes: string[] = [];
  const priorities = readPriorities(textOf('API_PROVIDER_PRIORITIES'), knownProviders, notes);
  const interval = readNumber(
    'API_HEALTH_CHECK_INTERVAL',
    textOf,
    'a number of seconds, 0.001 to 1000000000',
    (n) => n >= 0.001 && n <= 1e9,
  );
  const threshold = readNumber(
    'API_FAILOVER_THRESHOLD',
    textOf,
    'a number from 0 to 1',
    (n) => n >= 0 && n <= 1,
  );
  return {
    priorities,
    ...(threshold === undefined ? {} : { failoverThreshold: threshold }),
    ...(interval === undefined ? {} : { healthCheckIntervalMs: interval * SECOND_MS }),
    notes,
  };
}

function readNumber(
  name: string,
  textOf: (name: string) => string | undefined,
  expected: string,
  isValid: (value: number) => boolean,
): number | undefined {
  const text = textOf(name);
  if (text === undefined) return undefined;
  const value = Number(text);
  if (Number.isFinite(value) && isValid(value)) return value;
  throw invalidVariable(name, `is not ${expected}`, `Set ${name} to ${expected}, or unset it.`);
}

const PRIORITIES = 'API_PROVIDER_PRIORITIES';
const SERVICE_NAME = /^[a-z0-9][a-z0-9_.-]{0,63}$/;

function readPriorities(
  text: string | undefined,
  knownProviders: ReadonlySet<string>,
  notes: string[],
): Map<string, readonly string[]> {
  const priorities = new Map<string, readonly string[]>();
  if (text === undefined) return priorities;
  for (const [service, list] of Object.entries(parsePriorities(text))) {
    if (!SERVICE_NAME.test(service))
      throw invalidPriorities('holds a service name that is not lower-case letters, digits, `_`, `.` or `-`');
    if (!Array.isArray(list) || list.length === 0 || !list.every((id) => typeof id === 'string')) {
      throw invalidPriorities(`does not give ${nameInMessage(service)} a list of provider names`);
    }
    priorities.set(service, knownOf(service, [...new Set<string>(list)], knownProviders, notes));
  }
  return priorities;
}

function parsePriorities(text: string): object {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    // The parser's message quotes the text.
    throw invalidPriorities('is not JSON');
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    throw invalidPriorities('is not a JSON object');
  return value;
}

function knownOf(
  service: string,
  ids: readonly string[],
  known: ReadonlySet<string>,
  notes: string[],
): string[] {
  const unknown = ids.filter((id) => !known.has(id));
  const remarks = unknown.map(
    (id) => `${PRIORITIES} gives ${nameInMessage(service)} ${unknownProvider(id, known)}`,
  );
  if (unknown.length === ids.length)
    throw invalidVariable(PRIORITIES, remarks.join('; ').slice(PRIORITIES.length + 1), PRIORITIES_FIX);
  notes.push(...remarks.map((remark) => `${remark}; it is skipped`));
  return ids.filter((id) => known.has(id));
}

function unknownProvider(id: string, known: ReadonlySet<string>): string {
  const name = readsLikeName(id) ? `the provider \`${id}\`` : 'a provider';
  return `${name} that neither the catalogue nor a configuration file has${suggestion(id, known)}`;
}

function nameInMessage(service: string): string {
  return readsLikeName(service) ? `\`${service}\`` : 'a service';
}

const PRIORITIES_FIX = `Set ${PRIORITIES} to JSON such as {"market_data":["alpha_vantage","finnhub"]}, or unset it.`;

function invalidPriorities(fault: string): KeymuxError {
  return invalidVariable(PRIORITIES, fault, PRIORITIES_FIX);
}

export function invalidVariable(name: string, fault: string, fix: string): KeymuxError {
  return new KeymuxError('KEYMUX_CONFIG_INVALID', `The environment variable ${name} ${fault}.`, { fix });
}

export interface ManagedSettings {
  readonly services: ReadonlyMap<string, FileService>;
  readonly store?: FileStore;
  /** The shortest that any of its services has. */
  readonly healthCheckIntervalMs?: number;
  /** Nothing is to be probed. */
  readonly withoutProbes: boolean;
  readonly notes: readonly string[];
}

/** What `api_management:` says, in today's terms. */
export function translateApiManagement(section: FileApiManagement): ManagedSettings {
  const services = new Map<string, FileService>();
  for (const [name, stated] of Object.entries(section.providers ?? {})) {
    const providers = [...new Set([stated.primary, ...(stated.backups ?? [])])];
    services.set(name, { providers, failoverThreshold: stated.failover_threshold });
  }
  const persists = isOn(section.state_persistence);
  const intervals = Object.values(section.providers ?? {}).flatMap(
    ({ health_check_interval: seconds }) => seconds ?? [],
  );
  return {
    services,
    withoutProbes: isOn(section.health_monitoring) === false,
    ...(intervals.length === 0 ? {} : { healthCheckIntervalMs: Math.min(...intervals) * SECOND_MS }),
    ...(persists === undefined ? {} : { store: { type: persists ? 'sqlite' : 'memory' } }),
    notes: ALWAYS_ON.filter((option) => isOn(section[option]) === true).map(
      (option) => `api_management.${option} changes nothing: that is how keymux works`,
    ),
  };
}

const ALWAYS_ON = ['global_failover', 'health_monitoring', 'rate_limiting'] as const;

function isOn(value: boolean | { readonly enabled: boolean } | undefined): boolean | undefined {
  return typeof value === 'object' ? value.enabled : value;
}
