/**
 * `node:http2` used directly, and clients built upon it (got with `http2: true`, gRPC). The key is replaced and the
 * answer observed; a stream is never repeated, since the application holds it before its head goes out.
 */
import type { ClientHttp2Session, ClientHttp2Stream } from 'node:http2';
import Module from 'node:module';
import { KeymuxError } from '../core/errors.js';
import { tellHttp2Request } from '../manager/destinations.js';
import type { KeyManager } from '../manager/key-manager.js';
import { isOwned } from '../manager/ownership.js';
import type { Undo } from '../manager/phases.js';
import type { Destination } from './http2-destination.js';
import { destinationOf, namedOrigin } from './http2-destination.js';
import type { MakeStream } from './http2-exchange.js';
import { Http2Exchange, failedStream } from './http2-exchange.js';
import { RequestHeaders } from './http2-headers.js';
import type { KeyGuard } from './key-guard.js';
import { guardOf } from './key-guard.js';
import { keyFinderOf } from './key-placement.js';
import { reportOwnError } from './pass-through.js';
import { patch, patchAll, watchReads } from './patches.js';

type Connect = (this: unknown, ...args: unknown[]) => ClientHttp2Session;
type Keep = (undo: () => unknown) => void;

interface ModuleLoader {
  _load(request: string, parent: unknown, isMain: boolean): unknown;
}

/** Marks the options of a stream whose key was chosen, for every copy of keymux. */
const ATTEMPT = Symbol.for('keymux.attempt');

/** Takes care of what goes out through node:http2 until the returned function is called. */
export function installHttp2(manager: KeyManager): Undo {
  const layer = new Http2Layer(manager);
  return patchAll((keep) => {
    let isWanted = true;
    keep(() => (isWanted = false));
    const patchOnce = (): void => {
      if (!isWanted) return;
      isWanted = false;
      const http2 = process.getBuiltinModule('node:http2') as unknown as { connect: Connect };
      keep(patch(http2, 'connect', (original) => layer.wrapConnect(original, keep)));
    };
    if (isHttp2Loaded()) patchOnce();
    else onLoad(patchOnce, keep);
  });
}

function isHttp2Loaded(): boolean {
  const { moduleLoadList } = process as { readonly moduleLoadList?: readonly string[] };
  // Loaded before the rest. Where Node does not tell, too early is better than never.
  return moduleLoadList?.includes('NativeModule internal/http2/compat') ?? true;
}

/**
 * node:http2 takes 7 to 16 ms to load (Node 20 to 26), so that is left to whoever needs it. `require` passes
 * `Module._load`; the `import` of a built-in module passes nothing. But on its way node:http2 reads an export of
 * node:http that nothing else has a use for.
 */
function onLoad(patchOnce: () => void, keep: Keep): void {
  const http = process.getBuiltinModule('node:http') as { readonly _connectionListener?: unknown };
  const onRead = (): boolean => {
    // Whoever imports node:http reads it, too.
    const isLoading = isHttp2Loaded();
    if (isLoading) queueMicrotask(patchOnce);
    return isLoading;
  };
  keep(watchReads(http, '_connectionListener', onRead));
  keep(
    patch(Module as unknown as ModuleLoader, '_load', (original) => (request, parent, isMain) => {
      const exported = original.call(Module, request, parent, isMain);
      if (request === 'http2' || request === 'node:http2') patchOnce();
      return exported;
    }),
  );
}

/** Of sessions that were made before keymux came. */
const UNSEEN: Destination = { origin: undefined, namedOrigin: undefined, facts: { isUnknownAgent: true } };

interface Plan {
  /** What is sent where there is nothing to exchange. */
  readonly headers: unknown;
  readonly exchange?: Http2Exchange;
  /** The headers with the key for them. */
  readonly keyed?: object;
}

class Http2Layer {
  readonly #manager: KeyManager;
  readonly #guard: KeyGuard;
  readonly #destinations = new WeakMap<ClientHttp2Session, Destination>();
  #isRequestPatched = false;

  constructor(manager: KeyManager) {
    this.#manager = manager;
    this.#guard = guardOf(manager);
  }

