/** A recorded incident as a script: what each key answered, and what the manager knew before. Pure. */
import type { FileContent, FileKey, FileProvider, FileService } from '../config/file-content.js';
import type {
  Decision,
  DecisionCandidate,
  DecisionOutcome,
  DecisionRecord,
  RequestExplanation,
} from '../core/decision.js';
import type { OutcomeKind } from '../core/outcome.js';
import { PROVIDER_STEP } from '../core/select.js';
import { parseDecisions } from '../cli/decision-file.js';
import type { Action } from './script.js';
import { ok, refuse, reply, reset } from './script.js';
import type { TestProvider } from './test-providers.js';
import { variableOf } from './test-providers.js';

/**
 * What `manager.exportDecisions()` and `manager.why()` give; or their JSON, as `KEYMUX_DECISIONS` and
 * `keymux why --json` write it, or with one request per line.
 */
export type Recording = DecisionRecord | RequestExplanation | readonly RequestExplanation[] | string;

/** One attempt: the key as `provider/id`, and what came of it; `undefined` while it was under way. */
export interface IncidentAttempt {
  readonly key: string;
  readonly outcome: OutcomeKind | undefined;
}

/** One request of an incident. */
export interface IncidentRequest {
  readonly requestId: string;
  readonly service: string;
  /** Epoch milliseconds. */
  readonly at: number;
  readonly attempts: readonly IncidentAttempt[];
}

/** What a manager knew of a key before the first recorded attempt with it. */
export interface PriorState {
  readonly key: string;
  readonly disabled: boolean;
  /** Epoch milliseconds. */
  readonly restsUntil?: number;
}

/** An incident, ready for `createTestManager`. */
export interface Incident {
  /** Epoch milliseconds of the first request. */
  readonly startAt: number;
  /** Oldest first; those whose first attempt is not known any more are left out. */
  readonly requests: readonly IncidentRequest[];
  /** Simulated providers whose keys answer as recorded, in the recorded order, and well after that. */
  readonly providers: Readonly<Record<string, TestProvider>>;
  /** Services, priorities and weights, as far as the decisions show them. */
  readonly config: FileContent;
  readonly before: readonly PriorState[];
}

/** Throws `KEYMUX_USAGE` for a text that is no record of decisions. */
export function readIncident(recording: Recording): Incident {
  const record = recordFrom(recording);
  const known = record.requests
    .filter(({ attempts }) => attempts[0]?.attempt === 1)
    .toSorted((a, b) => a.at - b.at);
  const decisions = known.flatMap(({ attempts }) => attempts).toSorted((a, b) => a.at - b.at);
  const keys = keysOf(decisions);
  return {
    startAt: known[0]?.at ?? record.at,
    requests: known.map(({ requestId, service, at, attempts }) => ({
      requestId,
      service,
      at,
      attempts: attempts.flatMap(({ chosen: key, outcome }) =>
        key === undefined ? [] : [{ key, outcome: outcome?.kind }],
      ),
    })),
    providers: providersOf(keys, decisions),
    config: configOf(keys, decisions, record.maxAttempts),
    before: [...keys.values()].flatMap((candidate) => priorOf(candidate, decisions)),
  };
}

function recordFrom(recording: Recording): DecisionRecord {
  const content = typeof recording === 'string' ? parseText(recording) : recording;
  if (typeof content === 'object' && content !== null && 'format' in content)
    return parseDecisions(content, 'the recording');
  const requests = [content].flat();
  const format = { format: 'keymux-decisions', version: 1, at: 0, forgotten: 0, maxAttempts: {} };
  return parseDecisions({ ...format, requests }, 'the recording');
}

/** One JSON document, or one request per line. */
function parseText(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    const lines = text.split('\n').filter((line) => line.trim() !== '');
    if (lines.length === 0) return undefined;
    return lines.map((line, index) => {
      try {
        return JSON.parse(line) as unknown;
      } catch {
        return parseDecisions(undefined, `line ${index + 1} of the recording`);
      }
    });
  }
}

/** Every key that was looked at, as it stood the first time. */
function keysOf(decisions: readonly Decision[]): Map<string, DecisionCandidate> {
  const keys = new Map<string, DecisionCandidate>();
  for (const { candidates } of decisions)
    for (const candidate of candidates) if (!keys.has(candidate.key)) keys.set(candidate.key, candidate);
  return keys;
}

