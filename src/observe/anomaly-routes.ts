/** Where requests of this thread go to, as the HTTP clients themselves tell it; nothing is listened to where nobody asks. */
import { subscribe, unsubscribe } from 'node:diagnostics_channel';
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

/** A key was to go elsewhere, and was not sent. */
export interface RefusedOrigin {
  readonly provider: string;
  /** Absent where it could not be seen. */
  readonly origin?: string;
}

/** Published by what guards the keys. */
export const REFUSED_CHANNEL = 'keymux:origin-refused';

export class Routes {
  readonly #manager: KeyManager;
  #counts = new Map<string, { provider: string; route: string; count: number }>();
  #refused: RefusedOrigin[] = [];
  readonly #onUndici = (message: unknown): void => {
    const { origin, path } = (message as { request: { origin?: unknown; path?: unknown } }).request;
    this.#note(String(origin), path);
  };
  readonly #onHttp = (message: unknown): void => {
    const { request } = message as { request: OutgoingRequest };
    const host = request.getHeader('host');
    this.#note(`${request.protocol}//${typeof host === 'string' ? host : request.host}`, request.path);
  };
  readonly #onRefused = (message: unknown): void => {
    if (this.#refused.length < MOST_ROUTES) this.#refused.push(message as RefusedOrigin);
  };

  constructor(manager: KeyManager) {
    this.#manager = manager;
    subscribe('undici:request:create', this.#onUndici);
    subscribe('http.client.request.start', this.#onHttp);
    subscribe(REFUSED_CHANNEL, this.#onRefused);
  }

  /** Since the last call. */
  drain(): { readonly routes: readonly RouteCount[]; readonly refused: readonly RefusedOrigin[] } {
    const routes = [...this.#counts.values()];
    const refused = this.#refused;
    this.#counts = new Map();
    this.#refused = [];
    return { routes, refused };
  }

  close(): void {
    unsubscribe('undici:request:create', this.#onUndici);
    unsubscribe('http.client.request.start', this.#onHttp);
    unsubscribe(REFUSED_CHANNEL, this.#onRefused);
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
  const segments = path.split(/[?#]/, 1)[0]?.split('/').filter(Boolean) ?? [];
  return segments
    .slice(0, ROUTE_SEGMENTS)
    .map((segment) => (WORD.test(segment) && !holdsKey(segment) ? `/${segment}` : '/*'))
    .join('');
}
