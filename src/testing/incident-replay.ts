/** Sends the requests of a recorded incident again, through a manager of today, to providers that behave as recorded. */
import type { FileContent } from '../config/file-content.js';
import type { KeyManager } from '../manager/key-manager.js';
import { createFakeClock } from './fake-clock.js';
import { readIncident } from './incident.js';
import type { Incident, IncidentAttempt, IncidentRequest, Recording } from './incident.js';
import { createTestManager } from './test-manager.js';
import type { TestManager } from './test-manager.js';

/** What a replay changes, or knows better than the recording. */
export interface ReplayOptions {
  /** The policy to try, in the shape of `keymux.config.*`. It wins over what the recording shows. */
  readonly config?: FileContent;
  /** For all that is left to chance. Default: 1. */
  readonly seed?: number;
  /** Sends one request. Default: a GET of `/`. Whether it rejects does not matter. */
  readonly send?: (manager: KeyManager, request: IncidentRequest) => Promise<unknown>;
}

/** One request, then and now. */
export interface ReplayedRequest extends IncidentRequest {
  readonly replayed: readonly IncidentAttempt[];
  /** Same keys with the same outcomes, in the same order. Attempts that the recording left open count as good. */
  readonly same: boolean;
}

/** A replay that is over. */
export interface IncidentReplay {
  readonly requests: readonly ReplayedRequest[];
  /** Those that went otherwise than recorded. */
  readonly differences: readonly ReplayedRequest[];
}

/**
 * Sends every recorded request again, one after the other, each at its recorded time. Keys answer as recorded, in the
 * recorded order; a key that is asked more often than it was answers well. Waits pass at once. Throws `KEYMUX_USAGE`
 * for a text that is no recording, and as `createTestManager` does.
 *
 * @example
 * const { differences } = await replayIncident(readFileSync('decisions.json', 'utf8'));
 * assert.deepEqual(differences, []);
 */
export async function replayIncident(
  recording: Recording,
  options: ReplayOptions = {},
): Promise<IncidentReplay> {
  const incident = readIncident(recording);
  const { seed = 1, send = sendGet } = options;
  await using test = await createTestManager({
    providers: incident.providers,
    config: joined(incident.config, options.config),
    clock: createFakeClock(incident.startAt),
    seed,
    decisions: DECISIONS_PER_REQUEST * Math.max(1, incident.requests.length),
  });
  prepare(test.manager, incident);
  const requests: ReplayedRequest[] = [];
  for (const request of incident.requests) requests.push(await replayed(test, request, send));
  return { requests, differences: requests.filter(({ same }) => !same) };
}

/** More attempts than a request makes. */
const DECISIONS_PER_REQUEST = 64;

function joined(recorded: FileContent, wanted: FileContent = {}): FileContent {
  const providers = { ...recorded.providers };
  for (const [id, provider] of Object.entries(wanted.providers ?? {}))
    providers[id] = { ...providers[id], ...provider };
  return { ...wanted, providers, services: { ...recorded.services, ...wanted.services } };
}

function prepare(manager: KeyManager, { before }: Incident): void {
  for (const { key, disabled, restsUntil } of before) {
    if (disabled) manager.disable(key);
    if (restsUntil !== undefined)
      manager.report(key, { kind: 'rate-limited', scope: 'key', retryAt: restsUntil, executed: 'no' });
  }
}

async function replayed(
  test: TestManager,
  request: IncidentRequest,
  send: NonNullable<ReplayOptions['send']>,
): Promise<ReplayedRequest> {
  const { manager, clock } = test;
  if (request.at > clock.now()) clock.set(request.at);
  const seen = manager.decisions({ last: 1 }).at(-1)?.id ?? 0;
  const sending = { isOver: false };
  const end = (): boolean => (sending.isOver = true);
  const over = send(manager, request).then(end, end);
  const { room } = manager.poolOf(request.service);
  while (!sending.isOver) {
    await Promise.race([over, new Promise(setImmediate)]);
    if (room.size > 0 && room.nextTryAt > clock.now()) clock.set(room.nextTryAt);
  }
  const attempts = manager
    .decisions({ last: DECISIONS_PER_REQUEST })
    .filter(({ id }) => id > seen)
    .flatMap(({ chosen: key, outcome }) => (key === undefined ? [] : [{ key, outcome: outcome?.kind }]));
  return { ...request, replayed: attempts, same: isSame(request.attempts, attempts) };
}

function isSame(recorded: readonly IncidentAttempt[], attempts: readonly IncidentAttempt[]): boolean {
  if (recorded.length !== attempts.length) return false;
  return recorded.every(({ key, outcome }, index) => {
    const now = attempts[index];
    const then = outcome === undefined || outcome === 'aborted' ? 'success' : outcome;
    return now?.key === key && now.outcome === then;
  });
}

async function sendGet(manager: KeyManager, { service }: IncidentRequest): Promise<void> {
  const response = await manager.fetch(service, '/');
  await response.arrayBuffer();
}