type Keys = ReadonlyMap<string, DecisionCandidate>;

function byProvider(keys: Keys): Map<string, DecisionCandidate[]> {
  const providers = new Map<string, DecisionCandidate[]>();
  for (const candidate of keys.values()) {
    const others = providers.get(candidate.provider);
    if (others === undefined) providers.set(candidate.provider, [candidate]);
    else others.push(candidate);
  }
  return providers;
}

function providersOf(keys: Keys, decisions: readonly Decision[]): Record<string, TestProvider> {
  return Object.fromEntries(
    [...byProvider(keys)].map(([id, candidates]) => [
      id,
      {
        keys: Object.fromEntries(
          candidates.map(({ key }, index) => [
            `replayed-${id}-${index + 1}-4f1c9a`,
            { name: idOf(key), first: answersOf(key, decisions) },
          ]),
        ),
      },
    ]),
  );
}

function answersOf(key: string, decisions: readonly Decision[]): Action[] {
  return decisions.flatMap(({ chosen, at, outcome }, index) => {
    if (chosen !== key) return [];
    return [actionFor(outcome, statedWaitS(key, at, decisions.slice(index + 1)))];
  });
}

/** How long the provider said at `at` to stay away, as the next decision shows it. Seconds. */
function statedWaitS(key: string, at: number, later: readonly Decision[]): number | undefined {
  const next = later.flatMap(({ candidates }) => candidates).find((candidate) => candidate.key === key);
  if (next?.until === undefined || next.fact?.source !== 'stated' || next.until <= at) return undefined;
  return Math.ceil((next.until - at) / 1_000);
}

/** What was not recorded to the end is taken for good: nothing speaks against the key. */
function actionFor(outcome: DecisionOutcome | undefined, retryAfterSeconds: number | undefined): Action {
  if (outcome === undefined) return ok();
  const { kind, status } = outcome;
  switch (kind) {
    case 'success':
      return status === undefined || status === 200 ? ok() : reply(status);
    case 'aborted':
      return ok();
    case 'network':
      return reset();
    default: {
      const wait = retryAfterSeconds === undefined ? {} : { retryAfterSeconds };
      return refuse(status ?? kind, { kind, ...wait });
    }
  }
}

function configOf(
  keys: Keys,
  decisions: readonly Decision[],
  maxAttempts: Readonly<Record<string, number>>,
): FileContent {
  const services: Record<string, FileService> = {};
  const providers: Record<string, FileProvider> = {};
  for (const [id, candidates] of byProvider(keys)) providers[id] = { keys: keysIn(id, candidates) };
  for (const { service, strategy, failoverThreshold, candidates } of decisions) {
    if (service in services || candidates.length === 0) continue;
    const ordered = candidates.toSorted((a, b) => a.figures.priority - b.figures.priority);
    const ids = [...new Set(ordered.map(({ provider }) => provider))];
    services[service] = { providers: ids, strategy, failoverThreshold };
    const [first = ''] = ids;
    const most = maxAttempts[service];
    if (most !== undefined) providers[first] = { ...providers[first], retry: { maxAttempts: most } };
  }
  return { services, providers };
}

function keysIn(provider: string, candidates: readonly DecisionCandidate[]): FileKey[] {
  return candidates.map(({ key, figures }, index) => ({
    id: idOf(key),
    value: `env:${variableOf(provider, undefined, index)}`,
    priority: figures.priority % PROVIDER_STEP,
    weight: figures.weight,
  }));
}

/** Only what was so before any recorded attempt with the key; the rest comes about again by itself. */
function priorOf({ key }: DecisionCandidate, decisions: readonly Decision[]): PriorState[] {
  const first = decisions.find(({ candidates }) => candidates.some((candidate) => candidate.key === key));
  const { passedOver, until } = first?.candidates.find((candidate) => candidate.key === key) ?? {};
  if (passedOver === 'disabled') return [{ key, disabled: true }];
  if (passedOver !== 'key-resting' || until === undefined) return [];
  return [{ key, disabled: false, restsUntil: until }];
}

/** `main` of `acme/main`. */
function idOf(key: string): string {
  return key.slice(key.indexOf('/') + 1);
}
