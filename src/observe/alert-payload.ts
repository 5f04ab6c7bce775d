/** What is told to a webhook or a command; docs/alerts.md is its contract. */
import { hostname } from 'node:os';
import type { AlertNotice } from '../core/alert-rules.js';

/** What a webhook or a command is told. */
export interface AlertPayload {
  readonly version: 1;
  /** The same for every message about one rule and one subject, in all processes. */
  readonly id: string;
  /** The name of the rule. */
  readonly rule: string;
  readonly when: string;
  readonly subject: string;
  readonly state: 'raised' | 'recovered';
  /** It was told before, and lasts. */
  readonly reminder: boolean;
  readonly value: number;
  readonly threshold: number;
  /** ISO 8601. */
  readonly since: string;
  readonly at: string;
  readonly host: string;
  readonly pid: number;
  readonly message: string;
  readonly fix: string;
  /** Where people can look. */
  readonly dashboard?: string;
}

export function payloadOf(notice: AlertNotice, dashboardUrl: string | undefined): AlertPayload {
  const { rule, subject, state, isReminder, value, threshold, since, at, message, fix } = notice;
  return {
    version: 1,
    id: `${rule.name}/${subject}`,
    rule: rule.name,
    when: rule.when,
    subject,
    state,
    reminder: isReminder,
    value,
    threshold,
    since: isoText(since),
    at: isoText(at),
    host: hostname(),
    pid: process.pid,
    message,
    fix: state === 'raised' ? fix : 'Nothing needs doing.',
    ...(dashboardUrl === undefined ? {} : { dashboard: dashboardUrl }),
  };
}

function isoText(at: number): string {
  return new Date(at).toISOString();
}

/** One line for a log, or the first of a message to people. */
export function headline({ state, reminder, rule, message }: AlertPayload): string {
  const word = state === 'recovered' ? 'recovered' : reminder ? 'still raised' : 'raised';
  return `Alert ${rule} ${word}: ${message}`;
}

/** A message for an incoming webhook of Slack, or of what takes the same: Mattermost, Rocket.Chat, Discord's `/slack`. */
export function slackMessage(payload: AlertPayload): { readonly text: string } {
  const { state, fix, host, since, dashboard } = payload;
  const lines = [
    `*${escaped(headline(payload))}*`,
    ...(state === 'raised' ? [escaped(fix)] : []),
    `_since ${since} on ${escaped(host)}_`,
    ...(dashboard === undefined ? [] : [`<${escaped(dashboard)}|Dashboard>`]),
  ];
  return { text: lines.join('\n') };
}

function escaped(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;');
}
