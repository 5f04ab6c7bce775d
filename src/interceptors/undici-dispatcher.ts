/** Dispatchers of any undici, built in or from npm: what can be seen of them, and how to send through them. */

/** Marks the options of an attempt, which every copy of keymux leaves alone. */
export const ATTEMPT = Symbol.for('keymux.attempt');
/** In the options of an attempt whose way is watched: whom they pass through, is told. */
export const CONNECTION = Symbol('keymux.connection');

/** The options of `dispatch` that matter here; the others pass through. */
export interface DispatchOptions {
  readonly origin?: string | URL | undefined;
  readonly path: string;
  readonly method?: string;
  readonly headers?: unknown;
  readonly body?: unknown;
  /** Null after a redirect. */
  readonly query?: Readonly<Record<string, unknown>> | null | undefined;
  /** Stands in for the host in TLS. */
  readonly servername?: string | undefined;
  readonly upgrade?: unknown;
  readonly [ATTEMPT]?: boolean;
  readonly [CONNECTION]?: { via(dispatcher: object): void };
}

export interface Dispatcher {
  readonly closed?: boolean;
  readonly destroyed?: boolean;
}

export type Dispatch = (this: Dispatcher, options: DispatchOptions, handler: object) => boolean;

/** A dispatcher, with its own `dispatch` as it was before it was replaced. */
export class Way {
  readonly dispatcher: Dispatcher;
  readonly #dispatch: Dispatch;

  constructor(dispatcher: Dispatcher, dispatch: Dispatch) {
    this.dispatcher = dispatcher;
    this.#dispatch = dispatch;
  }

  /** Whether the dispatcher takes more. */
  send(options: DispatchOptions, handler: object): boolean {
    return this.#dispatch.call(this.dispatcher, options, handler);
  }

  get isClosed(): boolean {
    return this.dispatcher.closed === true || this.dispatcher.destroyed === true;
  }
}

/** undici keeps its own affairs under symbols, whose descriptions are the same in all its versions. */
export function hidden(object: object, description: string): unknown {
  const symbol = Object.getOwnPropertySymbols(object).find((own) => own.description === description);
  return symbol === undefined ? undefined : Reflect.get(object, symbol);
}

interface Nature {
  readonly boundOrigin: string | undefined;
  readonly isForwardProxy: boolean;
}

/** By dispatcher: every request asks several times. */
const natures = new WeakMap<object, Nature>();

function natureOf(dispatcher: object): Nature {
  let nature = natures.get(dispatcher);
  if (nature === undefined) {
    const url = hidden(dispatcher, 'url');
    nature = {
      boundOrigin: url instanceof URL ? url.origin : undefined,
      isForwardProxy: dispatcher.constructor.name === 'Http1ProxyWrapper',
    };
    natures.set(dispatcher, nature);
  }
  return nature;
}

/**
 * The origin that a client or pool is bound to. An agent has none: it chooses one of its pools, which is dispatched to
 * in turn. Only this decides where a request goes; `options.origin` does not.
 */
export function boundOrigin(dispatcher: object): string | undefined {
  return natureOf(dispatcher).boundOrigin;
}

/** A proxy that gets whole requests; it is chosen by an agent, and tells of no origin. */
export function isForwardProxy(dispatcher: object): boolean {
  return natureOf(dispatcher).isForwardProxy;
}
