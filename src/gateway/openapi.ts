/** The OpenAPI document of the gateway's API, made from its routes. */
import * as z from 'zod';
import { errorSchema } from './error-body.js';
import type { ApiRoute } from './api-route.js';
import * as schemas from './api-schemas.js';

type Json = Readonly<Record<string, unknown>>;

/** Answers that have a name of their own in the document. */
const NAMED = new Map<z.ZodType, string>([
  [errorSchema, 'Error'],
  [schemas.stateSchema, 'State'],
  [schemas.keySchema, 'Key'],
  [schemas.retiringSchema, 'RetiringKey'],
  [schemas.explanationSchema, 'Explanation'],
  [schemas.decisionsSchema, 'Decisions'],
  [schemas.requestSchema, 'RequestExplanation'],
  [schemas.decisionRecordSchema, 'DecisionRecord'],
  [schemas.seriesSchema, 'SeriesAnswer'],
  [schemas.historySchema, 'History'],
  [schemas.usageSchema, 'Usage'],
  [schemas.fleetSchema, 'Fleet'],
  [schemas.auditSchema, 'Audit'],
  [schemas.reloadSchema, 'Reloaded'],
  [schemas.addedSchema, 'AddedKey'],
  [schemas.newKeySchema, 'NewKey'],
]);

const REFUSALS: Readonly<Record<number, string>> = {
  400: 'The request is not as described here.',
  401: 'No token, or none that is known.',
  403: 'The token lacks the role, or another site made the browser send this.',
  404: 'There is no such thing.',
  409: 'It is there already.',
  413: 'The body is too large.',
  415: 'The body is no JSON, or says that it is something else.',
  422: 'What it refers to cannot be used.',
  503: 'Not now.',
};

export interface DocumentFacts {
  readonly version: string;
}

export function openApiDocument(routes: readonly ApiRoute[], { version }: DocumentFacts): Json {
  const paths: Record<string, Record<string, Json>> = {};
  for (const one of routes) {
    (paths[`/-${one.path}`] ??= {})[one.method.toLowerCase()] = operationOf(one);
  }
  return {
    openapi: '3.1.0',
    info: {
      title: 'keymux gateway',
      version,
      description:
        'State and administration of a running gateway. Every answer is JSON; refusals tell code, message and what to do.',
    },
    servers: [{ url: '/' }],
    security: [{ bearer: [] }, { token: [] }],
    paths,
    components: {
      securitySchemes: {
        bearer: { type: 'http', scheme: 'bearer' },
        token: { type: 'apiKey', in: 'header', name: 'x-keymux-token' },
      },
      schemas: Object.fromEntries([...NAMED].map(([schema, name]) => [name, jsonSchemaOf(schema)])),
    },
  };
}

function operationOf(one: ApiRoute): Json {
  const refusals = new Set([400, 401, 403, 503, ...(one.body ? [413, 415] : []), ...(one.refusals ?? [])]);
  const answers = [...refusals].map((status) => [
    status,
    { description: REFUSALS[status], content: jsonContent(errorSchema) },
  ]);
  return {
    operationId: one.operationId,
    summary: one.summary,
    description: `Needs the role \`${one.role}\`.`,
    tags: [one.role],
    parameters: [...parametersOf('path', one.params), ...parametersOf('query', one.query)],
    ...(one.body === undefined ? {} : { requestBody: { required: true, content: jsonContent(one.body) } }),
    responses: {
      [one.status ?? 200]: { description: 'As asked.', content: jsonContent(one.answer) },
      ...Object.fromEntries(answers),
    },
  };
}

function parametersOf(place: 'path' | 'query', schema: z.ZodObject | undefined): Json[] {
  return Object.entries(schema?.shape ?? {}).map(([name, value]) => {
    const { description, ...rest } = jsonSchemaOf(value as z.ZodType);
    const isRequired = place === 'path';
    return {
      name,
      in: place,
      required: isRequired,
      ...(description === undefined ? {} : { description }),
      schema: rest,
    };
  });
}

function jsonContent(schema: z.ZodType): Json {
  const name = NAMED.get(schema);
  const shown = name === undefined ? jsonSchemaOf(schema) : { $ref: `#/components/schemas/${name}` };
  return { 'application/json': { schema: shown } };
}

function jsonSchemaOf(schema: z.ZodType): Json {
  const { $schema: _, ...rest } = z.toJSONSchema(schema, { target: 'draft-2020-12' });
  return rest;
}
