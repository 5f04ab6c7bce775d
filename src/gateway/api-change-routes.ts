/** What an administrator may change while the gateway runs. */
import type * as z from 'zod';
import { KeymuxError } from '../core/errors.js';
import { Secret } from '../core/secret.js';
import type { KeySnapshot } from '../manager/inspection.js';
import type { KeyManager } from '../manager/key-manager.js';
import type { Caller } from './access.js';
import { ApiRefusal } from './api-refusal.js';
import { route } from './api-route.js';
import type { ApiRoute } from './api-route.js';
import {
  addedSchema,
  keyParams,
  keySchema,
  newKeySchema,
  reloadSchema,
  retiringSchema,
} from './api-schemas.js';

const ACTIONS = {
  disable: 'Take a key out of use until it is enabled again, for all processes.',
  enable: 'Let a disabled key be used again.',
  reset: 'Forget what is held against a key, its bucket and its provider.',
} as const;

const actions = (Object.keys(ACTIONS) as (keyof typeof ACTIONS)[]).map((action) =>
  route({
    method: 'POST',
    path: `/api/keys/{provider}/{id}/${action}`,
    role: 'admin',
    operationId: `${action}Key`,
    summary: ACTIONS[action],
    params: keyParams,
    answer: keySchema,
    refusals: [404],
    work: ({ params }, { manager }, caller) => {
      const id = `${params.provider}/${params.id}`;
      manager[action](id, administeredBy(caller));
      return keyOf(manager, id);
    },
  }),
);

const addKey = route({
  method: 'POST',
  path: '/api/keys',
  role: 'admin',
  operationId: 'addKey',
  summary: 'Add a key until the gateway ends. What is to last belongs into the configuration.',
  status: 201,
  body: newKeySchema,
  answer: addedSchema,
  refusals: [409, 422],
  work: ({ body }, { manager }, caller) => {
    refuseTaken(manager, body);
    const { secret, ...rest } = withoutAbsent(body);
    const key = { ...rest, ...(secret === undefined ? {} : { secret: new Secret(secret) }) };
    const id = manager.addKey(key, administeredBy(caller));
    return { key: keyOf(manager, id), keptIn: 'memory' as const };
  },
});

const retireKey = route({
  method: 'DELETE',
  path: '/api/keys/{provider}/{id}',
  role: 'admin',
  operationId: 'retireKey',
  summary:
    'Give a key no more requests; those under way with it finish. Holds until the gateway ends: take it out of the configuration too.',
  status: 202,
  params: keyParams,
  answer: retiringSchema,
  refusals: [404],
  work: ({ params }, { manager }, caller) =>
    manager.retireKey(`${params.provider}/${params.id}`, administeredBy(caller)),
});

const reload = route({
  method: 'POST',
  path: '/api/reload',
  role: 'admin',
  operationId: 'reload',
  summary: 'Read environment file and configuration anew. A faulty one changes nothing.',
  answer: reloadSchema,
  refusals: [422],
  work: (_, { manager }, caller) => {
    manager.reload(administeredBy(caller));
    const { keys, services, notes } = manager.inspect();
    return { keys: keys.length, services: services.length, notes };
  },
});

export const CHANGE_ROUTES: readonly ApiRoute[] = [...actions, addKey, retireKey, reload];

function administeredBy({ name }: Caller): { readonly by: string } {
  return { by: `gateway token ${name}` };
}

function keyOf(manager: KeyManager, id: string): KeySnapshot {
  const key = manager.inspect().keys.find((one) => one.id === id);
  if (key !== undefined) return key;
  throw new KeymuxError('KEYMUX_UNKNOWN_KEY', `There is no key "${id}" any more.`, {
    fix: 'GET /-/api/state lists those there are.',
  });
}

function refuseTaken(manager: KeyManager, { provider, id }: { provider: string; id: string }): void {
  if (manager.inspect().keys.every((key) => key.id !== `${provider}/${id}`)) return;
  const taken = new KeymuxError('KEYMUX_USAGE', `There is a key ${provider}/${id} already.`, {
    fix: 'Choose another id, or retire that key first.',
  });
  throw new ApiRefusal(409, taken);
}

type Present<T> = { [Name in keyof T]: Exclude<T[Name], undefined> };

/** The same without properties that are there and undefined. */
function withoutAbsent(body: z.output<typeof newKeySchema>): Present<typeof body> {
  return Object.fromEntries(Object.entries(body).filter(([, value]) => value !== undefined)) as Present<
    typeof body
  >;
}
