/** Answers requests to the API by the table of its routes. */
import type { IncomingMessage } from 'node:http';
import type * as z from 'zod';
import { KeymuxError } from '../core/errors.js';
import { ApiRefusal, badRequest } from './api-refusal.js';
import { CHANGE_ROUTES } from './api-change-routes.js';
import { READ_ROUTES } from './api-read-routes.js';
import type { ApiContext, ApiRoute } from './api-route.js';
import type { Caller, Role } from './access.js';
import { readJson } from './json-body.js';
import type { OwnRequest } from './own-routes.js';

export const API_ROUTES: readonly ApiRoute[] = [...READ_ROUTES, ...CHANGE_ROUTES];

export interface ApiAnswer {
  readonly status: number;
  readonly value: unknown;
}

interface Match {
  readonly route: ApiRoute;
  readonly params: Readonly<Record<string, string>>;
}

/** Rejects with an `ApiRefusal` or a `KeymuxError`. */
export async function answerApi(own: OwnRequest, context: ApiContext): Promise<ApiAnswer> {
  const { route, params } = findRoute(own.request, own.target.path);
  demandRole(own.caller, route.role);
  const query = Object.fromEntries(own.target.query);
  const input = {
    params: parsed(route.params, params, 'path'),
    query: route.query === undefined ? refuseQuery(query) : parsed(route.query, query, 'query'),
    body: route.body === undefined ? undefined : parsed(route.body, await readJson(own.request), 'body'),
  };
  refuseOpenSecret(own.request, input.body);
  return { status: route.status ?? 200, value: await route.work(input, context, own.caller) };
}

export function demandRole(caller: Caller, role: Exclude<Role, 'use'>): void {
  if (caller.roles.has(role) || caller.roles.has('admin')) return;
  if (caller.roles.size === 0) {
    const error = new KeymuxError('KEYMUX_ACCESS_DENIED', 'This needs a token.', {
      fix: 'Send `Authorization: Bearer TOKEN`; `keymux serve` says where its tokens are.',
    });
    throw new ApiRefusal(401, error, { 'www-authenticate': 'Bearer realm="keymux"' });
  }
  const error = new KeymuxError(
    'KEYMUX_ACCESS_DENIED',
    `The token "${caller.name}" has not the role ${role}.`,
    {
      fix: `Use a token with the role ${role}.`,
    },
  );
  throw new ApiRefusal(403, error);
}

function findRoute(request: IncomingMessage, path: string): Match {
  const matches = API_ROUTES.flatMap((route): Match[] => {
    const params = paramsOf(route.path, path);
    return params === undefined ? [] : [{ route, params }];
  });
  const method = request.method === 'HEAD' ? 'GET' : request.method;
  const found = matches.find(({ route }) => route.method === method);
  if (found !== undefined) return found;
  if (matches.length === 0) {
    throw new ApiRefusal(
      404,
      new KeymuxError('KEYMUX_USAGE', 'There is nothing here.', { fix: 'See /-/api/openapi.json.' }),
    );
  }
  throw wrongMethod(matches.map(({ route }) => route.method));
}

export function wrongMethod(allowed: readonly string[]): ApiRefusal {
  const all = allowed.includes('GET') ? ['HEAD', ...allowed] : allowed;
  const error = new KeymuxError('KEYMUX_USAGE', 'This cannot be asked with that method.', {
    fix: `Use ${allowed.join(' or ')}.`,
  });
  return new ApiRefusal(405, error, { allow: all.join(', ') });
}

function paramsOf(template: string, path: string): Record<string, string> | undefined {
  const wanted = template.split('/');
  const given = path.split('/');
  if (wanted.length !== given.length) return undefined;
  const params: Record<string, string> = {};
  for (const [index, step] of wanted.entries()) {
    const part = given[index] ?? '';
    const name = /^\{(\w+)\}$/.exec(step)?.[1];
    if (name === undefined && step !== part) return undefined;
    if (name !== undefined) params[name] = decoded(part);
  }
  return params;
}

function decoded(part: string): string {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}

function parsed(schema: z.ZodType | undefined, value: unknown, place: string): unknown {
  if (schema === undefined) return {};
  const result = schema.safeParse(value);
  if (result.success) return result.data;
  // What was sent is not repeated: it may be a key.
  const where = result.error.issues.map(({ path }) => path.join('.')).filter((text) => text !== '');
  const known = 'shape' in schema ? Object.keys(schema.shape as object).join(', ') : '';
  throw badRequest(
    `The ${place} is not as described${where.length === 0 ? '' : `: ${[...new Set(where)].join(', ')}`}.`,
    `Known here: ${known}. See /-/api/openapi.json.`,
  );
}

function refuseQuery(query: Readonly<Record<string, string>>): object {
  if (Object.keys(query).length === 0) return {};
  throw badRequest('This takes nothing behind `?`.', 'Leave the query out.');
}

/** A key in the open must not have crossed a network in the open. */
function refuseOpenSecret({ socket }: IncomingMessage, body: unknown): void {
  if (typeof body !== 'object' || body === null || !('secret' in body)) return;
  const isLoopback = /^(?:127\.|::1$|::ffff:127\.)/.test(socket.remoteAddress ?? '');
  if (isLoopback || 'encrypted' in socket) return;
  const error = new KeymuxError('KEYMUX_ACCESS_DENIED', 'A key was sent over a network in the open.', {
    fix: 'Replace that key, and add the new one by reference (`file:PATH`), over TLS, or on this machine.',
  });
  throw new ApiRefusal(403, error);
}
