/**
 * Where a connection of undici really leads. What a dispatcher was made with is mostly hidden in closures, so that two
 * things are looked at: what can be seen of agent, pool and client, and, when the first bytes are about to be written,
 * the socket. What neither of them proves is not trusted.
 */
import { Socket, isIP } from 'node:net';
import { TLSSocket, checkServerIdentity } from 'node:tls';
import type { KeymuxError } from '../core/errors.js';
import { originRefused } from '../manager/destinations.js';
import type { ConnectionFacts } from './connection-trust.js';
import { judgeConnection } from './connection-trust.js';
import { boundOrigin, hidden, isForwardProxy } from './undici-dispatcher.js';

type Facts = { -readonly [Name in keyof ConnectionFacts]: ConnectionFacts[Name] };
type Fields = Readonly<Record<string, unknown>>;
type Connector = (...args: never[]) => unknown;

// --- what can be seen of a dispatcher ---------------------------------------------------------------------------

/** Whether a dispatcher sends to whatever origin it is told. */
export function choosesByOrigin(dispatcher: object): boolean {
  return classNamed(dispatcher, AGENTS) !== undefined;
}

/**
 * What is known before it connects, of the client or pool that sends and of the agent that chose it (or the same
 * again). `origin`: where it is to connect to.
 */
export function dispatcherFacts(agent: object, bound: readonly object[], origin: string): ConnectionFacts {
  const facts: Facts = agent === bound[0] ? {} : agentFacts(agent);
  for (const [index, dispatcher] of bound.entries()) {
    const make = makeOf(dispatcher, bound[index - 1]);
    if (make === 'own') facts.hasOwnConnector = true;
    if (make === 'tunnel' && origin.startsWith('http:')) facts.isPlainProxy = true;
  }
  return facts;
}

function agentFacts(agent: object): Facts {
  const options = hidden(agent, 'options');
  if (typeof options !== 'object' || options === null) return {};
  const { connect, tls, socketPath } = options as Fields;
  if (typeof connect === 'function') return isTunnel(connect as Connector) ? {} : { hasOwnConnector: true };
  return optionFacts({ socketPath, ...(tls as Fields | undefined), ...(connect as Fields | undefined) });
}

/** As undici hands them to `net.connect` and `tls.connect`. */
function optionFacts(options: Fields): Facts {
  const { socketPath, path, lookup, rejectUnauthorized, servername } = options;
  const { checkServerIdentity: check } = options;
  return {
    hasSocketPath: (socketPath ?? path ?? undefined) !== undefined,
    hasLookup: typeof lookup === 'function',
    hasIdentityCheck: typeof check === 'function' && check !== checkServerIdentity,
    rejectUnauthorized,
    servername,
  };
}

/** The connector is one that undici makes by itself, the tunnel of a `ProxyAgent`, or the application's own. */
type Make = 'usual' | 'tunnel' | 'own';

function makeOf(dispatcher: object, pool: object | undefined): Make {
  const connector = connectorOf(dispatcher);
  if (connector === undefined) return 'own';
  if (isTunnel(connector)) return 'tunnel';
  const usual = usualConnectors(dispatcher);
  const text = String(connector);
  if (text === usual?.made) return 'usual';
  // undici 8 wraps what a client is given; the client of a pool is given what the pool has.
  const isGivenByPool = text === usual?.wrapped && pool !== undefined && hasUsualFactory(pool);
  return isGivenByPool ? makeOf(pool, undefined) : 'own';
}

function connectorOf(dispatcher: object): Connector | undefined {
  const options = hidden(dispatcher, 'options') as Fields | undefined;
  const connector = hidden(dispatcher, 'connector') ?? options?.['connect'];
  return typeof connector === 'function' ? (connector as Connector) : undefined;
}

/** Known by a symbol that nothing else of undici, and nobody else, speaks of. */
function isTunnel(connector: Connector): boolean {
  return String(connector).includes('kConnectEndpoint');
}

function hasUsualFactory(pool: object): boolean {
  const factory = hidden(pool, 'factory');
  return typeof factory === 'function' && factory.name === 'defaultFactory';
}

interface UsualConnectors {
  /** The source of the connector that undici makes. */
  readonly made: string;
  /** The source of what it wraps around one that it is given, if it does. */
  readonly wrapped: string | undefined;
}

type DispatcherClass = new (origin: string, options?: object) => object;

const AGENTS: ReadonlySet<string> = new Set(['Agent', 'EnvHttpProxyAgent', 'ProxyAgent']);
const CLASSES: ReadonlySet<string> = new Set(['Client', 'Pool', 'RoundRobinPool']);
const usualByClass = new WeakMap<object, UsualConnectors>();

