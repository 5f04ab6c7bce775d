/** A real server with the gateway's own routes alone, and tokens that are called as their roles. */
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Caller, Role } from '#keymux/gateway/access.js';
import { createOwnRoutes } from '#keymux/gateway/own-routes.js';
import type { OwnRoutesOptions } from '#keymux/gateway/own-routes.js';
import type { KeyManager } from '#keymux/manager/key-manager.js';
import { createObservation } from '#keymux/observe/observation.js';
import { onTestFinished } from 'vitest';
import { acmeManager } from '../manager/acme.js';

/** Every key begins with it; it must never be in an answer. */
export const CANARY = 'canary-7be1';

export interface Asked {
  readonly method?: string;
  readonly token?: Role | 'none';
  readonly headers?: Readonly<Record<string, string>>;
  readonly json?: unknown;
  readonly body?: string;
}

export interface Answered {
  readonly status: number;
  readonly headers: Headers;
  readonly text: string;
  /** The body as JSON; undefined where it is none. */
  readonly json: Record<string, unknown> | undefined;
}

export interface OwnServer {
  readonly origin: string;
  readonly manager: KeyManager;
  /** Behind `/-`; as administrator unless told otherwise. */
  ask(path: string, asked?: Asked): Promise<Answered>;
  close(): void;
}

export interface OwnServerOptions extends Partial<Omit<OwnRoutesOptions, 'manager'>> {
  readonly manager?: KeyManager;
  /** Further tokens, with their roles. */
  readonly tokens?: Readonly<Record<string, Role>>;
  /** The address that requests seem to come from. */
  readonly from?: string;
}

export async function ownServer({ tokens, from, ...options }: OwnServerOptions = {}): Promise<OwnServer> {
  const manager =
    options.manager ??
    acmeManager({ keys: [`${CANARY}-one`, `${CANARY}-two`], services: { data: { providers: ['acme'] } } });
  const observation = options.observation ?? createObservation(manager);
  const routes = createOwnRoutes({
    observation,
    dashboard: (path) =>
      path === '/' ? { contentType: 'text/html; charset=utf-8', body: '<!doctype html>page' } : undefined,
    version: '1.2.3',
    ...options,
    manager,
  });
  const server = createServer((request, response) => {
    const url = new URL(request.url ?? '/', 'http://gateway');
    if (from !== undefined) Object.defineProperty(request.socket, 'remoteAddress', { value: from });
    const path = url.pathname.replace(/^\/-/, '');
    void routes.handle({
      request,
      response,
      target: { kind: 'own', path, query: url.searchParams },
      caller: callerOf(request.headers.authorization, tokens),
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  onTestFinished(() => {
    routes.close();
    observation.close();
    server.closeAllConnections();
    server.close();
  });
  const origin = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  return {
    origin,
    manager,
    ask: (path, asked) => ask(`${origin}/-${path}`, asked),
    close: () => routes.close(),
  };
}

function callerOf(authorization: string | undefined, tokens: OwnServerOptions['tokens'] = {}): Caller {
  const token = /^Bearer (.+)$/.exec(authorization ?? '')?.[1] ?? '';
  const role = tokens[token] ?? (['use', 'read', 'admin'] as const).find((one) => one === token);
  return { roles: new Set(role === undefined ? [] : [role]), name: role ?? 'nobody' };
}

async function ask(
  url: string,
  { method, token = 'admin', headers, json, body }: Asked = {},
): Promise<Answered> {
  const response = await fetch(url, {
    method: method ?? (json === undefined && body === undefined ? 'GET' : 'POST'),
    redirect: 'manual',
    headers: {
      ...(token === 'none' ? {} : { authorization: `Bearer ${token}` }),
      ...(json === undefined ? {} : { 'content-type': 'application/json' }),
      ...headers,
    },
    ...(json === undefined && body === undefined ? {} : { body: body ?? JSON.stringify(json) }),
  });
  const text = await response.text();
  if (text.includes(CANARY)) throw new Error('A key is in an answer.');
  return { status: response.status, headers: response.headers, text, json: jsonOf(text) };
}

function jsonOf(text: string): Record<string, unknown> | undefined {
  try {
    return JSON.parse(text) as Record<string, unknown>;
  } catch {
    return undefined;
  }
}
