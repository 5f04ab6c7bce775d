/** What a rule is held against: one value for each of its subjects, with the sentence that tells it. */
import type { AlertKind, AlertRule } from './alert-rules.js';
import { adviceOn } from './anomaly.js';
import type { AnomalyKind } from './anomaly.js';
import { unusualAbove } from './usage-baseline.js';

/** How everything stands at one moment, as far as one process sees it. Times are epoch milliseconds. */
export interface AlertObservation {
  readonly at: number;
  /** Why the state is not shared for now; absent while all is well. */
  readonly storeTrouble?: string | undefined;
  readonly services: readonly ServiceObservation[];
  readonly providers: readonly ProviderObservation[];
  readonly keys: readonly KeyObservation[];
  readonly allowances: readonly AllowanceObservation[];
  readonly failovers: readonly Occurrence[];
  readonly exhausted: readonly Occurrence[];
  readonly usage: readonly UsageObservation[];
  readonly anomalies: readonly AnomalyObservation[];
}

export interface ServiceObservation {
  readonly name: string;
  /** `provider/key`. */
  readonly keys: readonly string[];
  /** A provider that stands in a declared service, which speaks for it unless a rule names it. */
  readonly isPart: boolean;
}

export interface ProviderObservation {
  readonly id: string;
  /** 0 to 1. */
  readonly healthScore: number;
  /** Its circuit is open, or it has not answered well since. */
  readonly isOut: boolean;
}

export interface KeyObservation {
  /** `provider/key`. */
  readonly id: string;
  readonly provider: string;
  readonly state: 'usable' | 'returning' | 'out' | 'rejected' | 'disabled';
}

/** One window of one bucket. */
export interface AllowanceObservation {
  /** `provider/bucket`. */
  readonly bucket: string;
  readonly provider: string;
  /** `provider/key`, those that spend it. */
  readonly keys: readonly string[];
  /** `25 per day`, or `as stated`. */
  readonly window: string;
  readonly limit: number;
  readonly left: number;
}

export interface Occurrence {
  readonly service: string;
  readonly at: number;
}

export interface UsageObservation {
  /** The service, or `provider/key`. */
  readonly subject: string;
  readonly of: 'service' | 'key';
  readonly perMs: number;
  /** Requests within `perMs`. */
  readonly value: number;
  /** The most that is usual; absent while that is not known. */
  readonly usual?: number | undefined;
}

/** Something unusual that was found. */
export interface AnomalyObservation {
  readonly kind: AnomalyKind;
  /** `provider/key`, the id of a provider, or a service. */
  readonly subject: string;
  readonly evidence: string;
  readonly at: number;
}

export interface Measurement {
  readonly subject: string;
  /** `unknown`: whatever stood before stands. */
  readonly verdict: 'bad' | 'well' | 'unknown';
  readonly value: number;
  readonly threshold: number;
  readonly message: string;
  readonly fix: string;
}

type Measure = (rule: AlertRule, observation: AlertObservation) => Measurement[];

/** A provider with a lower score than this fails, though its circuit may not be open yet. */
const FAILING_SCORE = 0.5;

const MEASURES: Readonly<Record<AlertKind, Measure>> = {
  health: measureHealth,
  failover: measureFailovers,
  quota: measureAllowances,
  'providers-failing': measureProviders,
  exhausted: measureExhausted,
  rejected: measureRejected,
  degraded: measureStore,
  'keys-left': measureKeysLeft,
  'unusual-usage': measureUsage,
  anomaly: measureAnomalies,
};

export function measure(rule: AlertRule, observation: AlertObservation): Measurement[] {
  return MEASURES[rule.when](rule, observation);
}

function measureHealth({ threshold, providers }: AlertRule, observation: AlertObservation): Measurement[] {
  return observation.providers.filter(meant(providers)).map(({ id, healthScore }) => ({
    subject: id,
    verdict: verdictOf(healthScore < threshold),
    value: rounded(healthScore),
    threshold,
    message: `The health score of ${id} is ${rounded(healthScore)}.`,
    fix: `Look whether ${id} has an outage; its requests go to another provider where the service has one.`,
  }));
}

