/**
 * `node:http` and `node:https`, and all that is built upon them: axios, got, node-fetch, superagent, ws, SDKs. The key
 * is replaced in the head just before it goes out; `request` and `get` are wrapped so that a request can be repeated.
 */
import { AsyncResource } from 'node:async_hooks';
import type { Agent, ClientRequest } from 'node:http';
import type { Socket } from 'node:net';
import type { KeyManager } from '../manager/key-manager.js';
import type { ManagedOrigin, Translation } from '../manager/managed-origins.js';
import { KeymuxError } from '../core/errors.js';
import { isOwned } from '../manager/ownership.js';
import type { Undo } from '../manager/phases.js';
import { connectionFacts, preferConnection } from './http-connection.js';
import type { Make, Natives, Protocol } from './http-crossing.js';
import { requestElsewhere } from './http-crossing.js';
import { agentOrigin, isAgentOf, optionsIn, statedOrigin } from './http-destination.js';
import { HttpExchange } from './http-exchange.js';
import { findKeyInHead, headersIn, pathIn, withoutHeaders } from './http-head.js';
import type { Request, Send } from './http-internals.js';
import { internalsOf, isTakenOver, setHidden } from './http-internals.js';
import type { Maker } from './http-route.js';
import { Stamp } from './http-stamp.js';
import type { KeyGuard } from './key-guard.js';
import { guardOf } from './key-guard.js';
import { keyFinderOf } from './key-placement.js';
import { reportOwnError } from './pass-through.js';
import { patch, patchAll } from './patches.js';
import type { OnSocket } from './socket-gate.js';
import { SocketGate } from './socket-gate.js';

type AddRequest = (this: Agent, request: ClientRequest, options: unknown, ...rest: unknown[]) => void;

/** The modules and prototypes, as they are patched. */
interface Makers {
  request: Make;
  get: Make;
}

/** Takes care of what goes out through node:http and node:https until the returned function is called. */
export function installHttp(manager: KeyManager): Undo {
  // Not imported: that would make an ES module of node:http, whose WebSocket loads undici (Node 22 and later).
  const http = process.getBuiltinModule('node:http');
  const https = process.getBuiltinModule('node:https');
  const modules: Readonly<Record<Protocol, Makers>> = {
    'http:': http as unknown as Makers,
    'https:': https as unknown as Makers,
  };
  // They make a request without sending it.
  const natives = { 'http:': modules['http:'].request, 'https:': modules['https:'].request };
  const layer = new HttpLayer(manager, natives);
  const requests = requestPrototype(http) as unknown as { _send: Send; onSocket: OnSocket };
  const agents = http.Agent.prototype as unknown as { addRequest: AddRequest };
  return patchAll((keep) => {
    keep(patch(requests, '_send', (original) => layer.wrapSend(original)));
    keep(patch(requests, 'onSocket', (original) => layer.wrapOnSocket(original)));
    keep(patch(agents, 'addRequest', (original) => layer.wrapAddRequest(original)));
    for (const protocol of ['http:', 'https:'] as const) {
      const module = modules[protocol];
      keep(patch(module, 'request', (original) => layer.wrapMake(original, protocol)));
      keep(patch(module, 'get', (original) => layer.wrapMake(original, protocol)));
    }
  });
}

/** Node's own, though somebody may have replaced the class by one that extends it, as nock does. */
function requestPrototype({ ClientRequest: Class, OutgoingMessage }: typeof import('node:http')): object {
  let prototype: object = Class.prototype;
  for (
    let parent: unknown = Object.getPrototypeOf(prototype);
    typeof parent === 'object' && parent !== null && parent !== OutgoingMessage.prototype;
    parent = Object.getPrototypeOf(prototype)
  )
    prototype = parent;
  return prototype;
}

/** What is known of a request before its first bytes. */
interface Plan {
  readonly origin: string;
  readonly managed: ManagedOrigin | undefined;
  /** Absent where nobody knows how the request was made. */
  readonly call: Call | undefined;
  /** Absent where keymux does not know the agent. */
  readonly gate?: SocketGate | undefined;
}

interface Plans {
  of(request: ClientRequest): Plan | undefined;
  set(request: ClientRequest, plan: Plan): void;
}

