/** The shapes of what the API takes and answers. Times are epoch milliseconds; nothing here ever holds a key. */
import * as z from 'zod';

/** An object that may come to tell more. */
function open<Shape extends z.core.$ZodLooseShape>(shape: Shape): z.ZodObject<Shape> {
  // What else there is says nothing about the type of what is known.
  return z.looseObject(shape);
}

const at = z.number().describe('Epoch milliseconds.');
const keyId = z.string().describe('`provider/id`.');
const count = z.number().int();
const source = z
  .enum(['stated', 'guessed'])
  .describe('Whether the provider stated the time, or keymux guessed it.');
const phase = z.enum(['closed', 'open', 'half-open', 'slow-start']);

const stated = z
  .object({
    left: z.number().describe('Requests that may still be sent before `until`.'),
    limit: z.number().optional(),
    until: at,
    kind: z.enum(['fixed', 'refilling', 'returning']),
  })
  .readonly();

const limit = z
  .object({
    requests: z.number(),
    perMs: z.number().describe('Length of the window. Milliseconds.'),
    stated: z.number().describe('The lower limit in force, where the provider stated one.').optional(),
    left: z
      .number()
      .describe('Requests that this window still lets through; absent where this process does not know.')
      .optional(),
  })
  .readonly();

export const callerSchema = z.strictObject({
  name: z.string(),
  roles: z.array(z.enum(['use', 'read', 'admin'])),
});

export const keySchema = z
  .object({
    id: keyId,
    provider: z.string(),
    bucket: z.string(),
    bucketSource: z.enum(['own', 'declared', 'learnt']),
    foundIn: z.string().describe('Where the key was found, such as `env:ACME_API_KEY`.'),
    state: z.enum([
      'ready',
      'unproven',
      'returning',
      'resting',
      'rejected',
      'out-of-permits',
      'disabled',
      'expired',
    ]),
    reason: z.string().optional(),
    until: at.optional(),
    source: source.optional(),
    expiresAt: at.describe('From then on it is not used; absent where no end is planned.').optional(),
    uses: count,
    failures: count,
    inFlight: count,
    latencyMs: z.number(),
    limits: z.array(limit).readonly(),
    permitsLeft: z.number().describe('In the tightest window, where a limit is known.').optional(),
    stated: stated.optional(),
  })
  .readonly();

const service = z
  .object({
    name: z.string(),
    strategy: z.string(),
    providers: z.array(z.string()).readonly(),
    next: keyId.describe('The key of the next request; absent while every key is out.').optional(),
  })
  .readonly();

const provider = z
  .object({
    id: z.string(),
    origins: z.array(z.string()).readonly(),
    mode: z.string(),
    circuit: phase,
    until: at.optional(),
    healthScore: z.number().min(0).max(1),
  })
  .readonly();

const membership = z
  .object({
    memberId: z.string(),
    size: count,
    rank: count,
    state: z.string(),
    lostSince: at.optional(),
    leads: z.boolean(),
    leader: z.string().optional(),
  })
  .readonly();

export const retiringSchema = z
  .object({
    id: keyId,
    inFlight: count.describe('Requests that are under way with it.'),
  })
  .readonly();

export const stateSchema = z.object({
  name: z.string(),
  at,
  store: z
    .object({
      kind: z.string(),
      shared: z.boolean(),
      trouble: z.string().describe('Why the state is this process’ own for now.').optional(),
    })
    .readonly(),
  fleet: membership.optional(),
  sources: z.array(z.string()).readonly().describe('Files that the configuration was read from.'),
  notes: z.array(z.string()).readonly(),
  services: z.array(service).readonly(),
  providers: z.array(provider).readonly(),
  keys: z.array(keySchema).readonly(),
  retiring: z
    .array(retiringSchema)
    .readonly()
    .describe('Retired keys that requests are still under way with.'),
});

/** What decided about a candidate may come to be told in more detail. */
export const explanationSchema = open({
  service: z.string(),
  strategy: z.string(),
  at,
  next: keyId.optional(),
  candidates: z
    .array(
      open({
        key: keyId,
        usable: z.boolean(),
        because: z.string(),
        until: at.optional(),
        source: source.optional(),
        bucket: z
          .object({ name: z.string(), source: z.enum(['declared', 'learnt']) })
          .readonly()
          .optional(),
        stated: stated.optional(),
      }).readonly(),
    )
    .readonly(),
});

/** One selection of a key, with every candidate; what is told of each may come to be more. */
const decision = open({
  id: count,
  requestId: z.string(),
  service: z.string(),
  strategy: z.string(),
  attempt: count.describe('From 1.'),
  at,
  waitedMs: z.number().describe('For a key to return, before this.'),
  chosen: keyId.describe('Absent where no key could be had.').optional(),
  retryAt: at.optional(),
  candidates: z
    .array(
      open({
        key: keyId,
        provider: z.string(),
        chosen: z.boolean(),
        passedOver: z.string().optional(),
        because: z.string(),
        until: at.optional(),
      }).readonly(),
    )
    .readonly(),
  outcome: open({
    kind: z.string(),
    status: count.optional(),
    evidence: z.string().optional(),
    latencyMs: z.number(),
  })
    .readonly()
    .describe('Absent while the attempt is under way.')
    .optional(),
}).readonly();

