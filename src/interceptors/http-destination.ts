/** Where a request of node:http goes: what it connects to, whatever its Host header says. */
import type { Agent, ClientRequest } from 'node:http';

export interface ConnectOptions {
  readonly protocol?: unknown;
  readonly hostname?: unknown;
  readonly host?: unknown;
  readonly port?: unknown;
  readonly defaultPort?: unknown;
  readonly socketPath?: unknown;
  readonly agent?: unknown;
}

type Protocol = 'http:' | 'https:';

/**
 * The origin, as `new URL(…).origin` writes it, of a request that an agent is about to connect: `options` are those
 * that `addRequest` got, and the agent's own win over them. Undefined for anything but TCP.
 */
export function agentOrigin(
  request: ClientRequest,
  options: ConnectOptions,
  agent: Agent,
): string | undefined {
  const own = (agent as { readonly options?: ConnectOptions }).options;
  if (options.socketPath || own?.socketPath) return undefined;
  return originOf(request.protocol, own?.host ?? options.host, own?.port ?? options.port);
}

/** The same, from what `request` or `get` were called with: for agents of another make, and for none. */
export function statedOrigin(
  request: ClientRequest,
  protocol: Protocol,
  args: readonly unknown[],
): string | undefined {
  const [url, options] = optionsIn(args);
  const read = (name: keyof ConnectOptions): unknown =>
    options !== undefined && Object.hasOwn(options, name) ? options[name] : url?.[name];
  if (read('socketPath')) return undefined;
  const { agent } = request as { readonly agent?: { readonly defaultPort?: unknown } };
  const port =
    read('port') || read('defaultPort') || agent?.defaultPort || (protocol === 'https:' ? 443 : 80);
  const host = read('hostname') || read('host') || 'localhost';
  return host === request.host ? originOf(request.protocol, host, port) : undefined;
}

/**
 * Whether a call with these arguments is what asks this agent for a connection, and not a request that an agent of
 * another make sends on its behalf.
 */
export function isAgentOf(args: readonly unknown[], agent: Agent): boolean {
  for (const argument of args) {
    if (typeof argument !== 'object' || argument instanceof URL) continue;
    const stated = asOptions(argument)?.agent;
    if (typeof stated === 'object' && stated !== null && stated !== agent) return false;
  }
  return true;
}

/** The URL and the options of a call of `request` or `get`, the former as options. */
export function optionsIn(
  args: readonly unknown[],
): [ConnectOptions | undefined, ConnectOptions | undefined] {
  const [first, second] = args;
  if (typeof first !== 'string' && !(first instanceof URL)) return [undefined, asOptions(first)];
  const { protocol, hostname, port } = new URL(first);
  // As `url.urlToHttpOptions` gives them.
  const host = hostname.startsWith('[') ? hostname.slice(1, -1) : hostname;
  return [{ protocol, hostname: host, ...(port === '' ? {} : { port }) }, asOptions(second)];
}

function asOptions(value: unknown): ConnectOptions | undefined {
  return typeof value === 'object' && value !== null ? value : undefined;
}

/** Mostly the next request goes where the last one went; to build its origin anew takes ten times as long. */
let last:
  | { readonly protocol: string; readonly host: unknown; readonly port: unknown; readonly origin: string }
  | undefined;

function originOf(protocol: string, host: unknown, port: unknown): string | undefined {
  if (last?.host === host && last?.port === port && last?.protocol === protocol) return last.origin;
  if (typeof host !== 'string' || (typeof port !== 'number' && typeof port !== 'string')) return undefined;
  const isDefault = Number(port) === (protocol === 'https:' ? 443 : 80);
  const name = host.includes(':') && !host.startsWith('[') ? `[${host}]` : host;
  const origin = `${protocol}//${name.toLowerCase()}${isDefault ? '' : `:${port}`}`;
  last = { protocol, host, port, origin };
  return origin;
}
