/** Requests and their attempts as spans of OpenTelemetry. They are made when a request is over, with its true times. */
import { context, SpanKind, SpanStatusCode, trace } from '@opentelemetry/api';
import type { Attributes, Context, HrTime, Span, Tracer } from '@opentelemetry/api';
import type { AttemptEvent, FailoverEvent, RequestEvent } from '../manager/events.js';
import type { KeyManager } from '../manager/key-manager.js';

/** Requests under way that are remembered; of those beyond, the oldest get no span. */
const MOST_OPEN_REQUESTS = 10_000;

interface OpenRequest {
  /** That of the caller: later on, sockets that serve many requests have lost it. */
  readonly context: Context;
  readonly attempts: AttemptEvent[];
  readonly failovers: FailoverEvent[];
}

/** Returns how to stop. */
export function traceManager(manager: KeyManager, tracer: Tracer): () => void {
  const traces = new Traces(manager, tracer);
  const stops = [
    manager.onBegun((requestId) => traces.begin(requestId)),
    manager.on('attempt', (event) => traces.attempt(event)),
    manager.on('failover', (event) => traces.failover(event)),
    manager.on('request', (event) => traces.end(event)),
  ];
  return () => {
    for (const stop of stops) stop();
  };
}

class Traces {
  readonly #manager: KeyManager;
  readonly #tracer: Tracer;
  readonly #open = new Map<string, OpenRequest>();

  constructor(manager: KeyManager, tracer: Tracer) {
    this.#manager = manager;
    this.#tracer = tracer;
  }

  begin(requestId: string): void {
    if (this.#open.size >= MOST_OPEN_REQUESTS) {
      for (const [oldest] of this.#open) {
        this.#open.delete(oldest);
        break;
      }
    }
    this.#open.set(requestId, { context: context.active(), attempts: [], failovers: [] });
  }

  attempt(event: AttemptEvent): void {
    // A lease that the program holds itself is reported by the program, in its own context.
    if (event.requestId === undefined) return this.#span(event, 0, context.active());
    const request = this.#open.get(event.requestId);
    request?.attempts.push(event);
  }

  failover(event: FailoverEvent): void {
    this.#open.get(event.requestId)?.failovers.push(event);
  }

  end(event: RequestEvent): void {
    const request = this.#open.get(event.requestId);
    if (request === undefined) return;
    this.#open.delete(event.requestId);
    const span = this.#tracer.startSpan(
      `keymux ${event.service}`,
      { startTime: timeOf(event.at - event.durationMs), attributes: requestAttributes(event) },
      request.context,
    );
    const below = trace.setSpan(request.context, span);
    for (const [index, attempt] of request.attempts.entries()) this.#span(attempt, index, below);
    for (const { from, to, reason, at } of request.failovers) {
      const attributes = { 'keymux.from': from, 'keymux.to': to, 'keymux.outcome': reason };
      span.addEvent('keymux.failover', attributes, timeOf(at));
    }
    if (event.end === 'failed' || event.end === 'refused') fail(span, `the request was ${event.end}`);
    span.end(timeOf(event.at));
  }

  #span(attempt: AttemptEvent, resendCount: number, parent: Context): void {
    const { provider, outcome, evidence, latencyMs, at } = attempt;
    const span = this.#tracer.startSpan(
      `keymux attempt ${provider}`,
      {
        kind: SpanKind.CLIENT,
        startTime: timeOf(at - latencyMs),
        attributes: { ...attemptAttributes(attempt, resendCount), ...this.#serverOf(provider) },
      },
      parent,
    );
    if (outcome !== 'success' && outcome !== 'aborted') fail(span, evidence ?? outcome);
    span.end(timeOf(at));
  }

  #serverOf(provider: string): Attributes {
    const definition = this.#manager.configuration.providers.get(provider);
    if (definition === undefined) return {};
    const { hostname, port, protocol } = new URL(definition.baseUrl);
    const standardPort = protocol === 'http:' ? 80 : 443;
    return { 'server.address': hostname, 'server.port': port === '' ? standardPort : Number(port) };
  }
}

function requestAttributes({
  requestId,
  service,
  end,
  provider,
  key,
  attempts,
  waitedMs,
}: RequestEvent): Attributes {
  return {
    'keymux.request_id': requestId,
    'keymux.service': service,
    'keymux.end': end,
    ...(provider === undefined ? {} : { 'keymux.provider': provider }),
    ...(key === undefined ? {} : { 'keymux.key': key }),
    'keymux.attempts': attempts,
    'keymux.waited': waitedMs / 1_000,
  };
}

/** Names of OpenTelemetry for HTTP clients where they fit; paths and queries are left out, for keys may stand there. */
function attemptAttributes(attempt: AttemptEvent, resendCount: number): Attributes {
  const { service, provider, key, outcome, status, evidence } = attempt;
  const isError = outcome !== 'success' && outcome !== 'aborted';
  return {
    'keymux.service': service,
    'keymux.provider': provider,
    'keymux.key': key,
    'keymux.outcome': outcome,
    ...(evidence === undefined ? {} : { 'keymux.evidence': evidence }),
    ...(status === undefined ? {} : { 'http.response.status_code': status }),
    ...(isError ? { 'error.type': status === undefined ? outcome : String(status) } : {}),
    ...(resendCount === 0 ? {} : { 'http.request.resend_count': resendCount }),
  };
}

function fail(span: Span, message: string): void {
  span.setStatus({ code: SpanStatusCode.ERROR, message });
}

/** Epoch milliseconds as seconds and nanoseconds. */
function timeOf(epochMs: number): HrTime {
  const seconds = Math.floor(epochMs / 1_000);
  return [seconds, Math.round((epochMs - seconds * 1_000) * 1e6)];
}
