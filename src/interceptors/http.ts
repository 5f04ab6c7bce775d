/**
 * `node:http` and `node:https`, and all that is built upon them: axios, got, node-fetch, superagent, ws, SDKs. The key
 * is replaced in the head just before it goes out; `request` and `get` are wrapped so that a request can be repeated.
 */
import type { Agent, ClientRequest } from 'node:http';
import type { KeyManager } from '../manager/key-manager.js';
import type { ManagedOrigin } from '../manager/managed-origins.js';
import { isOwned } from '../manager/ownership.js';
import type { Undo } from '../manager/phases.js';
import { agentOrigin, isAgentOf, statedOrigin } from './http-destination.js';
import { HttpExchange } from './http-exchange.js';
import { findKeyInHead } from './http-head.js';
import type { Request, Send } from './http-internals.js';
import { internalsOf, isTakenOver, setHidden } from './http-internals.js';
import { keyFinderOf } from './key-placement.js';
import { reportOwnError } from './pass-through.js';
import { patch, patchAll } from './patches.js';
import type { OnSocket } from './socket-gate.js';
import { SocketGate } from './socket-gate.js';

type Make = (this: unknown, ...args: unknown[]) => ClientRequest;
type AddRequest = (this: Agent, request: ClientRequest, options: unknown, ...rest: unknown[]) => void;
type Protocol = 'http:' | 'https:';

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
  const layer = new HttpLayer(manager);
  const requests = http.ClientRequest.prototype as unknown as { _send: Send; onSocket: OnSocket };
  const agents = http.Agent.prototype as unknown as { addRequest: AddRequest };
  const makers: readonly (readonly [Makers, Protocol])[] = [
    [http as unknown as Makers, 'http:'],
    [https as unknown as Makers, 'https:'],
  ];
  return patchAll((keep) => {
    keep(patch(requests, '_send', (original) => layer.wrapSend(original)));
    keep(patch(requests, 'onSocket', (original) => layer.wrapOnSocket(original)));
    keep(patch(agents, 'addRequest', (original) => layer.wrapAddRequest(original)));
    for (const [module, protocol] of makers) {
      const native = module.request;
      keep(patch(module, 'request', (original) => layer.wrapMake(original, native, protocol)));
      keep(patch(module, 'get', (original) => layer.wrapMake(original, native, protocol)));
    }
  });
}

/** What is known of a request to a managed origin before its first bytes. */
interface Plan {
  readonly managed: ManagedOrigin;
  /** Absent where nobody knows how the request was made. */
  readonly remake?: (() => ClientRequest) | undefined;
  /** Absent where keymux does not know the agent. */
  readonly gate?: SocketGate;
}

/** A call of `request` or `get` that is running. */
interface Making {
  readonly args: readonly unknown[];
  readonly protocol: Protocol;
  readonly remake: () => ClientRequest;
  isPlanned: boolean;
}

class HttpLayer {
  readonly #manager: KeyManager;
  /** Where a request keeps its plan; in a WeakMap, each request would be an entry for the collector to follow. */
  readonly #planKey = Symbol('keymux.plan');
  #making: Making | undefined;
  #isRemaking = false;

  constructor(manager: KeyManager) {
    this.#manager = manager;
  }

  /** `native` makes a request without sending it, as `request` does. */
  wrapMake(original: Make, native: Make, protocol: Protocol): Make {
    const make = (self: unknown, args: unknown[]): ClientRequest => {
      if (this.#isRemaking || isOwned()) return original.apply(self, args);
      const outer = this.#making;
      const making: Making = {
        args,
        protocol,
        remake: () => this.#remake(native, self, args),
        isPlanned: false,
      };
      this.#making = making;
      try {
        const request = original.apply(self, args);
        this.#planByCall(request);
        return request;
      } finally {
        this.#making = outer;
      }
    };
    return function (this: unknown, ...args) {
      return make(this, args);
    };
  }

  /** Where an agent connects the request, the destination is known exactly. */
  wrapAddRequest(original: AddRequest): AddRequest {
    const plan = (agent: Agent, request: ClientRequest, options: unknown): void =>
      this.#plan(agent, request, options);
    return function (this: Agent, request, options, ...rest) {
      plan(this, request, options);
      return original.call(this, request, options, ...rest);
    };
  }

  wrapOnSocket(original: OnSocket): OnSocket {
    const gateOf = (request: ClientRequest): SocketGate | undefined => this.#planOf(request)?.gate;
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

  #planOf(request: ClientRequest): Plan | undefined {
    return (request as unknown as Record<symbol, Plan | undefined>)[this.#planKey];
  }

  #setPlan(request: ClientRequest, plan: Plan): void {
    setHidden(request, this.#planKey, plan);
  }

  #remake(native: Make, self: unknown, args: readonly unknown[]): ClientRequest {
    this.#isRemaking = true;
    try {
      return native.apply(self, typeof args.at(-1) === 'function' ? args.slice(0, -1) : [...args]);
    } finally {
      this.#isRemaking = false;
    }
  }

  #plan(agent: Agent, request: ClientRequest, options: unknown): void {
    if (this.#isRemaking || isOwned() || isTakenOver(request)) return;
    if (typeof options !== 'object' || options === null) return;
    const making = this.#making;
    try {
      const origin = agentOrigin(request, options, agent);
      const managed = origin === undefined ? undefined : this.#manager.origins.find(origin);
      const isByCall = making !== undefined && !making.isPlanned && isAgentOf(making.args, agent);
      if (isByCall) making.isPlanned = true;
      if (managed !== undefined)
        this.#setPlan(request, {
          managed,
          remake: isByCall ? making.remake : undefined,
          gate: new SocketGate(request, agent, options),
        });
    } catch (error) {
      reportOwnError(error);
    }
  }

  /** For requests whose agent is of another make, and for those without one. */
  #planByCall(request: ClientRequest): void {
    const making = this.#making;
    if (making === undefined || making.isPlanned) return;
    try {
      const origin = statedOrigin(request, making.protocol, making.args);
      if (origin === undefined) return;
      making.isPlanned = true;
      const managed = this.#manager.origins.find(origin);
      if (managed !== undefined) this.#setPlan(request, { managed, remake: making.remake });
    } catch (error) {
      reportOwnError(error);
    }
  }

  #takesOver(request: Request, send: Send): boolean {
    try {
      this.#planByCall(request);
      const plan = this.#planOf(request);
      if (plan === undefined || request._header === null || isTakenOver(request)) return false;
      const found = findKeyInHead(request._header, keyFinderOf(plan.managed));
      if (found === undefined) return false;
      new HttpExchange(this.#manager, { request, found, send, ...plan }).begin();
      return true;
    } catch (error) {
      reportOwnError(error);
      return false;
    }
  }
}
