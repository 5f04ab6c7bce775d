/** What the gateway answers itself, below `/-/`. */
import type { IncomingMessage, ServerResponse } from 'node:http';
import { KeymuxError } from '../core/errors.js';
import type { AuditView } from '../manager/audit-view.js';
import type { KeyManager } from '../manager/key-manager.js';
import type { Observation } from '../manager/observation.js';
import type { Caller } from './access.js';
import { API_ROUTES, answerApi, demandRole, wrongMethod } from './api.js';
import { ApiRefusal, answerOf } from './api-refusal.js';
import { EventStreams } from './event-streams.js';
import type { EventStreamOptions } from './event-streams.js';
import { openApiDocument } from './openapi.js';
import { sendFresh, sendJson, sendLasting } from './own-answer.js';
import type { OwnTarget } from './target.js';

export interface OwnRequest {
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  readonly target: OwnTarget;
  readonly caller: Caller;
}

export interface OwnRoutes {
  /**
   * Answers, whatever happens; roles are its own matter, but not what a page of another site made a browser send: the
   * door keeps that out. Never rejects.
   */
  handle(own: OwnRequest): Promise<void>;
  /** Ends event streams; the server closes after that. */
  close(): void;
}

/** A file of the dashboard. */
export interface DashboardAsset {
  readonly contentType: string;
  readonly body: string | Uint8Array;
  /** Instead of those of the API, such as a Content-Security-Policy that lets its script run. */
  readonly headers?: Readonly<Record<string, string>>;
}

export interface OwnRoutesOptions {
  readonly manager: KeyManager;
  readonly observation: Observation;
  /** Absent where no audit trail is kept. */
  readonly audit?: AuditView | undefined;
  /** Behind `/-/dashboard`: `/` is the page. */
  readonly dashboard: (path: string) => DashboardAsset | undefined;
  /** Of the package. */
  readonly version: string;
  /** Whether the gateway takes no more requests and waits for those under way. */
  readonly isDraining?: () => boolean;
  readonly streams?: EventStreamOptions;
}

/** The page may load what comes with it and ask this gateway, nothing else. */
const PAGE_POLICY =
  "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; " +
  "base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

export function createOwnRoutes(options: OwnRoutesOptions): OwnRoutes {
  const streams = new EventStreams(options.observation, options.streams);
  const document = `${JSON.stringify(openApiDocument(API_ROUTES, { version: options.version }), null, 2)}\n`;
  return {
    async handle(own) {
      try {
        await answer(own, options, streams, document);
      } catch (error) {
        const { status, headers, body } = answerOf(error);
        sendJson(own.request, own.response, status, body, headers);
      }
    },
    close: () => streams.close(),
  };
}

async function answer(
  own: OwnRequest,
  options: OwnRoutesOptions,
  streams: EventStreams,
  document: string,
): Promise<void> {
  const { request, response, target, caller } = own;
  const { path } = target;
  if (path === '/health') return sendHealth(own, options);
  if (path === '/dashboard' || path.startsWith('/dashboard/')) return sendDashboard(own, options);
  if (path.startsWith('/api/') && path !== '/api/openapi.json') {
    const { status, value } = await answerApi(own, options);
    return sendJson(request, response, status, value);
  }
  demandRole(caller, 'read');
  onlyGet(request);
  switch (path) {
    case '/api/openapi.json':
      return sendLasting(request, response, {
        status: 200,
        contentType: 'application/json; charset=utf-8',
        body: document,
      });
    case '/metrics':
      return sendFresh(request, response, {
        status: 200,
        contentType: 'text/plain; version=0.0.4; charset=utf-8',
        body: await options.observation.metricsText(),
      });
    case '/events':
      return streams.open(request, response, target.query.get('all') === '1');
    default:
      throw nothingHere();
  }
}

function sendHealth({ request, response }: OwnRequest, options: OwnRoutesOptions): void {
  onlyGet(request);
  const isDraining = options.isDraining?.() === true || options.manager.closed;
  if (isDraining) return sendJson(request, response, 503, { status: 'draining' });
  const isDegraded = options.manager.inspect().store.trouble !== undefined;
  sendJson(request, response, 200, { status: isDegraded ? 'degraded' : 'ok' });
}

/** The page holds no data, so that it needs no token; what it then asks for does. */
function sendDashboard({ request, response, target }: OwnRequest, { dashboard }: OwnRoutesOptions): void {
  onlyGet(request);
  const path = target.path.slice('/dashboard'.length);
  // The page's own files are named relative to it.
  if (path === '') {
    return sendFresh(request, response, {
      status: 308,
      contentType: 'text/plain; charset=utf-8',
      body: '',
      headers: { location: 'dashboard/' },
    });
  }
  const asset = dashboard(path);
  if (asset === undefined) throw nothingHere();
  const headers = { 'content-security-policy': PAGE_POLICY, 'x-frame-options': 'DENY', ...asset.headers };
  sendLasting(request, response, { status: 200, ...asset, headers });
}

function onlyGet({ method }: IncomingMessage): void {
  if (method !== 'GET' && method !== 'HEAD') throw wrongMethod(['GET']);
}

function nothingHere(): ApiRefusal {
  const error = new KeymuxError('KEYMUX_USAGE', 'There is nothing here.', {
    fix: 'There are /-/health, /-/metrics, /-/events, /-/api/openapi.json and /-/dashboard.',
  });
  return new ApiRefusal(404, error);
}
