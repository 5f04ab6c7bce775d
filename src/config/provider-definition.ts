import {
  type AuthPlacement,
  DEFAULT_DAILY_PROBES,
  DEFAULT_PROBE,
  DEFAULT_RETRY,
  DEFAULT_STREAM,
  type ErrorRule,
  type KnownProvider,
  type ProbePolicy,
  type Protocol,
  type ProviderDefinition,
  type RetryPolicy,
  type StreamPolicy,
} from '../core/provider.js';
import type { QuotaWindow } from '../core/quota.js';

import type { FileAuth, FileErrorRule, FileLimit, FileProvider } from './file-content.js';

const SECOND_MS = 1_000;
const MINUTE_MS = 60 * SECOND_MS;
const HOUR_MS = 60 * MINUTE_MS;
const DAY_MS = 24 * HOUR_MS;
/** A month without a reset time counts as its longest, so that no calendar month gets more than its limit. */
const MONTH_MS = 31 * DAY_MS;

const UNIT_MS = { second: SECOND_MS, minute: MINUTE_MS, hour: HOUR_MS, day: DAY_MS, month: MONTH_MS };

/** The catalogue's definition with what the file states instead, or a provider that only the file knows. */
export function defineProvider(
  id: string,
  known: KnownProvider | undefined,
  stated: FileProvider,
): ProviderDefinition {
  const baseUrl = stated.baseUrl ?? known?.baseUrl ?? '';
  return {
    id,
    name: known?.name ?? id,
    baseUrl,
    origins: originsOf(baseUrl, known, stated),
    auth: stated.auth === undefined ? (known?.auth ?? DEFAULT_AUTH) : authOf(stated.auth),
    authAlternatives: stated.auth === undefined ? (known?.authAlternatives ?? []) : [],
    env: stated.env ?? known?.env ?? [defaultEnvName(id)],
    mode: stated.mode ?? 'direct',
    signed: stated.signed ?? known?.signed ?? false,
    bucketScope: known?.bucketScope ?? 'key',
    limits: windowsOf(stated.limits ?? []),
    errors: [...(stated.errors ?? []).map(errorRuleOf), ...(known?.errors ?? [])],
    ...(known?.reset === undefined ? {} : { reset: known.reset }),
    retry: retryOf(stated.retry, known),
    stream: streamOf(stated.stream, known),
    ...probeOf(stated, known),
    ...protocolOf(baseUrl, known, stated),
    ...(known?.ownerHeader === undefined ? {} : { ownerHeader: known.ownerHeader }),
  };
}

/** The name that is discovered for a provider which names none: `ACME_API_KEY` for `acme`. */
export function defaultEnvName(id: string): string {
  const name = id.toUpperCase().replaceAll(/[^A-Z0-9]/g, '_');
  return `${/^\d/.test(name) ? '_' : ''}${name}_API_KEY`;
}

const DEFAULT_AUTH: AuthPlacement = { in: 'header', name: 'authorization', scheme: 'Bearer' };

function originsOf(baseUrl: string, known: KnownProvider | undefined, stated: FileProvider): string[] {
  const own = stated.baseUrl === undefined && known !== undefined ? known.origins : [new URL(baseUrl).origin];
  return [...new Set([...own, ...(stated.origins ?? [])])];
}

function authOf(auth: FileAuth): AuthPlacement {
  switch (auth.in) {
    case 'header':
      return {
        in: 'header',
        name: auth.name.toLowerCase(),
        ...(auth.scheme === undefined ? {} : { scheme: auth.scheme }),
      };
    case 'query':
      return { in: 'query', name: auth.name };
    case 'path':
      return { in: 'path' };
    case 'basic':
      return { in: 'basic', field: auth.field ?? 'username' };
  }
}

/** The limits of a file as windows; calendar windows start anew at `resetsAt` in `timeZone` (default UTC). */
export function windowsOf(limits: readonly FileLimit[]): QuotaWindow[] {
  return limits.map(({ requests, per, perMs, resetsAt, timeZone }) => {
    const window = { requests, perMs: perMs ?? UNIT_MS[per ?? 'second'] };
    if (resetsAt === undefined || (per !== 'day' && per !== 'month')) return window;
    return { ...window, calendar: { at: resetsAt, timeZone: timeZone ?? 'UTC', unit: per } };
  });
}

function errorRuleOf(rule: FileErrorRule): ErrorRule {
  const { outcome, header, ...options } = rule;
  return {
    ...withoutUndefined(options),
    ...(header === undefined
      ? {}
      : { header: { name: header.name.toLowerCase(), ...withoutUndefined({ match: header.match }) } }),
    outcome,
  };
}

function retryOf(stated: FileProvider['retry'], known: KnownProvider | undefined): RetryPolicy {
  return { ...DEFAULT_RETRY, ...withoutUndefined({ repeatable: known?.repeatable, ...stated }) };
}

function streamOf(stated: FileProvider['stream'], known: KnownProvider | undefined): StreamPolicy {
  return { ...DEFAULT_STREAM, ...withoutUndefined({ endMark: known?.streamEndMark, ...stated }) };
}

/** A signed request cannot be made here, so that a key of such a provider cannot be proved. */
function probeOf(
  { probe: stated, signed }: FileProvider,
  known: KnownProvider | undefined,
): { probe?: ProbePolicy } {
  const { path, ...options } = { ...known?.probe, ...withoutUndefined(stated ?? {}) };
  if (path === undefined || options.dailyBudget === 0) return {};
  const probe = { ...DEFAULT_PROBE, ...options, path };
  if (probe.authenticated && (signed ?? known?.signed ?? false)) return {};
  const headers = known?.companionHeaders;
  return {
    probe: {
      dailyBudget: DEFAULT_DAILY_PROBES[probe.costsQuota],
      ...probe,
      ...(headers === undefined ? {} : { headers }),
    },
  };
}

function protocolOf(
  baseUrl: string,
  known: KnownProvider | undefined,
  { protocol, baseUrl: ownAddress }: FileProvider,
): { protocol?: Protocol } {
  if (protocol !== undefined) {
    const pathPrefix = protocol.pathPrefix ?? new URL(baseUrl).pathname;
    return { protocol: { name: protocol.name, pathPrefix: pathPrefix.replace(/\/$/, '') } };
  }
  // Under an address of its own, a known provider may be something that merely resembles it.
  return known?.protocol === undefined || ownAddress !== undefined ? {} : { protocol: known.protocol };
}

type Defined<T> = { [Name in keyof T]?: Exclude<T[Name], undefined> };

function withoutUndefined<T extends object>(options: T): Defined<T> {
  return Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined)) as Defined<T>;
}
