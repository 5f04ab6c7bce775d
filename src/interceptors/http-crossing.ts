/** A request of node:http, as another provider of the same protocol gets it. */
import type { ClientRequest, RequestOptions } from 'node:http';
import type { Translation } from '../manager/managed-origins.js';
import { isPlainAgent } from './http-connection.js';
import { optionsIn } from './http-destination.js';

export type Protocol = 'http:' | 'https:';
export type Make = (this: unknown, ...args: unknown[]) => ClientRequest;

/** `request` of both modules, as it is without keymux. */
export type Natives = Readonly<Record<Protocol, Make>>;

/** Say nothing of the destination, and hold for any. */
const KEPT_OPTIONS = [
  ...['ca', 'family', 'insecureHTTPParser', 'joinDuplicateHeaders', 'localAddress', 'maxHeaderSize'],
  ...['noDelay', 'signal', 'timeout'],
];

/** Headers of the message, not of what it says. */
const FRAMING = new Set(['host', 'content-length', 'transfer-encoding', 'trailer']);

/** `args`: those of the application's call of `request` or `get`. The request has none of its headers. */
export function requestElsewhere(
  natives: Natives,
  method: string,
  args: readonly unknown[],
  translation: Translation,
): ClientRequest {
  const [url, stated] = optionsIn(args);
  const given: Record<string, unknown> = { ...url, ...stated };
  const { protocol, hostname, port } = new URL(translation.origin);
  const host = hostname.startsWith('[') ? hostname.slice(1, -1) : hostname;
  const options: Record<string, unknown> = { protocol, host, method, path: translation.path };
  if (port !== '') options.port = port;
  for (const name of KEPT_OPTIONS) if (given[name] !== undefined) options[name] = given[name];
  const { agent } = given as RequestOptions;
  if (agent === false || (typeof agent === 'object' && isPlainAgent(agent, protocol))) options.agent = agent;
  return natives[protocol as Protocol](options);
}

/** `head`: as the application made it. */
export function headElsewhere(head: string, translation: Translation): string {
  const { origin, path, dropHeaders, holdsKey, setHeaders, body } = translation;
  const [requestLine = '', ...lines] = head.split('\r\n');
  const [method = 'GET'] = requestLine.split(' ', 1);
  const kept = lines.filter((line) => {
    const name = nameOf(line);
    if (name === '' || FRAMING.has(name) || Object.hasOwn(setHeaders, name)) return false;
    return !dropHeaders.has(name) && !holdsKey(line);
  });
  const hadBody = lines.some((line) => ['content-length', 'transfer-encoding'].includes(nameOf(line)));
  const length = body?.length ?? (hadBody ? 0 : undefined);
  const set = Object.entries(setHeaders).map(([name, value]) => `${name}: ${value}`);
  return [
    `${method} ${path} HTTP/1.1`,
    `Host: ${new URL(origin).host}`,
    ...kept,
    ...set,
    ...(length === undefined ? [] : [`Content-Length: ${length}`]),
    '\r\n',
  ].join('\r\n');
}

/** In lower case; empty where the line is no header. */
function nameOf(line: string): string {
  return line.slice(0, Math.max(0, line.indexOf(':'))).toLowerCase();
}
