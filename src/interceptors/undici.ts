/**
 * Built-in `fetch` and `WebSocket`, and every undici from npm: all of them send through
 * `DispatcherBase.prototype.dispatch`. Explicit agents, pools and proxies are covered, and each hop of a redirect.
 */
import Module, { createRequire } from 'node:module';
import { KeymuxError } from '../core/errors.js';
import type { KeyManager } from '../manager/key-manager.js';
import type { Crossing, ManagedOrigin } from '../manager/managed-origins.js';
import { isOwned } from '../manager/ownership.js';
import type { Undo } from '../manager/phases.js';
import type { KeyGuard } from './key-guard.js';
import { guardOf } from './key-guard.js';
import { keyFinderOf } from './key-placement.js';
import { reportOwnError } from './pass-through.js';
import { patch, patchAll, trapFirstUse } from './patches.js';
import type { Dispatch, DispatchOptions, Dispatcher } from './undici-dispatcher.js';
import { ATTEMPT, CONNECTION, Way, boundOrigin, isForwardProxy } from './undici-dispatcher.js';
import { UndiciExchange } from './undici-exchange.js';
import { receiverOf } from './undici-receiver.js';
import { DispatchedHeaders, findKey, wholePath } from './undici-request.js';
import { choosesByOrigin, dispatcherFacts } from './undici-trust.js';

/** An agent that is choosing a pool: that pool may be closed when the request has to be sent again. */
interface Route {
  readonly options: DispatchOptions;
  readonly way: Way;
}

interface DispatcherPrototype {
  dispatch: Dispatch;
}

/** Where undici keeps its global agent; it is made when undici is loaded. */
const GLOBAL_DISPATCHERS = [Symbol.for('undici.globalDispatcher.1'), Symbol.for('undici.globalDispatcher.2')];

/** Takes care of what goes out through undici until the returned function is called. */
export function installUndici(manager: KeyManager): Undo {
  const layer = new UndiciLayer(manager);
  const patched = new WeakSet<DispatcherPrototype>();
  return patchAll((keep) => {
    const patchPrototype = (prototype: DispatcherPrototype): void => {
      if (patched.has(prototype)) return;
      patched.add(prototype);
      keep(patch(prototype, 'dispatch', (original) => layer.wrapDispatch(original)));
    };
    const patchLoaded = (): boolean => {
      const found = GLOBAL_DISPATCHERS.map((symbol) => prototypeOf(Reflect.get(globalThis, symbol)));
      for (const prototype of found) if (prototype !== undefined) patchPrototype(prototype);
      return found.some((prototype) => prototype !== undefined);
    };
    // Loading the built-in undici takes longer than all the rest of keymux: it waits until it is needed.
    if (!patchLoaded()) keep(patchOnFirstUse(patchLoaded));
    const onCopy = (prototype: DispatcherPrototype): void => {
      patchPrototype(prototype);
      patchLoaded();
    };
    keep(patchCopies(onCopy));
  });
}

function patchOnFirstUse(patchLoaded: () => boolean): () => void {
  const undoTraps: (() => unknown)[] = [];
  const undo = (): void => {
    for (const undoTrap of undoTraps.splice(0)) undoTrap();
  };
  const onFirstUse = (): void => {
    // Any of its classes loads undici, and with it the global agent.
    void globalThis.Headers;
    if (patchLoaded()) undo();
  };
  undoTraps.push(
    patch(globalThis, 'fetch', (original) => (...args) => {
      onFirstUse();
      return original(...args);
    }),
  );
  const http = process.getBuiltinModule('node:http') as { readonly WebSocket?: unknown };
  if ('WebSocket' in globalThis && 'WebSocket' in http) {
    undoTraps.push(trapFirstUse('WebSocket', () => http.WebSocket, onFirstUse));
  }
  return undo;
}

interface ModuleLoader {
  _load(request: string, parent: unknown, isMain: boolean): unknown;
}

/** npm copies: those that are loaded already, and each one that will be. */
function patchCopies(found: (prototype: DispatcherPrototype) => void): () => unknown {
  const inspect = (exported: unknown): void => {
    if (typeof exported === 'function' && exported.name === 'DispatcherBase') {
      const prototype: unknown = exported.prototype;
      if (isDispatcherPrototype(prototype)) found(prototype);
    }
  };
  const { cache } = createRequire(`${process.cwd()}/`);
  for (const loaded of Object.values(cache)) if (loaded?.loaded === true) inspect(loaded.exports);
  return patch(Module as unknown as ModuleLoader, '_load', (original) => (request, parent, isMain) => {
    const exported = original.call(Module, request, parent, isMain);
    inspect(exported);
    return exported;
  });
}

/** Walks up from a dispatcher, such as the global agent, to what all of its kind inherit from. */
function prototypeOf(dispatcher: unknown): DispatcherPrototype | undefined {
  if (typeof dispatcher !== 'object' || dispatcher === null) return undefined;
  for (
    let object: unknown = Object.getPrototypeOf(dispatcher);
    typeof object === 'object' && object !== null;
    object = Object.getPrototypeOf(object)
  ) {
    if (object.constructor.name === 'DispatcherBase' && isDispatcherPrototype(object)) return object;
  }
  return undefined;
}

function isDispatcherPrototype(object: unknown): object is DispatcherPrototype {
  return typeof object === 'object' && object !== null && Object.hasOwn(object, 'dispatch');
}

