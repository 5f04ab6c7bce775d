/**
 * When people are told: rules are held against what is observed, and each one that is broken is raised once for its
 * subject, told again from time to time while it lasts, and taken back when it is over. Times are epoch milliseconds.
 */
import { measure } from './alert-measures.js';
import type { AnomalyKind } from './anomaly.js';
import type { AlertObservation, Measurement } from './alert-measures.js';

export const ALERT_KINDS = [
  'health',
  'failover',
  'quota',
  'providers-failing',
  'exhausted',
  'rejected',
  'degraded',
  'keys-left',
  'unusual-usage',
  'anomaly',
] as const;

export type AlertKind = (typeof ALERT_KINDS)[number];

export interface AlertRule {
  /** Unique among the rules. */
  readonly name: string;
  readonly when: AlertKind;
  /** The value is bad above it; with `health` and `keys-left`, below it. */
  readonly threshold: number;
  /** The time over which is counted, where anything is. Milliseconds. */
  readonly perMs: number;
  /** Only these; absent: all. */
  readonly services?: readonly string[];
  readonly providers?: readonly string[];
  /** `provider/key`. */
  readonly keys?: readonly string[];
  /** Of anomalies, only these kinds; absent: all. */
  readonly kinds?: readonly AnomalyKind[];
  /** It must have lasted so long to be raised, and been well for so long to be taken back. Milliseconds. */
  readonly forMs: number;
  /** The same is not told again before. Milliseconds. */
  readonly everyMs: number;
}

/** Something to tell. */
export interface AlertNotice {
  readonly rule: AlertRule;
  readonly subject: string;
  readonly state: 'raised' | 'recovered';
  /** It was told before, and lasts. */
  readonly isReminder: boolean;
  readonly value: number;
  readonly threshold: number;
  /** When it began. */
  readonly since: number;
  readonly at: number;
  readonly message: string;
  readonly fix: string;
}

interface Standing {
  readonly rule: string;
  readonly subject: string;
  /** Since when the value is bad; absent while it is well and nothing is raised. */
  readonly badSince?: number;
  /** Since when the value is well though the alert is raised. */
  readonly wellSince?: number;
  readonly isRaised: boolean;
  /** Whether this occurrence was told. */
  readonly isTold: boolean;
  readonly toldAt?: number;
}

/** By rule and subject. */
export type AlertState = ReadonlyMap<string, Standing>;

export const NO_ALERTS: AlertState = new Map();

interface Evaluation {
  readonly state: AlertState;
  readonly notices: readonly AlertNotice[];
}

/** What is to be told now, and what is to be remembered of it. Rules that are gone are forgotten. */
export function evaluateAlerts(
  rules: readonly AlertRule[],
  state: AlertState,
  observation: AlertObservation,
): Evaluation {
  const next = new Map<string, Standing>();
  const notices: AlertNotice[] = [];
  for (const rule of rules) {
    const measured = measure(rule, observation);
    for (const measurement of [...measured, ...vanished(rule, state, measured)]) {
      const key = `${rule.name}\n${measurement.subject}`;
      const { standing, notice } = follow(rule, state.get(key), measurement, observation.at);
      if (standing !== undefined) next.set(key, standing);
      if (notice !== undefined) notices.push(notice);
    }
  }
  return { state: next, notices };
}

/** What was bad and is not there any more: well, as far as anybody can say. */
function vanished(rule: AlertRule, state: AlertState, measured: readonly Measurement[]): Measurement[] {
  const present = new Set(measured.map(({ subject }) => subject));
  return [...state.values()]
    .filter((standing) => standing.rule === rule.name && !present.has(standing.subject))
    .map(({ subject }) => ({
      subject,
      verdict: 'well',
      value: 0,
      threshold: rule.threshold,
      message: `${subject} is not there any more, or nothing is known of it.`,
      fix: NOTHING_TO_DO,
    }));
}

const NOTHING_TO_DO = 'Nothing needs doing.';

interface Followed {
  readonly standing?: Standing;
  readonly notice?: AlertNotice;
}

function follow(
  rule: AlertRule,
  before: Standing | undefined,
  measurement: Measurement,
  at: number,
): Followed {
  const standing = before ?? {
    rule: rule.name,
    subject: measurement.subject,
    isRaised: false,
    isTold: false,
  };
  switch (measurement.verdict) {
    case 'bad':
      return followBad(rule, standing, measurement, at);
    case 'well':
      return followWell(rule, standing, measurement, at);
    case 'unknown':
      return before === undefined ? {} : { standing };
  }
}

function followBad(rule: AlertRule, before: Standing, measurement: Measurement, at: number): Followed {
  const { wellSince: _over, ...standing } = before;
  const since = standing.badSince ?? at;
  const isRaised = standing.isRaised || at - since >= rule.forMs;
  const isDue = isRaised && (standing.toldAt === undefined || at - standing.toldAt >= rule.everyMs);
  if (!isDue) return { standing: { ...standing, badSince: since, isRaised } };
  return {
    standing: { ...standing, badSince: since, isRaised, isTold: true, toldAt: at },
    notice: noticeOf(rule, measurement, 'raised', standing.isTold, since, at),
  };
}

function followWell(rule: AlertRule, before: Standing, measurement: Measurement, at: number): Followed {
  const { badSince = at, wellSince = at, ...standing } = before;
  if (!standing.isRaised) return rested(rule, standing, at);
  if (at - wellSince < rule.forMs) return { standing: { ...standing, badSince, wellSince } };
  const rest = rested(rule, { ...standing, isRaised: false, isTold: false }, at);
  if (!standing.isTold) return rest;
  return { ...rest, notice: noticeOf(rule, measurement, 'recovered', false, badSince, at) };
}

/** What was told lately is remembered, so that a value that flutters is not told each time. */
function rested(rule: AlertRule, standing: Standing, at: number): Followed {
  const { toldAt } = standing;
  return toldAt === undefined || at - toldAt >= rule.everyMs ? {} : { standing };
}

function noticeOf(
  rule: AlertRule,
  { subject, value, threshold, message, fix }: Measurement,
  state: AlertNotice['state'],
  isReminder: boolean,
  since: number,
  at: number,
): AlertNotice {
  return { rule, subject, state, isReminder, value, threshold, since, at, message, fix };
}
