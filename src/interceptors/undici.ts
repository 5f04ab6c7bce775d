/**
 * Built-in `fetch` and `WebSocket`, and every undici from npm: all of them send through
 * `DispatcherBase.prototype.dispatch`. Explicit agents, pools and proxies are covered, and each hop of a redirect.
 */
import Module, { createRequire } from 'node:module';
import type { KeyManager } from '../manager/key-manager.js';
import { isOwned } from '../manager/ownership.js';
import type { Undo } from '../manager/phases.js';
import { keyFinderOf } from './key-placement.js';
import { reportOwnError } from './pass-through.js';
import { patch, patchAll, trapFirstUse } from './patches.js';
import { ATTEMPT, UndiciExchange } from './undici-exchange.js';
import { receiverOf } from './undici-handlers.js';
import type { Dispatch, DispatchOptions, Dispatcher } from './undici-request.js';
import { boundOrigin, findKey } from './undici-request.js';

interface RoutedOptions extends DispatchOptions {
  readonly [ATTEMPT]?: boolean;
}

/** An agent that is choosing a pool: that pool may be closed when the request has to be sent again. */
interface Route {
  readonly options: DispatchOptions;
  readonly dispatcher: Dispatcher;
  readonly dispatch: Dispatch;
}

interface DispatcherPrototype {
  dispatch(this: Dispatcher, options: RoutedOptions, handler: object): boolean;
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
  #route: Route | undefined;

  constructor(manager: KeyManager) {
    this.#manager = manager;
  }

  wrapDispatch(original: DispatcherPrototype['dispatch']): DispatcherPrototype['dispatch'] {
    const dispatchOf =
      (dispatcher: Dispatcher): Dispatch =>
      (options, handler) =>
        original.call(dispatcher, options, handler);
    const handle = (dispatcher: Dispatcher, options: RoutedOptions, handler: object): boolean => {
      const outer = this.#route;
      let exchange: UndiciExchange | undefined;
      try {
        if (isCandidate(options, handler)) {
          const origin = boundOrigin(dispatcher);
          if (origin !== undefined)
            exchange = this.#exchangeFor(origin, dispatcher, dispatchOf, options, handler);
          else if (outer?.options !== options)
            this.#route = { options, dispatcher, dispatch: dispatchOf(dispatcher) };
        }
      } catch (error) {
        reportOwnError(error);
      }
      try {
        return exchange === undefined ? original.call(dispatcher, options, handler) : exchange.begin();
      } finally {
        this.#route = outer;
      }
    };
    return function (this: Dispatcher, options, handler) {
      return handle(this, options, handler);
    };
  }

  #exchangeFor(
    origin: string,
    dispatcher: Dispatcher,
    dispatchOf: (dispatcher: Dispatcher) => Dispatch,
    options: RoutedOptions,
    handler: object,
  ): UndiciExchange | undefined {
    const managed = this.#manager.origins.find(origin);
    if (managed === undefined) return undefined;
    const found = findKey(options, keyFinderOf(managed));
    if (found === undefined) return undefined;
    const dispatch = dispatchOf(dispatcher);
    const route = this.#route?.options === options ? this.#route : { dispatcher, dispatch };
    return new UndiciExchange(this.#manager, {
      options,
      found,
      managed,
      receiver: receiverOf(handler),
      dispatch,
      redispatch: route.dispatch,
      isOpen: () => route.dispatcher.closed !== true && route.dispatcher.destroyed !== true,
    });
  }
}

/** Arguments that are of no use are undici's to refuse. */
function isCandidate(options: unknown, handler: unknown): options is RoutedOptions {
  if (typeof options !== 'object' || options === null) return false;
  if (typeof handler !== 'object' || handler === null) return false;
  const { [ATTEMPT]: isAttempt, path, method } = options as Partial<RoutedOptions>;
  return isAttempt !== true && typeof path === 'string' && method !== 'CONNECT' && !isOwned();
}