  /** The class of sessions can be reached only through one of them; `keep` takes what undoes its patch. */
  wrapConnect(original: Connect, keep: Keep): Connect {
    const note = (session: ClientHttp2Session, args: readonly unknown[]): void => {
      this.#destinations.set(session, destinationOf(args));
      if (this.#isRequestPatched) return;
      this.#isRequestPatched = true;
      const prototype = Object.getPrototypeOf(session) as { request: MakeStream };
      keep(patch(prototype, 'request', (make) => this.#wrapRequest(make)));
    };
    return function (this: unknown, ...args) {
      const session = original.apply(this, args);
      try {
        note(session, args);
      } catch (error) {
        reportOwnError(error);
      }
      return session;
    };
  }

  #wrapRequest(original: MakeStream): MakeStream {
    const make = (session: ClientHttp2Session, headers: unknown, options: unknown): ClientHttp2Stream => {
      if (isOwned() || isMarked(options) || isOfUndici(session))
        return original.call(session, headers, options);
      let plan: Plan = { headers };
      try {
        plan = this.#plan(session, headers);
      } catch (error) {
        if (error instanceof KeymuxError) return failedStream(original, session, options, error);
        reportOwnError(error);
      }
      const { exchange, keyed } = plan;
      const marked =
        exchange === undefined ? options : { ...(options as object | undefined), [ATTEMPT]: true };
      try {
        const stream = original.call(session, keyed ?? plan.headers, marked);
        exchange?.watch(stream);
        return stream;
      } catch (error) {
        exchange?.cancel();
        throw error;
      }
    };
    return function (this: ClientHttp2Session, headers, options) {
      return make(this, headers, options);
    };
  }

  /** Throws a `KeymuxError` where nothing may be sent. */
  #plan(session: ClientHttp2Session, headers: unknown): Plan {
    let request = RequestHeaders.of(headers);
    if (request === undefined || request.isTunnel) return { headers };
    const destination = this.#destinations.get(session) ?? UNSEEN;
    const origin = this.#originOf(destination, request);
    const { path, method } = request;
    let remaining = headers;
    if (this.#guard.isOnWatch) {
      const dropped = this.#guard.check({
        origin,
        path,
        headers: request.entries(),
        connection: () => destination.facts,
      });
      if (dropped !== undefined) ({ source: remaining } = request = request.without(dropped));
    }
    const managed = origin === undefined ? undefined : this.#manager.origins.find(origin);
    if (origin === undefined || managed === undefined) return { headers: remaining };
    tellHttp2Request(origin, path);
    const found = request.find(keyFinderOf(managed));
    if (found === undefined) return { headers: remaining };
    const url = `${origin}${path}`;
    const exchange = new Http2Exchange(this.#manager, {
      managed,
      found,
      method,
      path,
      url,
      guard: this.#guard,
    });
    return { headers: remaining, exchange, keyed: found.withKey(exchange.begin()) };
  }

  /**
   * What the session is connected to, unless the request names somebody else: whoever answers there might pass it on.
   */
  #originOf({ origin, ...destination }: Destination, request: RequestHeaders): string | undefined {
    if (origin === undefined) return undefined;
    const { protocol } = new URL(origin);
    const authority = request.get(':authority') ?? request.get('host');
    const named = authority === undefined ? destination.namedOrigin : namedOrigin(authority, protocol);
    if (named === origin) return origin;
    const managed = this.#manager.origins.find(origin);
    const isOfSame =
      managed !== undefined && named !== undefined && this.#manager.origins.find(named) === managed;
    return isOfSame ? origin : undefined;
  }
}

function isMarked(options: unknown): boolean {
  return typeof options === 'object' && options !== null && ATTEMPT in options;
}

/** undici's sessions know their client; what goes out there was chosen where undici dispatches. */
function isOfUndici(session: ClientHttp2Session): boolean {
  const symbol = Object.getOwnPropertySymbols(session).find(({ description }) => description === 'client');
  const client: unknown = symbol === undefined ? undefined : Reflect.get(session, symbol);
  return typeof client === 'object' && client !== null && 'dispatch' in client;
}
