/** What can be looked at; nothing here changes anything. */
import * as z from 'zod';
import { KeymuxError } from '../core/errors.js';
import { fleetReport } from '../manager/fleet-report.js';
import { usageReport } from '../manager/usage-report.js';
import { getAudit } from './api-audit-route.js';
import { ApiRefusal } from './api-refusal.js';
import { route } from './api-route.js';
import type { ApiRoute } from './api-route.js';
import {
  callerSchema,
  decisionRecordSchema,
  decisionsSchema,
  explanationSchema,
  fleetSchema,
  historySchema,
  requestSchema,
  seriesSchema,
  stateSchema,
  usageSchema,
} from './api-schemas.js';

const HOUR_MS = 3_600_000;

const getState = route({
  method: 'GET',
  path: '/api/state',
  role: 'read',
  operationId: 'getState',
  summary: 'Services, providers and keys as this process sees them.',
  answer: stateSchema,
  work: (_, { manager }) => ({ ...manager.inspect(), retiring: manager.retiring }),
});

const explainService = route({
  method: 'GET',
  path: '/api/services/{name}/explain',
  role: 'read',
  operationId: 'explainService',
  summary: 'Which key the next request of a service gets, and what stands in the way of the others.',
  params: z.object({ name: z.string() }),
  answer: explanationSchema,
  refusals: [404],
  work: ({ params }, { manager }) => manager.explain(params.name),
});

const listRequests = route({
  method: 'GET',
  path: '/api/requests',
  role: 'read',
  operationId: 'listRequests',
  summary: 'The latest selections of keys for requests, each with why the others were passed over.',
  query: z.strictObject({
    last: z.coerce
      .number<string>()
      .int()
      .min(1)
      .max(1_000)
      .describe('How many at most. Default: 50.')
      .optional(),
    service: z.string().max(200).optional(),
  }),
  answer: decisionsSchema,
  work: ({ query: { last, service } }, { manager }) => {
    const decisions = manager.decisions({
      ...(last === undefined ? {} : { last }),
      ...(service === undefined ? {} : { service }),
    });
    return { decisions };
  },
});

const explainRequest = route({
  method: 'GET',
  path: '/api/requests/{id}',
  role: 'read',
  operationId: 'explainRequest',
  summary: 'Every attempt of one request: which key was taken, why not the others, and what came of it.',
  params: z.object({ id: z.string().describe('As the answer had it in `x-request-id`.') }),
  answer: requestSchema,
  refusals: [404],
  work: ({ params }, { manager }) => {
    const explanation = manager.why(params.id);
    if (explanation !== undefined) return explanation;
    const error = new KeymuxError('KEYMUX_USAGE', 'No such request is known, or no longer.', {
      fix: 'GET /-/api/requests lists those that are.',
    });
    throw new ApiRefusal(404, error);
  },
});

const exportDecisions = route({
  method: 'GET',
  path: '/api/decisions',
  role: 'read',
  operationId: 'exportDecisions',
  summary: 'All selections that are remembered, as `keymux why --from` and `keymux replay` read them.',
  answer: decisionRecordSchema,
  work: (_, { manager }) => manager.exportDecisions(),
});

const getSeries = route({
  method: 'GET',
  path: '/api/series',
  role: 'read',
  operationId: 'getSeries',
  summary: 'Attempts, outcomes and latency over the last hour.',
  query: z.strictObject({
    subject: z
      .string()
      .max(200)
      .describe('`provider/id`, or the id of a provider. Default: every provider.')
      .optional(),
    lastMs: z.coerce
      .number<string>()
      .int()
      .min(1)
      .max(HOUR_MS)
      .describe('How far back. Milliseconds. Default: an hour.')
      .optional(),
  }),
  answer: seriesSchema,
  work: ({ query: { subject, lastMs } }, { observation }) => ({
    slotMs: observation.slotMs,
    series: observation.series({
      ...(subject === undefined ? {} : { subject }),
      ...(lastMs === undefined ? {} : { lastMs }),
    }),
  }),
});

const getHistory = route({
  method: 'GET',
  path: '/api/history',
  role: 'read',
  operationId: 'getHistory',
  summary:
    'What happened lately, to one key or to all: cooldowns, rejections, recoveries, failovers and the like.',
  query: z.strictObject({
    key: z
      .string()
      .max(200)
      .describe('`provider/id`, or the name of a bucket or provider. Default: everything.')
      .optional(),
  }),
  answer: historySchema,
  work: ({ query: { key } }, { observation }) => ({
    events: observation.events(key === undefined ? {} : { subject: key }),
  }),
});

const getUsage = route({
  method: 'GET',
  path: '/api/usage',
  role: 'read',
  operationId: 'getUsage',
  summary: 'Requests, failures and cost per provider and key, of all processes that share the store.',
  answer: usageSchema,
  work: (_, { manager }) => usageReport(manager),
});

const getFleet = route({
  method: 'GET',
  path: '/api/fleet',
  role: 'read',
  operationId: 'getFleet',
  summary: 'The processes that share the store.',
  answer: fleetSchema,
  work: async (_, { manager }) => {
    const report = await fleetReport(manager.store);
    return report === undefined ? { shared: false, members: [], leases: [] } : { shared: true, ...report };
  },
});

const getCaller = route({
  method: 'GET',
  path: '/api/caller',
  role: 'read',
  operationId: 'getCaller',
  summary: 'The name of the token that asks, and what it may do.',
  answer: callerSchema,
  work: (_input, _context, { name, roles }) => ({ name, roles: [...roles] }),
});

export const READ_ROUTES: readonly ApiRoute[] = [
  getCaller,
  getState,
  explainService,
  listRequests,
  explainRequest,
  exportDecisions,
  getSeries,
  getHistory,
  getUsage,
  getFleet,
  getAudit,
];
