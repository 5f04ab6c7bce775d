/** What a provider's voice consists of, and the parts that several share. */
import type { AuthPlacement } from '../core/provider.js';
import type { RateLimit } from './script-key.js';
import type { RefusalKind } from './script.js';

/** What a flavour knows about the request that it answers. */
export interface FlavourRequest {
  readonly method: string;
  /** Without the query. */
  readonly path: string;
  readonly query: URLSearchParams;
  /** The JSON body, if it was one. */
  readonly json: Readonly<Record<string, unknown>>;
  readonly bodyBytes: number;
  /** Counts the requests to the simulator, from 1. */
  readonly n: number;
  readonly keyName: string;
  /** The key itself, for providers that echo it. */
  readonly keyText: string;
}

/** The limit that a refusal is about, or the tightest one. */
export interface LimitState extends RateLimit {
  readonly remaining: number;
  readonly resetMs: number;
}

/** A refusal in the words of a provider. */
export interface FlavourRefusal {
  readonly status: number;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body: unknown;
}

/** The voice of a provider. */
export interface Flavour {
  /** Where the key is expected. */
  readonly auth: readonly AuthPlacement[];
  /** The JSON body of a good answer. */
  success(request: FlavourRequest): unknown;
  /** The events of a good answer, where the request asks to stream. */
  events?(request: FlavourRequest): readonly string[] | undefined;
  /** `status` is given where the script insists on one. */
  refusal(kind: RefusalKind, request: FlavourRequest, status?: number, limit?: LimitState): FlavourRefusal;
  /** A refusal as the first event of a stream that began with a 200. */
  errorEvent(kind: RefusalKind, request: FlavourRequest): string;
  /** What is left, on every answer to a key with limits. */
  limitHeaders(limit: LimitState): Readonly<Record<string, string>>;
  /** How a refusal for a limit tells when to come back. Absent: it does not tell. */
  retryHeaders?(waitMs: number): Readonly<Record<string, string>>;
}

export const retryAfterHeader = (waitMs: number): Record<string, string> => ({
  'retry-after': String(Math.max(1, Math.ceil(waitMs / 1_000))),
});

export const bearer: AuthPlacement = { in: 'header', name: 'authorization', scheme: 'Bearer' };

/** The answer of which a provider is not known to have words of its own. */
export function genericSuccess(request: FlavourRequest): Record<string, unknown> {
  return {
    ok: true,
    key: request.keyName,
    n: request.n,
    path: request.path,
    method: request.method,
    bodyBytes: request.bodyBytes,
  };
}

/** The model that a request asks for. */
export function modelOf(request: FlavourRequest, otherwise: string): string {
  const { model } = request.json;
  return typeof model === 'string' ? model : otherwise;
}