function measureFailovers(
  { threshold, perMs, services }: AlertRule,
  { at, failovers, services: known }: AlertObservation,
): Measurement[] {
  return countedByService(known, failovers, services, at - perMs).map(({ service, count }) => ({
    subject: service,
    verdict: verdictOf(count > threshold),
    value: count,
    threshold,
    message: `${counted(count, 'request')} of ${service} had to go on with another key within ${durationText(perMs)}.`,
    fix: `\`keymux explain ${service}\` says which keys are out, and why.`,
  }));
}

function measureExhausted(
  { threshold, perMs, services }: AlertRule,
  { at, exhausted, services: known }: AlertObservation,
): Measurement[] {
  return countedByService(known, exhausted, services, at - perMs).map(({ service, count }) => ({
    subject: service,
    verdict: verdictOf(count > threshold),
    value: count,
    threshold,
    message: `${counted(count, 'request')} of ${service} found every key out within ${durationText(perMs)}.`,
    fix: `Add a key or a provider to ${service}, or raise what its keys may spend.`,
  }));
}

function measureAllowances(
  { threshold, providers, keys }: AlertRule,
  observation: AlertObservation,
): Measurement[] {
  return observation.allowances
    .filter(({ provider }) => providers === undefined || providers.includes(provider))
    .filter((allowance) => keys === undefined || allowance.keys.some((key) => keys.includes(key)))
    .map(({ bucket, window, limit, left }) => {
      const share = limit > 0 ? 1 - left / limit : 1;
      return {
        subject: `${bucket} (${window})`,
        verdict: verdictOf(share > threshold),
        value: rounded(share),
        threshold,
        message: `${bucket} has spent ${Math.round(share * 100)} % of its limit (${window}): ${left} of ${limit} left.`,
        fix: 'Add a key with an allowance of its own, or send less until the window ends.',
      };
    });
}

function measureProviders({ threshold, providers }: AlertRule, observation: AlertObservation): Measurement[] {
  const all = observation.providers.filter(meant(providers));
  const failing = all.filter(({ isOut, healthScore }) => isOut || healthScore < FAILING_SCORE);
  const names = failing.map(({ id }) => id).join(', ');
  return [
    {
      subject: 'providers',
      verdict: verdictOf(failing.length > threshold),
      value: failing.length,
      threshold,
      message: `${failing.length} of ${counted(all.length, 'provider')} fail at once${names === '' ? '' : `: ${names}`}.`,
      fix: 'Where several fail together, look at the network of this machine first: DNS, proxy, firewall.',
    },
  ];
}

function measureRejected(
  { threshold, providers, keys }: AlertRule,
  observation: AlertObservation,
): Measurement[] {
  return observation.keys
    .filter(({ provider }) => providers === undefined || providers.includes(provider))
    .filter(({ id }) => keys === undefined || keys.includes(id))
    .map(({ id, provider, state }) => ({
      subject: id,
      // A rest that is over proves nothing yet.
      verdict: state === 'rejected' ? 'bad' : state === 'returning' ? 'unknown' : 'well',
      value: state === 'rejected' ? 1 : 0,
      threshold,
      message:
        state === 'rejected'
          ? `${provider} refuses the key ${id} itself: it is invalid, expired or revoked.`
          : `${provider} does not refuse the key ${id} any more, or it was taken out of use.`,
      fix: `Replace the key where keymux reads it; \`keymux test ${provider}\` tells whether the new one works.`,
    }));
}

function measureStore({ threshold }: AlertRule, { storeTrouble }: AlertObservation): Measurement[] {
  return [
    {
      subject: 'store',
      verdict: verdictOf(storeTrouble !== undefined),
      value: storeTrouble === undefined ? 0 : 1,
      threshold,
      message:
        storeTrouble === undefined
          ? 'The store answers.'
          : `The store is lost, and each process goes on with its share of the limits: ${storeTrouble}`,
      fix: 'See to the store; `keymux doctor` says what is wrong with it.',
    },
  ];
}

function measureKeysLeft({ threshold, services }: AlertRule, observation: AlertObservation): Measurement[] {
  const usable = new Set(observation.keys.filter(isUsable).map(({ id }) => id));
  return observation.services
    .filter((service) => (services === undefined ? !service.isPart : services.includes(service.name)))
    .map(({ name, keys }) => {
      const left = keys.filter((key) => usable.has(key)).length;
      return {
        subject: name,
        verdict: verdictOf(left < threshold),
        value: left,
        threshold,
        message: `${name} has ${counted(left, 'usable key')} of ${keys.length}.`,
        fix: `\`keymux explain ${name}\` says what keeps the others; add a key, or see to those.`,
      };
    });
}

