import type { ErrorRule } from '../core/provider.js';
import { firstEventData, LONGEST_TEXT, readJson, valuesAt } from './body-json.js';
import type { ResponseHead } from './response-head.js';

/** The beginning of a body, read in each way at most once. */
export interface BodyView {
  readonly text: string;
  json(): unknown;
  event(): unknown;
}

export function viewBody(bodyText: string): BodyView {
  const text = bodyText.slice(0, LONGEST_TEXT);
  return { text, json: once(() => readJson(text)), event: once(() => readJson(firstEventData(text))) };
}

function once<T>(compute: () => T): () => T {
  let result: { readonly value: T } | undefined;
  return () => (result ??= { value: compute() }).value;
}

const READABLE = /json|text|csv|xml|javascript|event-stream|form-urlencoded/i;

export function isEventStream(head: ResponseHead): boolean {
  return /^\s*text\/event-stream/i.test(head.header('content-type') ?? '');
}

/** Whether there is a body at all. */
export function hasBody(head: ResponseHead): boolean {
  if (head.method?.toUpperCase() === 'HEAD' || head.status === 204 || head.status === 304) return false;
  return head.header('content-length')?.trim() !== '0';
}

export function looksIntoBody(rule: ErrorRule): boolean {
  return rule.json !== undefined || rule.sse !== undefined || rule.match !== undefined;
}

/** The part of a rule that the head decides. */
export function headMatches(rule: ErrorRule, head: ResponseHead): boolean {
  const { status, header } = rule;
  if (typeof status === 'number' ? status !== head.status : status?.includes(head.status) === false)
    return false;
  if (header === undefined) return true;
  const value = head.header(header.name.toLowerCase());
  return value !== undefined && (header.match === undefined || matches(header.match, value));
}

/** Whether a body of this kind can hold what the rule looks for. Refusals are read whatever they call themselves. */
export function bodyMayMatch(rule: ErrorRule, head: ResponseHead): boolean {
  if (!hasBody(head)) return false;
  if (rule.sse !== undefined) return isEventStream(head);
  if (rule.json !== undefined && isEventStream(head)) return false;
  const contentType = head.header('content-type');
  return head.status >= 400 || contentType === undefined || READABLE.test(contentType);
}

export function bodyMatches(rule: ErrorRule, body: BodyView): boolean {
  if (rule.json !== undefined && !anyMatches(valuesAt(body.json(), rule.json), rule.match)) return false;
  if (rule.sse !== undefined && !anyMatches(valuesAt(body.event(), rule.sse), rule.match)) return false;
  const isPlainMatch = rule.json === undefined && rule.sse === undefined;
  return !isPlainMatch || rule.match === undefined || matches(rule.match, body.text);
}

/** Without `match`, anything but `null` and `false` counts as found. */
function anyMatches(values: readonly unknown[], match: string | undefined): boolean {
  return values.some((value) => {
    if (match === undefined) return value !== null && value !== false;
    return (typeof value === 'string' || typeof value === 'number') && matches(match, String(value));
  });
}

const expressions = new Map<string, RegExp | undefined>();

/** An expression that does not compile matches nothing: the configuration's own check reports it. */
function matches(source: string, value: string): boolean {
  if (!expressions.has(source)) expressions.set(source, compile(source));
  return expressions.get(source)?.test(value) ?? false;
}

function compile(source: string): RegExp | undefined {
  try {
    return new RegExp(source, 'i');
  } catch {
    return undefined;
  }
}

/** A rule in words, for people: `status 429, $.error.code like "insufficient_quota"`. */
export function describeRule(rule: ErrorRule): string {
  const like = rule.match === undefined ? '' : ` like "${rule.match}"`;
  const header = rule.header === undefined ? undefined : describeHeader(rule.header);
  const place = rule.json ?? (rule.sse === undefined ? undefined : `event ${rule.sse}`);
  const body = place === undefined ? like && `body${like}` : `${place}${like}`;
  const status = rule.status === undefined ? undefined : `status ${[rule.status].flat().join('/')}`;
  return [status, header, body].filter(Boolean).join(', ');
}

function describeHeader(header: NonNullable<ErrorRule['header']>): string {
  return header.match === undefined
    ? `header ${header.name}`
    : `header ${header.name} like "${header.match}"`;
}