/** Each call makes a class with a field of its own: what one manager plans is none of another one's business. */
function createPlans(): Plans {
  return class Planned extends Stamp {
    #plan: Plan;

    constructor(request: ClientRequest, plan: Plan) {
      super(request);
      this.#plan = plan;
    }

    static of(request: object): Plan | undefined {
      return #plan in request ? request.#plan : undefined;
    }

    static set(request: ClientRequest, plan: Plan): void {
      const object: object = request;
      if (#plan in object) object.#plan = plan;
      else new Planned(request, plan);
    }
  };
}

/** Nobody is told when a context is collected; with that, Node would have to watch each of them. */
const NO_DESTROY = { requireManualDestroy: true };

/** A call of `request` or `get`, which can be made once more. */
class Call implements Maker {
  readonly args: readonly unknown[];
  readonly protocol: Protocol;
  isPlanned = false;
  isManaged = false;
  /** The asynchronous context of the call, in which a tracer finds what it was part of. */
  context: AsyncResource | undefined;
  readonly #layer: HttpLayer;
  readonly #self: unknown;

  constructor(layer: HttpLayer, protocol: Protocol, self: unknown, args: readonly unknown[]) {
    this.#layer = layer;
    this.protocol = protocol;
    this.#self = self;
    this.args = args;
  }

  again(connection: Socket | null): ClientRequest {
    const { args } = this;
    const made = typeof args.at(-1) === 'function' ? args.slice(0, -1) : [...args];
    return this.#remake((natives) => natives[this.protocol].apply(this.#self, made), connection);
  }

  elsewhere(method: string, translation: Translation): ClientRequest {
    return this.#remake((natives) => requestElsewhere(natives, method, this.args, translation));
  }

  #remake(make: (natives: Natives) => ClientRequest, connection: Socket | null = null): ClientRequest {
    const { context } = this;
    const remake = (): ClientRequest => this.#layer.remake(make, connection);
    return context === undefined ? remake() : context.runInAsyncScope(remake);
  }
}

class HttpLayer {
  readonly #manager: KeyManager;
  readonly #guard: KeyGuard;
  readonly #natives: Natives;
  readonly #plans = createPlans();
  #call: Call | undefined;
  #isRemaking = false;
  /** That the request which is being made again had before. */
  #connection: Socket | null = null;

  constructor(manager: KeyManager, natives: Natives) {
    this.#manager = manager;
    this.#guard = guardOf(manager);
    this.#natives = natives;
  }

