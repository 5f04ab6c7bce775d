/** The words in which a simulated provider is told what to do: plain data made by small verbs. */
import type { OutcomeKind } from '../core/outcome.js';

/** Why a provider refuses; each flavour says it in its own words and with its own status. */
export type RefusalKind = Exclude<OutcomeKind, 'success' | 'network' | 'aborted'>;

/** How an answer is written, whatever it says. */
export interface AnswerOptions {
  /** How long the first byte is held back. Milliseconds; default 0. */
  readonly delayMs?: number;
  /** Added to the headers of the answer; they win over those of the flavour. */
  readonly headers?: Readonly<Record<string, string>>;
  /** Compress the body, whatever the client accepts. */
  readonly gzip?: boolean;
  /** Send the body in two chunks, without a Content-Length. */
  readonly chunked?: boolean;
  /** Answer on the head alone, before the body of the request is read. Nothing is executed then. */
  readonly early?: boolean;
  /** An informational answer that goes ahead of the real one. */
  readonly informational?: 100 | 102 | 103;
  /**
   * Whether the work of the request is done before this happens. Default: the worst case, so that a repeated order
   * shows: yes, but for refusals below 500, soft errors and redirects.
   */
  readonly executes?: boolean;
}

/** The headers and body of an answer. */
export interface BodyOptions extends AnswerOptions {
  /** Sent as it is if it is a text, else as JSON. */
  readonly body?: unknown;
}

/** How a refusal differs from the usual words of the provider. */
export interface RefuseOptions extends BodyOptions {
  /** Which kind a numeric status stands for, where the status alone does not tell: 429 for `quota-exhausted`. */
  readonly kind?: RefusalKind;
  /** Stated in `Retry-After`. Seconds. */
  readonly retryAfterSeconds?: number;
}

/** How many events a stream has, how fast they come and how it ends. */
export interface StreamOptions extends AnswerOptions {
  /** The events, ready to send. Default: those of the flavour, or five numbered ones. */
  readonly events?: readonly string[];
  /** Pause after each event. Milliseconds; default 10. */
  readonly everyMs?: number;
  /** How it ends: as it should, with a broken connection, or not at all. Default `complete`. */
  readonly ends?: 'complete' | 'cut' | 'stalled';
  /** Events before it is cut or stalls. Default: half of them. */
  readonly after?: number;
}

/** When a connection breaks. */
export type ResetMoment = 'before-headers' | 'after-headers' | 'mid-body';

/** What happens to one request. Made by the verbs below. */
export type Action =
  | ({ readonly do: 'ok'; readonly everyMs?: number } & BodyOptions)
  | ({ readonly do: 'refuse'; readonly kind: RefusalKind; readonly status?: number } & RefuseOptions)
  | ({ readonly do: 'reply'; readonly status: number } & BodyOptions)
  | ({ readonly do: 'echo' } & AnswerOptions)
  | ({ readonly do: 'redirect'; readonly location: string; readonly status: number } & AnswerOptions)
  | ({ readonly do: 'reset'; readonly when: ResetMoment } & AnswerOptions)
  | ({ readonly do: 'silence' } & AnswerOptions)
  | ({ readonly do: 'stream' } & StreamOptions)
  | ({ readonly do: 'stream-error'; readonly kind: RefusalKind } & AnswerOptions)
  | ({ readonly do: 'malformed-chunk' } & AnswerOptions);

/** What a behaviour that depends on the request may look at. Keys appear as their names only. */
export interface RequestFacts {
  readonly method: string;
  /** With the query. */
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
}

/** An action, or a choice made when the request was read: `(request) => request.path === '/slow' ? … : ok()`. */
export type Behaviour = Action | ((request: RequestFacts) => Action);

/** A good answer in the flavour of the provider. `everyMs`: pause between the events if the request asks to stream. */
export function ok(options: BodyOptions & { readonly everyMs?: number } = {}): Action {
  return { do: 'ok', ...options };
}

/**
 * A refusal, by its kind (`'rate-limited'`, with the status that this provider uses) or by status (429, 401, 402,
 * 403, 5xx). The body and the headers are the flavour's unless given.
 */
export function refuse(why: RefusalKind | number, options: RefuseOptions = {}): Action {
  if (typeof why === 'string') return { do: 'refuse', ...options, kind: why };
  return { do: 'refuse', ...options, kind: options.kind ?? kindOfStatus(why), status: why };
}

/** A refusal that hides in a 200. */
export function softError(kind: RefusalKind = 'rate-limited', options: RefuseOptions = {}): Action {
  return { do: 'refuse', ...options, kind, status: 200 };
}

/** Any status, headers and body. */
export function reply(status: number, options: BodyOptions = {}): Action {
  return { do: 'reply', status, ...options };
}

/** Answers with the request as it arrived, headers and body included: real keys too, as echo services do. */
export function echo(options: AnswerOptions = {}): Action {
  return { do: 'echo', ...options };
}

/** A redirect to a path or to another origin. Default status 302. */
export function redirect(
  location: string,
  options: AnswerOptions & { readonly status?: number } = {},
): Action {
  return { do: 'redirect', location, ...options, status: options.status ?? 302 };
}

/**
 * Breaks the connection. `before-headers` resets it (RST without TLS); the others send what belongs before the
 * break and then end it short of the announced length.
 */
export function reset(when: ResetMoment = 'before-headers', options: AnswerOptions = {}): Action {
  return { do: 'reset', when, ...options };
}

/** Never answers. Ends when the client gives up or the simulator closes. */
export function silence(options: AnswerOptions = {}): Action {
  return { do: 'silence', ...options };
}

/** Server-sent events, slow, cut or stalled if wanted. Over a WebSocket: messages. */
export function stream(options: StreamOptions = {}): Action {
  return { do: 'stream', ...options };
}

/** A 200 whose first event is an error. */
export function streamError(kind: RefusalKind = 'overloaded', options: AnswerOptions = {}): Action {
  return { do: 'stream-error', kind, ...options };
}

/** A 200 whose body breaks the chunked encoding. */
export function malformedChunk(options: AnswerOptions = {}): Action {
  return { do: 'malformed-chunk', ...options };
}

export function kindOfStatus(status: number): RefusalKind {
  if (status === 429) return 'rate-limited';
  if (status === 401) return 'rejected';
  if (status === 402) return 'quota-exhausted';
  if (status === 403) return 'restricted';
  return status >= 500 ? 'overloaded' : 'bad-request';
}

/** Whether the work of a request is done under this action. */
export function executes(action: Action): boolean {
  if (action.early === true) return false;
  if (action.executes !== undefined) return action.executes;
  switch (action.do) {
    case 'refuse':
      return (action.status ?? 0) >= 500 || (action.status === undefined && action.kind === 'overloaded');
    case 'reply':
      return action.status < 300 || action.status >= 500;
    case 'redirect':
    case 'stream-error':
      return false;
    default:
      return true;
  }
}
