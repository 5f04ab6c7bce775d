import { API_ROUTES } from '#keymux/gateway/api.js';
import SwaggerParser from '@apidevtools/swagger-parser';
import { describe, expect, it } from 'vitest';
import * as z from 'zod';
import { acmeManager } from '../manager/acme.js';
import { ownServer } from './own-server.js';
import type { Answered, Asked, OwnServer } from './own-server.js';

type Document = Awaited<ReturnType<typeof SwaggerParser.validate>>;
type Schema = Parameters<typeof z.fromJSONSchema>[0];

interface Operation {
  readonly operationId: string;
  readonly responses: Readonly<Record<string, { content: { 'application/json': { schema: Schema } } }>>;
}

/** A request for each operation of the document, and the status it is to be answered with. */
const REQUESTS: Readonly<Record<string, readonly [path: string, status: number, asked?: Asked][]>> = {
  getState: [['/api/state', 200]],
  explainService: [
    ['/api/services/data/explain', 200],
    ['/api/services/nothing/explain', 404],
  ],
  listRequests: [
    ['/api/requests', 200],
    ['/api/requests?last=1&service=data', 200],
    ['/api/requests?last=0', 400],
  ],
  explainRequest: [['/api/requests/nothing', 404]],
  exportDecisions: [['/api/decisions', 200]],
  getSeries: [
    ['/api/series', 200],
    ['/api/series?subject=acme/main&lastMs=60000', 200],
    ['/api/series?lastMs=-1', 400],
  ],
  getHistory: [
    ['/api/history', 200],
    ['/api/history?key=acme/main', 200],
  ],
  getUsage: [['/api/usage', 200]],
  getCaller: [['/api/caller', 200]],
  getFleet: [['/api/fleet', 200]],
  getAudit: [
    ['/api/audit', 404],
    ['/api/audit?last=0', 400],
  ],
  disableKey: [['/api/keys/acme/main/disable', 200, { method: 'POST' }]],
  enableKey: [['/api/keys/acme/main/enable', 200, { method: 'POST' }]],
  resetKey: [
    ['/api/keys/acme/main/reset', 200, { method: 'POST' }],
    ['/api/keys/acme/other/reset', 404, { method: 'POST' }],
  ],
  addKey: [
    ['/api/keys', 201, { json: { provider: 'acme', id: 'spare', secret: 'key-spare' } }],
    ['/api/keys', 409, { json: { provider: 'acme', id: 'spare', secret: 'key-other' } }],
    ['/api/keys', 422, { json: { provider: 'acme', id: 'other', value: 'env:NOT_SET' } }],
    ['/api/keys', 400, { json: {} }],
    ['/api/keys', 415, { body: 'text' }],
    ['/api/keys', 413, { json: 'x'.repeat(70_000) }],
  ],
  retireKey: [['/api/keys/acme/spare', 202, { method: 'DELETE' }]],
  reload: [['/api/reload', 200, { method: 'POST' }]],
};

async function documentOf({ ask }: OwnServer): Promise<Document> {
  const { json } = await ask('/api/openapi.json');
  return await SwaggerParser.validate(structuredClone(json) as unknown as Document);
}

function operationsOf(document: Document): Map<string, Operation> {
  const operations = Object.values(document.paths ?? {}).flatMap((path) => Object.values(path ?? {}));
  return new Map((operations as unknown as Operation[]).map((one) => [one.operationId, one]));
}

function expectAsDescribed({ responses }: Operation, { status, json }: Answered): void {
  const described = responses[String(status)];
  if (described === undefined) throw new Error(`The document does not tell of ${status}.`);
  const parsed = z.fromJSONSchema(described.content['application/json'].schema).safeParse(json);
  expect(parsed.error?.issues ?? []).toEqual([]);
}

describe('the OpenAPI document', () => {
  it('is valid, and tells of every route and its role', async () => {
    const document = await documentOf(await ownServer());
    expect(document).toMatchObject({ openapi: '3.1.0', info: { version: '1.2.3' } });
    const described = Object.entries(document.paths ?? {}).flatMap(([path, methods]) =>
      Object.entries(methods as Record<string, { description: string }>).map(
        ([method, { description }]) => `${method.toUpperCase()} ${path} ${description}`,
      ),
    );
    expect(described.toSorted()).toEqual(
      API_ROUTES.map(
        ({ method, path, role }) => `${method} /-${path} Needs the role \`${role}\`.`,
      ).toSorted(),
    );
  });

  it('is kept by every answer', async () => {
    const server = await ownServer();
    const operations = operationsOf(await documentOf(server));
    const { manager } = server;
    manager.report('acme/2', {
      kind: 'rate-limited',
      scope: 'key',
      executed: 'no',
      retryAt: Date.now() + 60_000,
    });
    manager.report('acme/main', 'success', { costUsd: 0.5 });
    await manager.fetch('data', '/').catch(() => {});
    expect([...operations.keys()].toSorted()).toEqual(Object.keys(REQUESTS).toSorted());
    for (const [operationId, requests] of Object.entries(REQUESTS)) {
      const operation = operations.get(operationId) as Operation;
      for (const [path, status, asked] of requests) {
        const answer = await server.ask(path, asked);
        expect([operationId, path, answer.status]).toEqual([operationId, path, status]);
        expectAsDescribed(operation, answer);
        for (const [token, refused] of [
          ['none', 401],
          ['use', 403],
        ] as const) {
          const refusal = await server.ask(path, { ...asked, token });
          expect([operationId, refusal.status]).toEqual([operationId, refused]);
          expectAsDescribed(operation, refusal);
        }
      }
    }
  });

  it('is kept where limits, buckets and stated allowances are told', async () => {
    const manager = acmeManager({
      provider: {
        limits: [{ requests: 1, per: 'hour' }],
        keys: [{ id: 'main', value: 'env:ACME_API_KEY', bucket: 'shared' }],
      },
      services: { data: { providers: ['acme'] } },
    });
    await manager.ready;
    (await manager.acquire('acme')).end();
    const server = await ownServer({ manager });
    const operations = operationsOf(await documentOf(server));
    const [decision] = manager.decisions();
    for (const [operationId, path] of [
      ['getState', '/api/state'],
      ['explainService', '/api/services/data/explain'],
      ['explainRequest', `/api/requests/${decision?.requestId}`],
    ] as const) {
      const answer = await server.ask(path);
      expect([operationId, answer.status]).toEqual([operationId, 200]);
      expectAsDescribed(operations.get(operationId) as Operation, answer);
    }
  });
});
