import { readFileSync, readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import * as z from 'zod';
import type { DecisionRecord } from '../core/decision.js';
import { KeymuxError } from '../core/errors.js';
import { strategies } from '../core/select.js';
import type { StrategyName } from '../core/select.js';

const outcome = z.looseObject({ kind: z.string(), latencyMs: z.number() });

const candidate = z.looseObject({
  key: z.string(),
  provider: z.string(),
  chosen: z.boolean(),
  because: z.string(),
  figures: z.looseObject({
    priority: z.number(),
    weight: z.number().positive(),
    uses: z.number(),
    inFlight: z.number(),
    latencyMs: z.number(),
  }),
});

const decision = z.looseObject({
  id: z.number(),
  requestId: z.string(),
  service: z.string(),
  strategy: z.enum(Object.keys(strategies) as [StrategyName]),
  failoverThreshold: z.number(),
  attempt: z.number(),
  at: z.number(),
  waitedMs: z.number(),
  candidates: z.array(candidate),
  outcome: outcome.optional(),
});

const request = z.looseObject({
  requestId: z.string(),
  service: z.string(),
  at: z.number(),
  waitedMs: z.number(),
  complete: z.boolean(),
  attempts: z.array(decision).min(1),
});

const record = z.looseObject({
  format: z.literal('keymux-decisions'),
  version: z.literal(1),
  at: z.number(),
  forgotten: z.number(),
  maxAttempts: z.record(z.string(), z.number()),
  requests: z.array(request),
});

/**
 * The decisions in a file, or in all files of a folder together, as `KEYMUX_DECISIONS` makes them. Throws `KEYMUX_USAGE`
 * where there are none.
 */
export function readDecisions(path: string): DecisionRecord {
  const paths = pathsIn(path);
  const records = paths.map((each) => readOne(each));
  const [first] = records;
  if (first === undefined) throw unusable(path, 'holds no file of decisions');
  return {
    ...first,
    at: Math.max(...records.map(({ at }) => at)),
    forgotten: records.reduce((sum, { forgotten }) => sum + forgotten, 0),
    maxAttempts: Object.assign({}, ...records.map(({ maxAttempts }) => maxAttempts)) as Record<
      string,
      number
    >,
    requests: records.flatMap(({ requests }) => requests).toSorted((a, b) => a.at - b.at),
  };
}

function pathsIn(path: string): string[] {
  if (statSync(path, { throwIfNoEntry: false })?.isDirectory() !== true) return [path];
  return readdirSync(path)
    .filter((name) => /^decisions-.*\.json$/.test(name))
    .toSorted()
    .map((name) => join(path, name));
}

function readOne(path: string): DecisionRecord {
  let content: unknown;
  try {
    content = JSON.parse(readFileSync(path, 'utf8'));
  } catch (error) {
    throw unusable(path, error instanceof SyntaxError ? 'is no JSON' : 'cannot be read', error);
  }
  return parseDecisions(content, path);
}

/** `place`: where it came from. Throws `KEYMUX_USAGE`. */
export function parseDecisions(content: unknown, place: string): DecisionRecord {
  const parsed = record.safeParse(content);
  if (!parsed.success) {
    const where = parsed.error.issues[0]?.path.join('.') ?? '';
    throw unusable(place, `is no record of decisions${where === '' ? '' : ` (at ${where})`}`);
  }
  return parsed.data as unknown as DecisionRecord;
}

function unusable(path: string, fault: string, cause?: unknown): KeymuxError {
  return new KeymuxError('KEYMUX_USAGE', `${path} ${fault}.`, {
    fix: 'Run the program with KEYMUX_DECISIONS=PATH, which is written when it ends, or save what `manager.exportDecisions()` gives.',
    cause,
  });
}
