/** What a limit allows within one window, with what is documented for members that the others cannot hear. */
import { REUNION_MS } from '#keymux/core/fleet.js';
import type { RateLimit } from '#keymux/testing/script-key.js';
import type { Evidence, FaultSpan, Phase } from './evidence.js';

/** Faults during which no member hears from the store: all keep to their shares, and the limit is that of ever. */
const CUTS_EVERYBODY_OFF: ReadonlySet<string> = new Set([
  'store-locked',
  'store-locked-by-stopped',
  'store-deleted',
  'disk-full',
  'redis-unreachable',
  'redis-slow',
  'redis-frozen',
  'redis-restarted',
  'redis-emptied',
  'redis-out-of-memory',
  'redis-read-only',
  'redis-failover',
  'store-cut-off',
]);

/** A member that was on its own while others were not. */
export interface Solitude extends Phase {
  readonly agent: string;
  /** By a fault of the plan, or since it took the store for lost: a loaded machine holds up answers. */
  readonly isPlanned: boolean;
}

/**
 * The limit itself, and on top of it, in windows that reach into such a time: the fair share of the members that are
 * on their own while others still share, and one share for each process that starts while nobody can tell it what
 * its predecessor spent.
 */
export function allowedIn(
  { plan, lives, faults }: Evidence,
  solitudes: readonly Solitude[],
  limit: RateLimit,
  window: Phase,
): number {
  const reach = { from: window.from - limit.perMs, to: window.to };
  const lonely = solitudes.filter((solitude) => overlap(solitude, reach)).map(({ agent }) => agent);
  const newcomers = lives.filter(
    ({ incarnation, startedAt }) =>
      incarnation > 1 &&
      faults.some((fault) => CUTS_EVERYBODY_OFF.has(fault.kind) && isWithin(startedAt, fault)) &&
      isWithin(startedAt, reach),
  );
  const shares = new Set(lonely).size + newcomers.length;
  return limit.requests + Math.ceil((limit.requests * shares) / plan.agents.length);
}

export function solitudesIn(evidence: Evidence): Solitude[] {
  const planned = evidence.faults.flatMap((fault) => plannedSolitudes(evidence, fault));
  const common = evidence.faults.filter(({ kind }) => CUTS_EVERYBODY_OFF.has(kind)).map(untilHeard);
  const believed = lossesTold(evidence).filter(
    (loss) =>
      ![...common, ...planned.filter(({ agent }) => agent === loss.agent)].some((fault) =>
        overlap(fault, loss),
      ),
  );
  return [...planned, ...believed];
}

/** Faults after which only the members know what was spent. */
const LOSES_EVERYTHING: ReadonlySet<string> = new Set(['store-deleted', 'redis-emptied', 'redis-flushed']);

function plannedSolitudes({ plan, faults }: Evidence, fault: FaultSpan): Solitude[] {
  const { kind, on } = fault;
  // It stands still when all others tell the store what they know.
  const isMute =
    kind === 'agent-stopped' &&
    faults.some((other) => LOSES_EVERYTHING.has(other.kind) && overlap(untilHeard(other), fault));
  const agents = plan.agents.filter(({ name, host }) =>
    kind === 'partition' ? host === on : (kind === 'store-read-only' || isMute) && name === on,
  );
  return agents.map(({ name }) => ({ agent: name, isPlanned: true, ...untilHeard(fault) }));
}

/** From each word of an agent that the store is lost until its word that it is back, or until its process is gone. */
function lossesTold({ plan, news, lives, saturation }: Evidence): Solitude[] {
  return plan.agents.flatMap(({ name: agent }) => {
    const told = news.filter((item) => item.agent === agent);
    const ends = [
      ...told.filter(({ name }) => name === 'restored').map(({ at }) => at),
      ...lives.filter((life) => life.agent === agent).map(({ startedAt }) => startedAt),
    ];
    return told
      .filter(({ name }) => name === 'degraded')
      .map(({ at: from }) => ({
        agent,
        isPlanned: false,
        from,
        to: Math.min(saturation.to, ...ends.filter((at) => at > from)),
      }));
  });
}

/** A member needs a moment to be heard again. */
function untilHeard({ from, to }: Phase): Phase {
  return { from, to: to + REUNION_MS };
}

function overlap(a: Phase, b: Phase): boolean {
  return a.from <= b.to && b.from <= a.to;
}

function isWithin(at: number, { from, to }: Phase): boolean {
  return at >= from && at <= to;
}
