import type { ErrorRule } from '../core/provider.js';
import { LONGEST_TEXT, parseJsonPath, readJson, valuesAt, type JsonPath } from './body-json.js';
import { firstEventsData } from './first-events.js';
import type { ResponseHead } from './response-head.js';

/** A rule and what can be said of it once and for all. */
export interface CompiledRule {
  readonly rule: ErrorRule;
  /** The rule in words. */
  readonly evidence: string;
  readonly looksIntoBody: boolean;
  readonly json: JsonPath | undefined;
  readonly sse: JsonPath | undefined;
  /** What is found there must match; absent: whatever is found will do. */
  readonly match: RegExp | undefined;
  /** What the text as a whole must match, where no place is named. */
  readonly text: RegExp | undefined;
  readonly header: { readonly name: string; readonly match: RegExp | undefined } | undefined;
}

export function compileRule(rule: ErrorRule): CompiledRule {
  const { json, sse, header } = rule;
  const match = compileExpression(rule.match);
  const namesPlace = json !== undefined || sse !== undefined;
  return {
    rule,
    evidence: describeRule(rule),
    looksIntoBody: namesPlace || match !== undefined,
    json: compilePath(json),
    sse: compilePath(sse),
    match,
    text: namesPlace ? undefined : match,
    header: header && { name: header.name.toLowerCase(), match: compileExpression(header.match) },
  };
}

/** Leads nowhere: the configuration's own check reports a path that is none, and an expression that does not compile. */
const NOWHERE: JsonPath = [Number.POSITIVE_INFINITY];
/** Matches nothing. */
export const NEVER = /(?!)/;

function compilePath(text: string | undefined): JsonPath | undefined {
  return text === undefined ? undefined : (parseJsonPath(text) ?? NOWHERE);
}

function compileExpression(source: string | undefined): RegExp | undefined {
  try {
    return source === undefined ? undefined : new RegExp(source, 'i');
  } catch {
    return NEVER;
  }
}

/** The beginning of a body, read in each way at most once. */
export class BodyView {
  readonly text: string;
  #json: { readonly value: unknown } | undefined;
  #events: readonly unknown[] | undefined;

  constructor(bodyText: string) {
    this.text = bodyText.slice(0, LONGEST_TEXT);
  }

  get json(): unknown {
    return (this.#json ??= { value: readJson(this.text) }).value;
  }

  /** The first events of a stream. */
  get events(): readonly unknown[] {
    return (this.#events ??= firstEventsData(this.text).map(readJson));
  }
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

/** The header that a rule asks for; its status is known to fit. */
export function headerMatches({ header }: CompiledRule, head: ResponseHead): boolean {
  if (header === undefined) return true;
  const value = head.header(header.name);
  return value !== undefined && (header.match === undefined || header.match.test(value));
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
export function bodyMayMatch({ json, sse }: CompiledRule, kind: BodyKind): boolean {
  if (sse !== undefined) return kind === 'events';
  return kind === 'readable' || (kind === 'events' && json === undefined);
}

/** Only for a rule that looks into the body. */
export function bodyMatches({ json, sse, match, text }: CompiledRule, body: BodyView): boolean {
  if (text !== undefined) return text.test(body.text);
  if (json !== undefined && !anyMatches(valuesAt(body.json, json), match)) return false;
  return sse === undefined || body.events.some((event) => anyMatches(valuesAt(event, sse), match));
}

/** Without `match`, anything but `null` and `false` counts as found. */
function anyMatches(values: readonly unknown[], match: RegExp | undefined): boolean {
  for (const value of values) {
    if (match === undefined) {
      if (value !== null && value !== false) return true;
    } else if ((typeof value === 'string' || typeof value === 'number') && match.test(String(value))) {
      return true;
    }
  }
  return false;
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