class UndiciLayer {
  readonly #manager: KeyManager;
  readonly #guard: KeyGuard;
  #route: Route | undefined;

  constructor(manager: KeyManager) {
    this.#manager = manager;
    this.#guard = guardOf(manager);
  }

  wrapDispatch(original: Dispatch): Dispatch {
    const dispatch = (dispatcher: Dispatcher, options: DispatchOptions, handler: object): boolean =>
      this.#dispatch(new Way(dispatcher, original), options, handler);
    return function (this: Dispatcher, options, handler) {
      if (isCandidate(options, handler)) return dispatch(this, options, handler);
      connectionOf(options)?.via(this);
      return original.call(this, options, handler);
    };
  }

  #dispatch(way: Way, options: DispatchOptions, handler: object): boolean {
    const outer = this.#route;
    let allowed = options;
    let exchange: UndiciExchange | undefined;
    try {
      const origin = boundOrigin(way.dispatcher) ?? forwardedOrigin(way.dispatcher, options);
      const route = isSameRequest(outer, options) ? outer : undefined;
      if (origin === undefined) {
        this.#route = route ?? { options, way };
      } else {
        if (this.#guard.isOnWatch) allowed = this.#check(origin, way.dispatcher, route, options);
        exchange = this.#exchangeFor(origin, way, route, allowed, handler);
      }
    } catch (error) {
      if (error instanceof KeymuxError && error.code === 'KEYMUX_ORIGIN_REFUSED') {
        receiverOf(handler).error(error);
        return false;
      }
      reportOwnError(error);
    }
    try {
      return exchange === undefined ? way.send(allowed, handler) : exchange.begin();
    } finally {
      this.#route = outer;
    }
  }

  /** Without the headers that must not go to this origin. */
  #check(
    origin: string,
    dispatcher: Dispatcher,
    route: Route | undefined,
    options: DispatchOptions,
  ): DispatchOptions {
    const headers = new DispatchedHeaders(options.headers);
    const dropped = this.#guard.check({
      origin,
      path: wholePath(options),
      headers,
      connection: () =>
        isForwardProxy(dispatcher)
          ? { isPlainProxy: true }
          : dispatcherFacts(route?.way.dispatcher ?? dispatcher, [dispatcher], origin),
    });
    if (dropped === undefined) return options;
    return { ...options, headers: headers.without((name) => dropped.has(name)) };
  }

  #exchangeFor(
    origin: string,
    way: Way,
    route: Route | undefined,
    options: DispatchOptions,
    handler: object,
  ): UndiciExchange | undefined {
    const { origins } = this.#manager;
    const managed = origins.find(origin) ?? origins.find(namedOrigin(origin, options));
    if (managed === undefined || options.method === 'CONNECT' || isForwardProxy(way.dispatcher))
      return undefined;
    const found = findKey(options, keyFinderOf(managed));
    if (found === undefined) return undefined;
    return new UndiciExchange(this.#manager, {
      options,
      found,
      managed,
      receiver: receiverOf(handler),
      origin,
      way,
      laterWay: route?.way ?? way,
      crossing: route === undefined ? undefined : crossingFor(managed, route, options),
    });
  }
}

/** An agent that goes wherever it is told can reach other providers. */
function crossingFor(
  managed: ManagedOrigin,
  { way: { dispatcher } }: Route,
  options: DispatchOptions,
): Crossing | undefined {
  const { crossing } = managed;
  if (crossing === undefined || (options.upgrade ?? false) !== false) return undefined;
  if (!choosesByOrigin(dispatcher) || !crossing.covers(wholePath(options))) return undefined;
  return options.servername === undefined ? crossing : undefined;
}

/** An address that a `dns` interceptor put in place of a name, which TLS compares with the certificate all the same. */
function namedOrigin(origin: string, { servername }: DispatchOptions): string {
  if (typeof servername !== 'string' || !origin.startsWith('https:')) return origin;
  const url = new URL(origin);
  url.hostname = servername;
  return url.origin;
}

/** The proxy that this is, or is about to be, gets the request. */
function forwardedOrigin(dispatcher: Dispatcher, { origin }: DispatchOptions): string | undefined {
  return isForwardProxy(dispatcher) && URL.canParse(String(origin))
    ? new URL(String(origin)).origin
    : undefined;
}

/** The redirects of undici 5 and 6 stand between an agent and its pools; they hand on a copy. */
function isSameRequest(route: Route | undefined, options: DispatchOptions): route is Route {
  if (route === undefined) return false;
  const { path, method, origin, body } = route.options;
  return (
    route.options === options ||
    (path === options.path &&
      method === options.method &&
      body === options.body &&
      String(origin) === String(options.origin))
  );
}

/** Present in the options of an attempt whose way is watched. */
function connectionOf(options: unknown): DispatchOptions[typeof CONNECTION] {
  return (options as Partial<DispatchOptions> | null | undefined)?.[CONNECTION];
}

/** Arguments that are of no use are undici's to refuse. */
function isCandidate(options: unknown, handler: unknown): boolean {
  if (typeof options !== 'object' || options === null) return false;
  if (typeof handler !== 'object' || handler === null) return false;
  const { [ATTEMPT]: isAttempt, path } = options as Partial<DispatchOptions>;
  return isAttempt !== true && typeof path === 'string' && !isOwned();
}