function isUsable({ state }: KeyObservation): boolean {
  return state === 'usable' || state === 'returning';
}

function measureUsage(
  { threshold: factor, perMs, services, keys }: AlertRule,
  observation: AlertObservation,
): Measurement[] {
  const wanted = keys ?? services;
  const parts = new Set(observation.services.filter(({ isPart }) => isPart).map(({ name }) => name));
  const kind = keys === undefined ? 'service' : 'key';
  return observation.usage
    .filter((usage) => usage.of === kind && usage.perMs === perMs)
    .filter(({ subject }) => (wanted === undefined ? !parts.has(subject) : wanted.includes(subject)))
    .map(({ subject, value, usual }) => {
      const threshold = Math.ceil(unusualAbove(usual ?? 0, factor));
      return {
        subject,
        verdict: usual === undefined ? 'unknown' : verdictOf(value > threshold),
        value,
        threshold,
        message: `${subject} sent ${counted(value, 'request')} within ${durationText(perMs)}; up to ${Math.round(usual ?? 0)} are usual.`,
        fix: 'Look which program sends them: a loop, a leaked key, or new work. If it is meant, nothing needs doing.',
      };
    });
}

/** Each is bad for `perMs` after it was found: it is found once, when it begins. */
function measureAnomalies(
  { threshold, perMs, kinds, services, providers, keys }: AlertRule,
  { at, anomalies }: AlertObservation,
): Measurement[] {
  const isMeant = services === undefined && providers === undefined && keys === undefined;
  const found = new Map<string, { readonly latest: AnomalyObservation; readonly count: number }>();
  for (const latest of anomalies) {
    const { kind, subject } = latest;
    const isNamed =
      isMeant ||
      services?.includes(subject) === true ||
      keys?.includes(subject) === true ||
      providers?.includes(subject.split('/', 1)[0] ?? subject) === true;
    if (!isNamed || kinds?.includes(kind) === false) continue;
    const name = `${subject} (${kind})`;
    const count = (found.get(name)?.count ?? 0) + (latest.at > at - perMs ? 1 : 0);
    found.set(name, { latest, count });
  }
  return [...found].map(([name, { latest, count }]) => ({
    subject: name,
    verdict: verdictOf(count > threshold),
    value: count,
    threshold,
    message:
      count > threshold
        ? `${latest.subject}: ${latest.evidence}`
        : `${name}: nothing unusual was found within ${durationText(perMs)}.`,
    fix: adviceOn(latest.kind),
  }));
}

/** Of each service, and of whatever else something happened to. */
function countedByService(
  known: AlertObservation['services'],
  occurrences: readonly Occurrence[],
  wanted: readonly string[] | undefined,
  from: number,
): { service: string; count: number }[] {
  const counts = new Map(known.filter(({ isPart }) => !isPart).map(({ name }) => [name, 0]));
  for (const { service, at } of occurrences)
    if (at > from) counts.set(service, (counts.get(service) ?? 0) + 1);
  return [...counts]
    .filter(([service]) => wanted === undefined || wanted.includes(service))
    .map(([service, count]) => ({ service, count }));
}

function meant(ids: readonly string[] | undefined): (provider: ProviderObservation) => boolean {
  return ({ id }) => ids === undefined || ids.includes(id);
}

function verdictOf(isBad: boolean): 'bad' | 'well' {
  return isBad ? 'bad' : 'well';
}

function rounded(share: number): number {
  return Math.round(share * 1_000) / 1_000;
}

function counted(count: number, what: string): string {
  return `${count} ${what}${count === 1 ? '' : 's'}`;
}

const UNITS: readonly (readonly [number, string])[] = [
  [86_400_000, 'day'],
  [3_600_000, 'hour'],
  [60_000, 'minute'],
  [1_000, 'second'],
];

/** In the largest unit that needs no rounding: `5 minutes`, `90 seconds`, `250 ms`. */
export function durationText(durationMs: number): string {
  const unit = UNITS.find(([unitMs]) => durationMs % unitMs === 0 && durationMs >= unitMs);
  return unit === undefined ? `${durationMs} ms` : counted(durationMs / unit[0], unit[1]);
}
