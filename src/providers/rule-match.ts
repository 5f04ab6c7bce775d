import type { ErrorRule } from '../core/provider.js';
import { LONGEST_TEXT, readJson, valuesAt } from './body-json.js';
import { firstEventsData } from './first-events.js';
import type { ResponseHead } from './response-head.js';

/** The beginning of a body, read in each way at most once. */
export interface BodyView {
  readonly text: string;
  json(): unknown;
  /** The first events of a stream. */
  events(): readonly unknown[];
}

export function viewBody(bodyText: string): BodyView {
  const text = bodyText.slice(0, LONGEST_TEXT);
  return {
    text,
    json: once(() => readJson(text)),
    events: once(() => firstEventsData(text).map(readJson)),
  };
}

function once<T>(compute: () => T): () => T {
  let result: { readonly value: T } | undefined;
  return () => (result ??= { value: compute() }).value;
}

const READABLE = /json|text|csv|xml|javascript|event-stream|form-urlencoded|x-download/i;
const EVENT_STREAM = /^\s*text\/event-stream/i;

export function isEventStream(head: ResponseHead): boolean {
  return EVENT_STREAM.test(head.header('content-type') ?? '');
}

/** Whether there is a body at all. */
export function hasBody(head: ResponseHead): boolean {
  if (head.method?.toUpperCase() === 'HEAD' || head.status === 204 || head.status === 304) return false;
  return head.header('content-length')?.trim() !== '0';
}

export function looksIntoBody(rule: ErrorRule): boolean {
  return rule.json !== undefined || rule.sse !== undefined || rule.match !== undefined;
}

/** The header that a rule asks for; its status is known to fit. */
export function headerMatches({ header }: ErrorRule, head: ResponseHead): boolean {
  if (header === undefined) return true;
  const value = head.header(header.name.toLowerCase());
  return value !== undefined && (header.match === undefined || matches(header.match, value));
}

export type BodyKind = 'none' | 'events' | 'readable' | 'opaque';

/** What kind of body is to come. Refusals are read whatever they call themselves. */
export function bodyKindOf(head: ResponseHead): BodyKind {
  if (!hasBody(head)) return 'none';
  const contentType = head.header('content-type');
  if (contentType === undefined) return 'readable';
  const kind = kinds.get(contentType) ?? kindOfType(contentType);
  return kind === 'opaque' && head.status >= 400 ? 'readable' : kind;
}

/** Providers send a handful of types, and every answer asks. */
const kinds = new Map<string, BodyKind>();
const MOST_KINDS = 256;

function kindOfType(contentType: string): BodyKind {
  const kind = EVENT_STREAM.test(contentType) ? 'events' : READABLE.test(contentType) ? 'readable' : 'opaque';
  if (kinds.size < MOST_KINDS && contentType.length < MOST_KINDS) kinds.set(contentType, kind);
  return kind;
}

/** Whether a body of this kind can hold what the rule looks for. */
export function bodyMayMatch(rule: ErrorRule, kind: BodyKind): boolean {
  if (rule.sse !== undefined) return kind === 'events';
  return kind === 'readable' || (kind === 'events' && rule.json === undefined);
}

export function bodyMatches(rule: ErrorRule, body: BodyView): boolean {
  if (rule.json !== undefined && !anyMatches(valuesAt(body.json(), rule.json), rule.match)) return false;
  if (rule.sse !== undefined && !anyEventMatches(rule.sse, rule.match, body)) return false;
  const isPlainMatch = rule.json === undefined && rule.sse === undefined;
  return !isPlainMatch || rule.match === undefined || matches(rule.match, body.text);
}

function anyEventMatches(path: string, match: string | undefined, body: BodyView): boolean {
  return body.events().some((event) => anyMatches(valuesAt(event, path), match));
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
