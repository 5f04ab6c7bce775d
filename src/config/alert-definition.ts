/** The rules of `alerts:` with their defaults, and where what they say goes. */
import type { AlertKind, AlertRule } from '../core/alert-rules.js';
import { KeymuxError } from '../core/errors.js';
import { Secret } from '../core/secret.js';
import type { Environment } from './environment.js';
import type { ConfigurationFile, FileAlert, OptionPath } from './file-content.js';
import { readsLikeName, suggestion } from './plain-names.js';
import type { Problem } from './problems.js';
import { readSetting } from './reference.js';
import { isWebhookReference, isWebhookUrl } from './safe-address.js';

export interface AlertDefinition {
  readonly rule: AlertRule;
  readonly webhook?: AlertWebhook;
  /** A program and its arguments, which are never shown: a token may be among them. */
  readonly command?: readonly string[];
  /** Where the command runs. Absolute. */
  readonly folder: string;
  readonly log: boolean;
}

export interface AlertWebhook {
  /** Whoever knows it may write there. */
  readonly url: Secret;
  readonly format: 'json' | 'slack';
  /** What to call it: `alerts[0].webhook`. */
  readonly option: string;
}

const MINUTE_MS = 60_000;
const HOUR_MS = 60 * MINUTE_MS;

interface Defaults {
  readonly threshold: number;
  readonly perMs: number;
  readonly forMs: number;
}

const DEFAULTS: Readonly<Record<AlertKind, Defaults>> = {
  health: { threshold: 0.5, perMs: 0, forMs: 0 },
  failover: { threshold: 10, perMs: MINUTE_MS, forMs: 0 },
  quota: { threshold: 0.8, perMs: 0, forMs: 0 },
  'providers-failing': { threshold: 1, perMs: 0, forMs: 0 },
  exhausted: { threshold: 0, perMs: MINUTE_MS, forMs: 0 },
  rejected: { threshold: 0, perMs: 0, forMs: 0 },
  // A store that is restarted is back within seconds.
  degraded: { threshold: 0, perMs: 0, forMs: 10_000 },
  'keys-left': { threshold: 1, perMs: 0, forMs: 0 },
  'unusual-usage': { threshold: 3, perMs: 5 * MINUTE_MS, forMs: 0 },
  anomaly: { threshold: 0, perMs: HOUR_MS, forMs: 0 },
};
const DEFAULT_EVERY_MS = HOUR_MS;

export interface AlertInput {
  readonly file: ConfigurationFile | undefined;
  readonly environment: Environment;
}

interface DefinedAlerts {
  readonly alerts: readonly AlertDefinition[];
  readonly notes: readonly string[];
}

/** A webhook whose address cannot be read is left out with a note, so that the program starts all the same. */
export function defineAlerts({ file, environment }: AlertInput): DefinedAlerts {
  if (file === undefined) return { alerts: [], notes: [] };
  const stated = file.content.alerts ?? [];
  const notes: string[] = [];
  const names = new Set(stated.flatMap(({ name }) => name ?? []));
  const alerts = stated.map((alert, index): AlertDefinition => {
    const webhook = webhookOf(alert, index, file, environment, notes);
    return {
      rule: ruleOf(alert, alert.name ?? freeName(alert.when, names)),
      ...(webhook === undefined ? {} : { webhook }),
      ...(alert.command === undefined ? {} : { command: alert.command }),
      folder: file.folder,
      log: alert.log ?? false,
    };
  });
  return { alerts, notes };
}

function ruleOf(alert: FileAlert, name: string): AlertRule {
  const defaults = DEFAULTS[alert.when];
  const { services, providers, keys, kinds } = alert;
  return {
    name,
    when: alert.when,
    threshold: alert.above ?? alert.below ?? defaults.threshold,
    perMs: alert.perMs ?? defaults.perMs,
    ...(services === undefined ? {} : { services }),
    ...(providers === undefined ? {} : { providers }),
    ...(keys === undefined ? {} : { keys }),
    ...(kinds === undefined ? {} : { kinds }),
    forMs: alert.forMs ?? defaults.forMs,
    everyMs: alert.everyMs ?? DEFAULT_EVERY_MS,
  };
}

function freeName(when: AlertKind, taken: Set<string>): string {
  let name: string = when;
  for (let count = 2; taken.has(name); count += 1) name = `${when}-${count}`;
  taken.add(name);
  return name;
}

function webhookOf(
  { webhook: stated, format = 'json' }: FileAlert,
  index: number,
  file: ConfigurationFile,
  environment: Environment,
  notes: string[],
): AlertWebhook | undefined {
  if (stated === undefined) return undefined;
  const option = `alerts[${index}].webhook`;
  if (!isWebhookReference(stated)) {
    if (file.path !== undefined)
      notes.push(
        `${option} stands in the configuration file, and whoever knows the address can write there; put it into a variable and write \`webhook: env:ALERT_WEBHOOK\``,
      );
    return { url: new Secret(stated), format, option };
  }
  try {
    const { secret, notes: remarks } = readSetting(stated, { option, environment, folder: file.folder });
    notes.push(...remarks);
    if (isWebhookUrl(secret.reveal())) return { url: secret, format, option };
    notes.push(
      `${option} (${stated}) tells nobody: it is neither an https address nor an http one of this machine`,
    );
  } catch (error) {
    if (!(error instanceof KeymuxError)) throw error;
    notes.push(`${error.message} ${error.fix}`);
  }
  return undefined;
}

export interface KnownNames {
  readonly services: Iterable<string>;
  readonly providers: Iterable<string>;
}

/** Rules about services, providers and keys that there are not. */
export function alertProblems(alerts: readonly FileAlert[], known: KnownNames): Problem[] {
  const services = [...known.services];
  const providers = [...known.providers];
  return alerts.flatMap(({ services: ofServices = [], providers: ofProviders = [], keys = [] }, index) => [
    ...ofServices.flatMap((name, at) => unknownName(['alerts', index, 'services', at], name, services)),
    ...ofProviders.flatMap((id, at) => unknownName(['alerts', index, 'providers', at], id, providers)),
    ...keys.flatMap((key, at) =>
      unknownName(['alerts', index, 'keys', at], key.slice(0, key.indexOf('/')), providers),
    ),
  ]);
}

function unknownName(path: OptionPath, name: string, known: readonly string[]): Problem[] {
  if (known.includes(name)) return [];
  const shown = readsLikeName(name) ? `\`${name}\`, which` : 'something that';
  return [{ path, text: `names ${shown} is not there${suggestion(name, known)}` }];
}
