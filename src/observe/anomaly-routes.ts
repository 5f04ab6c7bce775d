/** Where requests of this thread go to, as the HTTP clients themselves tell it; nothing is listened to where nobody asks. */
import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import { HTTP2_REQUEST, ORIGIN_REFUSED } from '../manager/destinations.js';
import type { Http2Request, OriginRefusal } from '../manager/destinations.js';
import type { KeyManager } from '../manager/key-manager.js';

/** Routes that are remembered between two looks. */
const MOST_ROUTES = 500;
/** So much of a path tells a route; what follows names one thing of many. */
const ROUTE_SEGMENTS = 2;
const WORD = /^(?:[a-z][a-z_-]{0,23}|v\d{1,3}[a-z]{0,8}\d{0,2})$/i;

/** Of one provider. */
export interface RouteCount {
  readonly provider: string;
  /** `https://api.acme.com/v1/chat`. */
  readonly route: string;
  readonly count: number;
}

export class Routes {
  readonly #manager: KeyManager;
  #counts = new Map<string, { provider: string; route: string; count: number }>();
  #refused: OriginRefusal[] = [];
  readonly #onUndici = (message: unknown): void => {
    const { origin, path } = (message as { request: { origin?: unknown; path?: unknown } }).request;
    this.#note(String(origin), path);
  };
  readonly #onHttp = (message: unknown): void => {
    const { request } = message as { request: OutgoingRequest };
    const host = request.getHeader('host');
    this.#note(`${request.protocol}//${typeof host === 'string' ? host : request.host}`, request.path);
  };
  readonly #onHttp2 = (message: unknown): void => {
    const { origin, path } = message as Http2Request;
    this.#note(origin, path);
  };
  /** It is told to all managers of the process. */
  readonly #onRefused = (message: unknown): void => {
    const refusal = message as OriginRefusal;
    const isOurs = this.#manager.configuration.providers.has(refusal.provider);
    if (isOurs && this.#refused.length < MOST_ROUTES) this.#refused.push(refusal);
  };

  constructor(manager: KeyManager) {
    this.#manager = manager;
    subscribe('undici:request:create', this.#onUndici);
    subscribe('http.client.request.start', this.#onHttp);
    subscribe(HTTP2_REQUEST, this.#onHttp2);
    subscribe(ORIGIN_REFUSED, this.#onRefused);
  }

  /** Since the last call. */
  drain(): { readonly routes: readonly RouteCount[]; readonly refused: readonly OriginRefusal[] } {
    const routes = [...this.#counts.values()];
    const refused = this.#refused;
    this.#counts = new Map();
    this.#refused = [];
    return { routes, refused };
  }

  close(): void {
    unsubscribe('undici:request:create', this.#onUndici);
    unsubscribe('http.client.request.start', this.#onHttp);
    unsubscribe(HTTP2_REQUEST, this.#onHttp2);
    unsubscribe(ORIGIN_REFUSED, this.#onRefused);
  }

  #note(stated: string, path: unknown): void {
    if (!URL.canParse(stated)) return;
    const { origin } = new URL(stated);
    const managed = this.#manager.origins.find(origin);
    if (managed === undefined) return;
    const provider = managed.provider.id;
    const route = origin + routeOf(typeof path === 'string' ? path : '', managed.holdsKey);
    const known = this.#counts.get(`${provider} ${route}`);
    if (known !== undefined) known.count += 1;
    else if (this.#counts.size < MOST_ROUTES)
      this.#counts.set(`${provider} ${route}`, { provider, route, count: 1 });
  }
}

/** As much of a request of `node:http` as is read here. */
interface OutgoingRequest {
  readonly protocol: string;
  readonly host: string;
  readonly path: string;
  getHeader(name: string): unknown;
}

/** The beginning of a path, without what may be a name, a number or a key. */
export function routeOf(path: string, holdsKey: (text: string) => boolean): string {
  return path
    .replace(/[?#].*/s, '')
    .split('/')
    .filter(Boolean)
    .slice(0, ROUTE_SEGMENTS)
    .map((segment) => (WORD.test(segment) && !holdsKey(segment) ? `/${segment}` : '/*'))
    .join('');
}
