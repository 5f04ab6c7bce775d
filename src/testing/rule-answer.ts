/** Answers that a rule of a provider is about. */
import type { ErrorRule } from '../core/provider.js';
import { parseJsonPath } from '../providers/body-json.js';
import { formatEvent } from './event-stream.js';
import { sampleText } from './sample-text.js';

/** The answer of a provider as it stands on the wire. */
export interface RuleAnswer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
}

/**
 * The least that the rule asks for: its status, its header, and a body or first event that holds what its expression
 * is looking for.
 */
export function answerOf(rule: ErrorRule, status = statusOf(rule)): RuleAnswer {
  const { header, json, sse, match } = rule;
  const headers = header === undefined ? {} : { [header.name]: sampleText(header.match ?? '1') };
  const text = match === undefined ? '1' : sampleText(match);
  if (sse !== undefined) {
    const body = formatEvent(valueAt(sse, text), 'error');
    return { status, headers: { 'content-type': 'text/event-stream', ...headers }, body };
  }
  if (json !== undefined) {
    const body = JSON.stringify(valueAt(json, text));
    return { status, headers: { 'content-type': 'application/json', ...headers }, body };
  }
  const body = match === undefined ? '' : text;
  return { status, headers: { 'content-type': 'text/plain', ...headers }, body };
}

/** Of several the last: where there is a 200 among them, it comes first. */
function statusOf({ status }: ErrorRule): number {
  return [status ?? 200].flat().at(-1) ?? 200;
}

/** `{ error: { code: 429 } }` for `429` at `$.error.code`; numbers as numbers. */
function valueAt(path: string, text: string): unknown {
  const leaf: unknown = /^-?\d{1,9}$/.test(text) ? Number(text) : text;
  return (parseJsonPath(path) ?? []).reduceRight<unknown>((value, step) => {
    if (typeof step === 'string') return { [step]: value };
    return typeof step === 'number' ? [...Array<null>(step).fill(null), value] : [value];
  }, leaf);
}