  wrapMake(original: Make, protocol: Protocol): Make {
    const make = (self: unknown, args: unknown[]): ClientRequest => {
      if (this.#isRemaking || isOwned()) return original.apply(self, args);
      const outer = this.#call;
      const call = new Call(this, protocol, self, args);
      this.#call = call;
      try {
        const request = original.apply(self, args);
        this.#planByCall(request);
        // Here and not where it is planned: a tracer below may have made its own context the current one there.
        if (call.isManaged) call.context = new AsyncResource('keymux.request', NO_DESTROY);
        return request;
      } finally {
        this.#call = outer;
      }
    };
    return function (this: unknown, ...args) {
      return make(this, args);
    };
  }

  /** Where an agent connects the request, the destination is known exactly. */
  wrapAddRequest(original: AddRequest): AddRequest {
    const plan = (agent: Agent, request: ClientRequest, options: unknown): void => {
      if (this.#connection !== null) preferConnection(agent, this.#connection);
      this.#plan(agent, request, options);
    };
    return function (this: Agent, request, options, ...rest) {
      plan(this, request, options);
      return original.call(this, request, options, ...rest);
    };
  }

  wrapOnSocket(original: OnSocket): OnSocket {
    const gateOf = (request: ClientRequest): SocketGate | undefined => this.#plans.of(request)?.gate;
    return function (this: ClientRequest, socket, error) {
      const gate = gateOf(this);
      if (gate === undefined) original.call(this, socket, error);
      else gate.receive(socket, error, original);
    };
  }

  wrapSend(original: Send): Send {
    const takesOver = (request: Request): boolean => this.#takesOver(request, original);
    return function (this: ClientRequest, data, encoding, callback, byteLength) {
      const request = internalsOf(this);
      // Taken over, it has a `_send` of its own.
      if (!request._headerSent && takesOver(request))
        return request._send(data, encoding, callback, byteLength);
      return original.call(this, data, encoding, callback, byteLength);
    };
  }

  remake(make: (natives: Natives) => ClientRequest, connection: Socket | null): ClientRequest {
    this.#isRemaking = true;
    this.#connection = connection;
    try {
      return make(this.#natives);
    } finally {
      this.#isRemaking = false;
      this.#connection = null;
    }
  }

  #plan(agent: Agent, request: ClientRequest, options: unknown): void {
    if (this.#isRemaking || isOwned() || isTakenOver(request)) return;
    if (typeof options !== 'object' || options === null) return;
    const running = this.#call;
    try {
      const isByCall = running !== undefined && !running.isPlanned && isAgentOf(running.args, agent);
      if (isByCall) running.isPlanned = true;
      const origin = agentOrigin(request, options, agent);
      const managed = this.#wanted(origin);
      if (origin === undefined || managed === null) return;
      const call = isByCall ? running : undefined;
      const gate = managed === undefined ? undefined : new SocketGate(request, agent, options);
      this.#setPlan(request, { origin, managed, call, gate });
    } catch (error) {
      reportOwnError(error);
    }
  }

  #setPlan(request: ClientRequest, plan: Plan): void {
    this.#plans.set(request, plan);
    if (plan.call !== undefined) plan.call.isManaged = plan.managed !== undefined;
  }

  /** For requests whose agent is of another make, and for those without one. */
  #planByCall(request: ClientRequest): void {
    const call = this.#call;
    if (call === undefined || call.isPlanned) return;
    try {
      const origin = statedOrigin(request, call.protocol, call.args);
      const managed = this.#wanted(origin);
      if (origin === undefined) return;
      call.isPlanned = true;
      if (managed !== null) this.#setPlan(request, { origin, managed, call });
    } catch (error) {
      reportOwnError(error);
    }
  }

  /** Null where requests to this origin are none of our business. */
  #wanted(origin: string | undefined): ManagedOrigin | null | undefined {
    const managed = origin === undefined ? undefined : this.#manager.origins.find(origin);
    return managed === undefined && !this.#guard.isOnWatch ? null : managed;
  }

  /** Whether somebody takes care of what the request sends, or of its not being sent. */
  #takesOver(request: Request, send: Send): boolean {
    try {
      this.#planByCall(request);
      const plan = this.#plans.of(request);
      const { _header: whole } = request;
      if (whole === null || isTakenOver(request)) return false;
      const dropped = this.#guard.isOnWatch && !isOwned() ? this.#check(request, whole, plan) : undefined;
      const head = dropped === undefined ? whole : withoutHeaders(whole, dropped);
      const managed = plan?.managed;
      const found = managed === undefined ? undefined : findKeyInHead(head, keyFinderOf(managed));
      if (plan === undefined || managed === undefined || found === undefined) {
        if (dropped !== undefined) sendWith(request, head, send);
        return dropped !== undefined;
      }
      const { origin, call, gate } = plan;
      new HttpExchange(this.#manager, { request, found, origin, managed, maker: call, gate, send }).begin();
      return true;
    } catch (error) {
      if (error instanceof KeymuxError && error.code === 'KEYMUX_ORIGIN_REFUSED')
        return refuse(request, error);
      reportOwnError(error);
      return false;
    }
  }

  #check(request: Request, head: string, plan: Plan | undefined): ReadonlySet<string> | undefined {
    return this.#guard.check({
      origin: plan?.origin,
      path: pathIn(head),
      headers: headersIn(head),
      connection: () =>
        connectionFacts(request, plan?.gate?.agent, plan?.gate?.options ?? optionsOf(plan?.call)),
    });
  }
}

function optionsOf(call: Call | undefined): object | undefined {
  return call === undefined ? undefined : optionsIn(call.args)[1];
}

/** Another head goes out than the one that the application sees. */
function sendWith(request: Request, head: string, send: Send): void {
  const visible = request._header;
  setHidden(request, '_send', (...args: Parameters<Send>) => {
    Reflect.deleteProperty(request, '_send');
    request._header = head;
    try {
      return send.apply(request, args);
    } finally {
      request._header = visible;
    }
  });
}

/** Nothing of it is sent. */
function refuse(request: Request, error: KeymuxError): true {
  setHidden(request, '_send', () => false);
  request.destroy(error);
  return true;
}