/** Taken from a dispatcher of the same undici that was made without options. */
function usualConnectors(dispatcher: object): UsualConnectors | undefined {
  const make = classNamed(dispatcher, CLASSES);
  if (make === undefined) return undefined;
  let usual = usualByClass.get(make);
  if (usual === undefined) {
    const given = (): void => {};
    const kept = connectorOf(new make('http://localhost', { connect: given }));
    usual = {
      made: String(connectorOf(new make('http://localhost'))),
      wrapped: kept === given ? undefined : String(kept),
    };
    usualByClass.set(make, usual);
  }
  return usual;
}

/** The class of that name that undici, and not the application, made. */
function classNamed(dispatcher: object, names: ReadonlySet<string>): DispatcherClass | undefined {
  for (
    let object: unknown = Object.getPrototypeOf(dispatcher);
    typeof object === 'object' && object !== null;
    object = Object.getPrototypeOf(object)
  ) {
    if (names.has(object.constructor.name)) return object.constructor as DispatcherClass;
  }
  return undefined;
}

// --- what a socket proves ---------------------------------------------------------------------------------------

/** Sockets that were found to lead to an origin. */
const proven = new WeakMap<object, string>();

/** Why this socket does not lead to the origin, as a part of a sentence. */
function socketFault(socket: unknown, origin: string, facts: ConnectionFacts): string | undefined {
  if (!(socket instanceof Socket)) return 'its connection cannot be seen';
  if (proven.get(socket) === origin) return undefined;
  const url = new URL(origin);
  const host = bare(url.hostname) ?? '';
  const fault =
    url.protocol === 'https:'
      ? tlsFault(socket, origin, host)
      : plainFault(socket, host, Number(url.port || 80), facts);
  if (fault === undefined) proven.set(socket, origin);
  return fault;
}

function tlsFault(socket: Socket, origin: string, host: string): string | undefined {
  const options = hidden(socket, 'connect-options');
  if (!(socket instanceof TLSSocket) || typeof options !== 'object' || options === null)
    return 'its connection is not one of TLS';
  const fault = judgeConnection(origin, optionFacts(options as Fields));
  if (fault !== undefined) return fault;
  // Node compared the certificate with this name, or resumed a session for which it had.
  const isProven = socket.authorized && bare((options as Fields)['host']) === host;
  return isProven ? undefined : 'no certificate proves where it leads';
}

/** Without the brackets of an IPv6 address. */
function bare(host: unknown): string | undefined {
  return typeof host === 'string' ? host.replace(/^\[|\]$/g, '') : undefined;
}

/** Without TLS only an address proves anything; a name is believed where nothing but the system resolves it. */
function plainFault(socket: Socket, host: string, port: number, facts: ConnectionFacts): string | undefined {
  const { remoteAddress, remotePort } = socket;
  if (remoteAddress === undefined) return '`socketPath` decides where it goes';
  const address = remoteAddress.replace(/^::ffff:/, '');
  if (remotePort !== port) return 'it is connected to another port';
  if (isIP(host) !== 0) return address === host ? undefined : 'it is connected to another address';
  if (host === 'localhost')
    return /^(127\.|::1$)/.test(address) ? undefined : 'it is connected to another address';
  return facts.hasLookup === false ? undefined : 'nothing tells who resolves the name of its host';
}

// --- an attempt -------------------------------------------------------------------------------------------------

/** The way of one attempt through dispatchers, and what is at its end. */
export class UndiciConnection {
  readonly #provider: string;
  readonly #origin: string;
  readonly #agent: object;
  readonly #mustProve: boolean;
  readonly #bound: object[] = [];
  #hasForwardProxy = false;

  /** `mustProve`: a wrong end would learn a real key; otherwise only the origin of the client is compared. */
  constructor(provider: string, origin: string, agent: object, first: object, mustProve: boolean) {
    this.#provider = provider;
    this.#origin = origin;
    this.#agent = agent;
    this.#mustProve = mustProve;
    this.via(first);
  }

  via(dispatcher: object): void {
    if (boundOrigin(dispatcher) !== undefined) this.#bound.push(dispatcher);
    else if (isForwardProxy(dispatcher)) this.#hasForwardProxy = true;
  }

  /** Asked when the head is about to be written: the client has its socket by then. */
  refusal(): KeymuxError | undefined {
    const fault = this.#fault();
    if (fault === undefined) return undefined;
    const [provider, origin] = [this.#provider, this.#origin];
    return originRefused(
      { provider, origin, fault },
      `A key of ${provider} does not go into a request to ${origin}: ${fault}. The request was not sent.`,
      `Let the client connect in the usual way, or set providers.${provider}.mode to direct.`,
    );
  }

  #fault(): string | undefined {
    const client = this.#bound.at(-1);
    if (this.#hasForwardProxy) return 'a proxy would read it';
    if (client === undefined || boundOrigin(client) !== this.#origin) return 'its agent leads elsewhere';
    if (!this.#mustProve) return undefined;
    const facts = dispatcherFacts(this.#agent, this.#bound, this.#origin);
    const fault = judgeConnection(this.#origin, facts);
    return fault ?? socketFault(hidden(client, 'socket'), this.#origin, facts);
  }
}
