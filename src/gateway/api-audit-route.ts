/** The audit trail that the gateway keeps. */
import * as z from 'zod';
import { KeymuxError } from '../core/errors.js';
import { ApiRefusal } from './api-refusal.js';
import { route } from './api-route.js';
import { auditSchema } from './api-schemas.js';

const DEFAULT_LAST = 100;

export const getAudit = route({
  method: 'GET',
  path: '/api/audit',
  role: 'admin',
  operationId: 'getAudit',
  summary:
    'The newest records of the audit trail, of all programs that write to its folder; checked where that is asked for.',
  query: z.strictObject({
    last: z.coerce
      .number<string>()
      .int()
      .min(1)
      .max(1_000)
      .describe(`How many at most. Default: ${DEFAULT_LAST}.`)
      .optional(),
    verify: z.literal('1').describe('`1`: check every file too, which takes a while.').optional(),
  }),
  answer: auditSchema,
  refusals: [404],
  work: async ({ query: { last = DEFAULT_LAST, verify } }, { audit }) => {
    if (audit === undefined) {
      const error = new KeymuxError('KEYMUX_USAGE', 'No audit trail is kept.', {
        fix: 'Configure `audit: {}` and start the gateway anew.',
      });
      throw new ApiRefusal(404, error);
    }
    const records = audit.last(last);
    return verify === undefined ? { records } : { records, verdict: await audit.verify() };
  },
});
