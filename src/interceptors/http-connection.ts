/** What can make a connection of node:http lead elsewhere than to the host that a request names. */
import type { Agent, ClientRequest } from 'node:http';
import type { Socket } from 'node:net';
import type { ConnectionFacts } from './connection-trust.js';

/** Options of a request and of an agent that say how they connect. */
interface ConnectingOptions {
  readonly host?: unknown;
  readonly port?: unknown;
  readonly lookup?: unknown;
  readonly socketPath?: unknown;
  readonly createConnection?: unknown;
  readonly rejectUnauthorized?: unknown;
  readonly checkServerIdentity?: unknown;
  readonly servername?: unknown;
  readonly cert?: unknown;
  readonly pfx?: unknown;
}

interface Connector {
  readonly protocol?: unknown;
  readonly createConnection?: unknown;
  readonly createSocket?: unknown;
  readonly addRequest?: unknown;
  readonly options?: ConnectingOptions | null;
}

/**
 * `agent`: the one that connects the request; undefined where there is none, or where it is not known. `stated`: the
 * options of the request.
 */
export function connectionFacts(
  request: ClientRequest,
  agent: Agent | undefined,
  stated: object | undefined,
): ConnectionFacts {
  const own: ConnectingOptions = agent === undefined ? {} : ((agent as Connector).options ?? {});
  const options: ConnectingOptions = { ...stated, ...own };
  return {
    hasLookup: isGiven(options.lookup),
    hasSocketPath: isGiven(options.socketPath),
    hasOwnConnector: isGiven(options.createConnection),
    rejectUnauthorized: options.rejectUnauthorized,
    hasIdentityCheck: hasOwnIdentityCheck(options),
    servername: options.servername ?? serverNameOf(request),
    isUnknownAgent: agent === undefined ? !isGiven(options.createConnection) : !isPlatformAgent(agent),
  };
}

/** got states the platform's own. */
function hasOwnIdentityCheck({ checkServerIdentity }: ConnectingOptions): boolean {
  if (!isGiven(checkServerIdentity)) return false;
  return checkServerIdentity !== process.getBuiltinModule('node:tls').checkServerIdentity;
}

/** Makes this connection the one that its agent takes next, if it is free. */
export function preferConnection(agent: Agent, connection: Socket): void {
  const { freeSockets, scheduling } = agent as Agent & { readonly scheduling?: unknown };
  for (const free of Object.values(freeSockets)) {
    const at = free?.indexOf(connection) ?? -1;
    if (free === undefined || at === -1) continue;
    free.splice(at, 1);
    if (scheduling === 'fifo') free.unshift(connection);
    else free.push(connection);
  }
}

/** Whether an agent may also connect requests to other hosts. */
export function isPlainAgent(agent: Agent, protocol: string): boolean {
  const { options, protocol: own } = agent as Connector;
  if (own !== protocol || !isPlatformAgent(agent)) return false;
  const { host, port, lookup, socketPath, checkServerIdentity, servername, cert, pfx } = options ?? {};
  if ([host, port, lookup, socketPath, checkServerIdentity, servername, cert, pfx].some(isGiven))
    return false;
  return options?.rejectUnauthorized !== false;
}

/** Whether nothing about how it connects is the application's own. */
function isPlatformAgent(agent: Agent): boolean {
  const http = process.getBuiltinModule('node:http').Agent.prototype as Connector;
  const https = process.getBuiltinModule('node:https').Agent.prototype as Connector;
  return CONNECTING_MEMBERS.every((name) => {
    const member = (agent as Connector)[name];
    return member === http[name] || member === https[name];
  });
}

const CONNECTING_MEMBERS = ['createConnection', 'createSocket', 'addRequest'] as const;

/** Where nothing else is said, an agent takes the name that the certificate is checked against from the Host header. */
function serverNameOf(request: ClientRequest): string | undefined {
  const header = request.getHeader('host');
  if (request.protocol !== 'https:' || typeof header !== 'string') return undefined;
  return URL.canParse(`https://${header}`) ? new URL(`https://${header}`).hostname : header;
}

function isGiven(value: unknown): boolean {
  return value !== undefined && value !== null && value !== '';
}