export const decisionsSchema = z.object({
  decisions: z.array(decision).readonly().describe('The latest, oldest first.'),
});

export const requestSchema = open({
  requestId: z.string(),
  service: z.string(),
  at,
  end: z
    .enum(['answered', 'failed', 'refused', 'aborted'])
    .describe('Absent while it is under way.')
    .optional(),
  durationMs: z.number().optional(),
  waitedMs: z.number(),
  complete: z.boolean().describe('False where its oldest attempts were forgotten.'),
  attempts: z.array(decision).readonly(),
});

export const decisionRecordSchema = open({
  format: z.literal('keymux-decisions'),
  version: z.literal(1),
  at,
  forgotten: count.describe('Decisions that were made and are no longer known.'),
  maxAttempts: z.record(z.string(), count).readonly(),
  requests: z.array(requestSchema.readonly()).readonly(),
});

const slot = z
  .object({
    at: at.describe('Its beginning.'),
    attempts: count,
    outcomes: z.record(z.string(), count).readonly().describe('Attempts by outcome; success included.'),
    p50Ms: z.number().optional(),
    p95Ms: z.number().optional(),
  })
  .readonly();

export const seriesSchema = z.object({
  slotMs: z.number().describe('Length of a slot. Milliseconds.'),
  series: z.array(z.object({ subject: z.string(), slots: z.array(slot).readonly() }).readonly()).readonly(),
});

export const historySchema = z.object({
  events: z
    .array(
      z
        .object({
          id: count.describe('Grows by one with each event of the process.'),
          name: z.string(),
          event: open({ at }).readonly(),
        })
        .readonly(),
    )
    .readonly()
    .describe('The oldest first.'),
});

const usage = {
  requests: count,
  failures: count,
  costUsd: z.number().describe('As far as programs reported it.'),
};

export const usageSchema = z.object({
  at,
  scope: z
    .enum(['fleet', 'process'])
    .describe('`process`: since the store is lost, only what this one knows.'),
  providers: z.array(z.object({ provider: z.string(), ...usage }).readonly()).readonly(),
  keys: z
    .array(z.object({ key: keyId, provider: z.string(), ...usage, lastUsedAt: at.optional() }).readonly())
    .readonly(),
});

const member = z
  .object({
    memberId: z.string(),
    host: z.string(),
    pid: count,
    startedAt: at,
    seenAt: at,
    behind: count.describe('Changes of health that it has not heard of yet.'),
    leads: z
      .array(z.object({ group: z.string(), token: z.number(), until: at }).readonly())
      .readonly()
      .describe('The groups whose keys it probes for all.'),
  })
  .readonly();

export const fleetSchema = z.object({
  shared: z.boolean().describe('False: no other process shares the store, or it cannot be asked.'),
  at: at.optional(),
  members: z.array(member).readonly(),
  leases: z
    .array(z.object({ bucket: z.string(), permits: z.number(), leases: z.number() }).readonly())
    .readonly()
    .describe('Permits that are leased and not settled yet.'),
});

export const auditSchema = z.object({
  records: z
    .array(
      z
        .object({
          file: z.string(),
          seq: count,
          at,
          type: z.string(),
          data: z.record(z.string(), z.unknown()).readonly(),
          prev: z.string(),
          hash: z.string(),
        })
        .readonly(),
    )
    .readonly(),
  verdict: z
    .object({
      ok: z.boolean(),
      folder: z.string(),
      files: count,
      records: count,
      faults: z
        .array(z.object({ file: z.string(), line: count.optional(), why: z.string() }).readonly())
        .readonly()
        .describe('The first one is what to look at.'),
      unproven: z.array(z.string()).readonly().describe('What this check cannot say.'),
    })
    .readonly()
    .optional(),
});

export const reloadSchema = z.object({ keys: count, services: count, notes: z.array(z.string()).readonly() });

export const addedSchema = z.object({
  key: keySchema,
  keptIn: z
    .literal('memory')
    .describe('The key is gone when the gateway ends: the configuration does not know it.'),
});

export const keyParams = z.object({ provider: z.string(), id: z.string() });

export const newKeySchema = z.strictObject({
  provider: z.string().min(1).max(64),
  id: z
    .string()
    .regex(/^[a-z0-9][a-z0-9_.-]{0,63}$/)
    .describe('What the key is called; never the key itself.'),
  value: z
    .string()
    .max(4_096)
    .regex(/^(?:env:[A-Za-z_][A-Za-z0-9_]*|file:\s*\S[^]*)$/)
    .describe('Where the gateway finds the key: `env:NAME` or `file:PATH`.')
    .optional(),
  secret: z
    .string()
    .min(1)
    .max(8_192)
    .describe('The key itself, over loopback or TLS only; kept in memory, told to nobody but the provider.')
    .optional(),
  priority: z.int().min(0).describe('Lower goes first. Default: after all others.').optional(),
  weight: z.number().positive().optional(),
  bucket: z.string().min(1).max(64).optional(),
});
