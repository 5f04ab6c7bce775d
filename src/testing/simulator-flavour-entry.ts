/** The voice of any provider of the catalogue, as far as its entry knows its words. */
import type { CatalogueEntry } from '../providers/catalogue-entry.js';
import { formatEvent } from './event-stream.js';
import { answerOf } from './rule-answer.js';
import { sampleText } from './sample-text.js';
import type { RefusalKind } from './script.js';
import type { Flavour, FlavourRequest } from './simulator-flavour.js';
import { FLAVOURS } from './simulator-flavours.js';

const OWN_WORDS: ReadonlySet<string> = new Set(Object.keys(FLAVOURS));

/**
 * Keys go where the entry says. Good answers are those of the protocol, refusals those of the first rule of that
 * kind; what the entry does not know is said as by a generic provider.
 */
export function flavourOf(entry: CatalogueEntry): Flavour {
  const auth = [entry.auth, ...entry.authAlternatives];
  if (OWN_WORDS.has(entry.id)) return { ...FLAVOURS[entry.id as keyof typeof FLAVOURS], auth };
  const { generic, openai } = FLAVOURS;
  const speaksOpenAi = entry.protocol?.name === 'openai';
  const base = speaksOpenAi ? openai : generic;
  return {
    ...base,
    auth,
    success: (request) => base.success(speaksOpenAi ? inOpenAi(request, entry) : request),
    events: (request) =>
      base.events?.(speaksOpenAi ? inOpenAi(request, entry) : request) ?? eventsOf(entry, request),
    refusal: (kind, request, status, limit) =>
      refusalOf(entry, kind, status) ?? base.refusal(kind, request, status, limit),
    errorEvent: (kind, request) => errorEventOf(entry, kind) ?? base.errorEvent(kind, request),
  };
}

/** The same request under the paths of OpenAI itself. */
function inOpenAi(request: FlavourRequest, { protocol }: CatalogueEntry): FlavourRequest {
  const prefix = protocol?.pathPrefix ?? '';
  return request.path.startsWith(prefix)
    ? { ...request, path: `/v1${request.path.slice(prefix.length)}` }
    : request;
}

/** Any events, the last of which bears the mark by which a whole stream is known. */
function eventsOf({ streamEndMark }: CatalogueEntry, request: FlavourRequest): readonly string[] | undefined {
  if (streamEndMark === undefined) return undefined;
  const mark = sampleText(streamEndMark);
  const end = /^(?:data|event):/.test(mark)
    ? `${mark}\ndata: {}\n\n`
    : `data: {${mark.includes(':') ? mark : `${mark}: "STOP"`}}\n\n`;
  return [...['served ', 'by ', request.keyName].map((text) => formatEvent({ text })), end];
}

function refusalOf(entry: CatalogueEntry, kind: RefusalKind, status: number | undefined) {
  const rule = entry.errors.find(
    (each) =>
      each.outcome === kind &&
      each.sse === undefined &&
      (status === undefined || each.status === undefined || [each.status].flat().includes(status)),
  );
  if (rule === undefined) return undefined;
  return answerOf(rule, status);
}

function errorEventOf(entry: CatalogueEntry, kind: RefusalKind): string | undefined {
  const rule = entry.errors.find((each) => each.outcome === kind && each.sse !== undefined);
  return rule === undefined ? undefined : answerOf(rule).body;
}
