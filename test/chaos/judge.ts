/** The verdict on a run, from what the simulator and the agents wrote down. */
import { maxInAnyWindow } from '#keymux/testing/rolling-window.js';
import { SILENCE_MS } from '#keymux/core/silence.js';
import type { RateLimit } from '#keymux/testing/script-key.js';
import type { Arrival, Call, Evidence, FaultSpan, Phase } from './evidence.js';
import { allowedIn, solitudesIn } from './bounds.js';
import type { Solitude } from './bounds.js';
import { badSpansOf, usableSpans, wasUsable } from './usability.js';

export interface WindowFigure {
  readonly key: string;
  readonly limit: RateLimit;
  /** The largest count in any window of that length. */
  readonly most: number;
  /** How far a window lies above what the limit and the documented bounds allow for it; negative: below. */
  readonly excess: number;
  /** The largest count while all agents wanted as much as they could get. */
  readonly mostInSaturation: number;
}

export interface DelayFigures {
  readonly count: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  readonly maxMs: number;
}

export interface Figures {
  readonly calls: number;
  readonly arrivals: number;
  readonly lost: number;
  /** Failed while no key was to be had: keymux said so, as it should. */
  readonly refusedRightly: number;
  readonly duplicates: number;
  readonly windows: readonly WindowFigure[];
  /** The time of a call that is not the provider's, of calls that were answered at the first attempt. */
  readonly calmDelay: DelayFigures;
  readonly stormDelay: DelayFigures;
  /** How often an agent took the store for lost, though no fault had taken it away. */
  readonly unfoundedLosses: number;
  readonly recoveredAfterMs: number | undefined;
}

export interface Verdict {
  /** Empty after a good run. */
  readonly problems: readonly string[];
  readonly figures: Figures;
}

/** No request may be delayed by more than this because of the store. */
export const DELAY_BOUND_MS = 50;
/** A loaded machine delays requests for reasons of its own. */
export const DELAY_MARGIN_MS = 200;
/**
 * A key that was free for less than this was never really to be had: news of it take their time, and the simulator
 * tells, as providers do, in whole seconds when there is something left again.
 */
const REACTION_MS = 1_250;
/** Of the limit, once the storm is over and all want more than there is. On a starved machine they cannot take more. */
const LEAST_THROUGHPUT = 0.6;
export const RECOVERY_WITHIN_MS = 10_000;

export function judge(evidence: Evidence): Verdict {
  const { plan, arrivals, calls } = evidence;
  const losses = lossesIn(evidence);
  const solitudes = solitudesIn(evidence);
  const windows = plan.keys.flatMap(({ name, limits }) =>
    limits.map((limit) => windowFigure(evidence, solitudes, name, limit)),
  );
  const duplicates = duplicatesIn(arrivals);
  const calmDelay = delaysOf(evidence, evidence.calm);
  const stormDelay = delaysOf(evidence, evidence.storm);
  const inSilence = delaysIn(evidence, evidence.storm, (call) => isInSilence(call, evidence.faults));
  const longestSilenceMs = inSilence.at(-1) ?? 0;
  const figures: Figures = {
    calls: calls.length,
    arrivals: arrivals.length,
    lost: losses.lost.length,
    refusedRightly: losses.refusedRightly,
    duplicates: duplicates.length,
    windows,
    calmDelay,
    stormDelay,
    unfoundedLosses: solitudes.filter(({ isPlanned }) => !isPlanned).length,
    recoveredAfterMs: evidence.recoveredAfterMs,
  };
  const problems = [
    ...(calls.length === 0 ? ['no agent sent a request'] : []),
    ...losses.lost.map(
      ({ id, status, error, startedAt, endedAt }) =>
        `request ${id} was lost (${error ?? `status ${status ?? 'none'}`}, after ${Math.round(endedAt - startedAt)} ms), though a key was usable`,
    ),
    ...windows.flatMap(overshootProblem),
    ...windows.flatMap((figure) => throughputProblem(evidence, figure)),
    ...duplicates.map((order) => `order ${order} was carried out twice`),
    ...(plan.demand === 'modest' ? delayProblem(calmDelay, stormDelay) : []),
    ...(plan.demand === 'modest' ? silenceProblem(longestSilenceMs, calmDelay) : []),
    ...hangs(evidence),
    ...recoveryProblem(evidence),
    ...unfelt(evidence),
  ];
  return { problems, figures };
}

function windowFigure(
  evidence: Evidence,
  solitudes: readonly Solitude[],
  key: string,
  limit: RateLimit,
): WindowFigure {
  const moments = evidence.arrivals.filter((arrival) => arrival.key === key).map(({ at }) => at);
  const most = maxInAnyWindow(moments, limit.perMs);
  const inSaturation = moments.filter((at) => isWithin(at, evidence.saturation));
  return {
    key,
    limit,
    most,
    excess: excessOf(moments, limit, (window) => allowedIn(evidence, solitudes, limit, window)),
    mostInSaturation: maxInAnyWindow(inSaturation, limit.perMs),
  };
}

/** Windows are looked at one by one: what a fault allows holds only while it lasts. */
function excessOf(moments: readonly number[], limit: RateLimit, allowed: (window: Phase) => number): number {
  const sorted = moments.toSorted((a, b) => a - b);
  let excess = Number.NEGATIVE_INFINITY;
  let first = 0;
  sorted.forEach((at, index) => {
    while (at - (sorted[first] ?? at) >= limit.perMs) first += 1;
    const window = { from: sorted[first] ?? at, to: at };
    excess = Math.max(excess, index - first + 1 - allowed(window));
  });
  return excess;
}

function overshootProblem({ key, limit, most, excess }: WindowFigure): string[] {
  if (excess <= 0) return [];
  const bound = `${limit.requests} in ${limit.perMs} ms`;
  return [`key ${key} was used ${most} times in a window that allows ${bound}: ${excess} above its bound`];
}

function throughputProblem({ saturation, badSpans }: Evidence, figure: WindowFigure): string[] {
  const { key, limit, mostInSaturation } = figure;
  const isTroubled = badSpansOf(key, badSpans).some((span) => span.to > saturation.from);
  if (isTroubled || saturation.to - saturation.from < limit.perMs) return [];
  if (mostInSaturation >= LEAST_THROUGHPUT * limit.requests) return [];
  return [
    `after the storm key ${key} gave only ${mostInSaturation} of ${limit.requests} permits in ${limit.perMs} ms`,
  ];
}

interface Losses {
  readonly lost: readonly Call[];
  readonly refusedRightly: number;
}

function lossesIn(evidence: Evidence): Losses {
  const failed = evidence.calls.filter(({ status }) => status !== 200);
  if (failed.length === 0) return { lost: [], refusedRightly: 0 };
  const usable = evidence.plan.keys.map(({ name, limits }) =>
    usableSpans(
      evidence.arrivals.filter(({ key }) => key === name),
      limits,
      badSpansOf(name, evidence.badSpans),
      { from: Number.NEGATIVE_INFINITY, to: Number.POSITIVE_INFINITY },
    ),
  );
  const lost = failed.filter((call) => {
    if (mayNotBeRepeated(call, evidence.arrivals) || isWithinOutage(call, evidence)) return false;
    const deadline = Math.max(call.endedAt, call.startedAt + evidence.plan.maxWaitMs);
    // What is free after the end of the run is free because nobody wants it.
    const period = { from: call.startedAt, to: Math.min(deadline, evidence.saturation.to) };
    return usable.some((spans) => wasUsable(spans, period, REACTION_MS));
  });
  return { lost, refusedRightly: failed.length - lost.length };
}

/** Answered while the whole provider was down: there was nobody else to ask. */
function isWithinOutage({ endedAt }: Call, { badSpans }: Evidence): boolean {
  return badSpans.some((span) => span.key === '' && isWithin(endedAt, span));
}

/** It changes something, and nobody knows whether it did: the agent has to be told. */
function mayNotBeRepeated({ id, method }: Call, arrivals: readonly Arrival[]): boolean {
  if (method === 'GET') return false;
  const last = arrivals.findLast((arrival) => arrival.id === id);
  return last !== undefined && (last.executed || last.status === undefined || last.status >= 500);
}

function duplicatesIn(arrivals: readonly Arrival[]): string[] {
  const seen = new Set<string>();
  const twice = new Set<string>();
  for (const { order, executed } of arrivals) {
    if (order === undefined || !executed) continue;
    if (seen.has(order)) twice.add(order);
    seen.add(order);
  }
  return [...twice];
}

function delaysOf(evidence: Evidence, phase: Phase): DelayFigures {
  const delays = delaysIn(evidence, phase, (call) => !isInSilence(call, evidence.faults));
  const quantile = (share: number): number => delays[Math.floor(share * (delays.length - 1))] ?? 0;
  return {
    count: delays.length,
    p50Ms: quantile(0.5),
    p99Ms: quantile(0.99),
    maxMs: delays.at(-1) ?? 0,
  };
}

/** The time of calls that is not the provider's, ascending. Milliseconds. */
function delaysIn(
  { arrivals, calls, faults, badSpans }: Evidence,
  phase: Phase,
  isMeant: (call: Call) => boolean,
): readonly number[] {
  const attempts = attemptsByCall(arrivals);
  const stops = faults.filter(({ kind }) => kind === 'agent-stopped');
  const outages = badSpans.filter(({ key }) => key === '');
  const delays = calls.flatMap((call) => {
    const [attempt, second] = attempts.get(call.id) ?? [];
    const isPlain = attempt?.endedAt !== undefined && second === undefined && call.status === 200;
    if (!isPlain || !isWithin(call.startedAt, phase) || isFirst(call) || !isMeant(call)) return [];
    // A process that stands still is not waiting for the store, nor is one whose provider is down.
    const others = [...stops.filter(({ on }) => on === call.agent), ...outages];
    if (others.some(({ from, to }) => call.endedAt >= from && call.startedAt <= to)) return [];
    return [Math.max(0, call.endedAt - call.startedAt - (attempt.endedAt - attempt.at))];
  });
  return delays.sort((a, b) => a - b);
}

function attemptsByCall(arrivals: readonly Arrival[]): Map<string, Arrival[]> {
  const attempts = new Map<string, Arrival[]>();
  for (const arrival of arrivals) {
    const known = attempts.get(arrival.id);
    if (known === undefined) attempts.set(arrival.id, [arrival]);
    else known.push(arrival);
  }
  return attempts;
}

/** Of its process: it waits for modules to load. */
function isFirst({ id }: Call): boolean {
  return id.endsWith('-1');
}

/** Nothing is heard of the store then, which may be its loss or not: for half a second a member is careful. */
const SILENT: ReadonlySet<string> = new Set([
  'store-locked',
  'store-locked-by-stopped',
  'redis-frozen',
  'redis-slow',
  'partition',
  'store-cut-off',
]);

function isInSilence({ startedAt, endedAt }: Call, faults: readonly FaultSpan[]): boolean {
  return faults.some(
    ({ kind, from }) =>
      SILENT.has(kind) &&
      startedAt <= from + SILENCE_MS + DELAY_BOUND_MS + DELAY_MARGIN_MS &&
      endedAt >= from,
  );
}

function silenceProblem(longestMs: number, calm: DelayFigures): string[] {
  const allowedMs = calm.p99Ms + SILENCE_MS + DELAY_BOUND_MS + DELAY_MARGIN_MS;
  if (longestMs <= allowedMs) return [];
  return [`while it was open whether the store is lost, a request took ${Math.round(longestMs)} ms`];
}

function delayProblem(calm: DelayFigures, storm: DelayFigures): string[] {
  const allowedMs = calm.p99Ms + DELAY_BOUND_MS + DELAY_MARGIN_MS;
  if (storm.p99Ms <= allowedMs) return [];
  return [
    `in the storm requests took up to ${Math.round(storm.p99Ms)} ms (p99) beside the provider's time, in the calm ${Math.round(calm.p99Ms)} ms`,
  ];
}

function hangs({ lives }: Evidence): string[] {
  return lives.flatMap(({ agent, incarnation, wasKilled, began, ended, exitCode, complaint }) => {
    if (wasKilled) return [];
    const name = `agent ${agent} (process ${incarnation})`;
    const said = complaint === '' ? '' : `: ${complaint}`;
    if (began === undefined) return [`${name} did not come to its end (exit code ${exitCode})${said}`];
    if (exitCode !== 0) return [`${name} ended with exit code ${exitCode}${said}`];
    return began === ended ? [] : [`${name} began ${began} requests and saw ${ended} of them end`];
  });
}

function recoveryProblem({ recoveredAfterMs, notRecovered }: Evidence): string[] {
  if (recoveredAfterMs !== undefined && recoveredAfterMs <= RECOVERY_WITHIN_MS) return [];
  return [
    `after the last fault not everybody had the store back within ${RECOVERY_WITHIN_MS} ms: ${notRecovered.join('; ')}`,
  ];
}

/** Faults that take the store away for long enough that somebody must have noticed. */
const FELT_AFTER_MS = 1_500;
const TAKES_STORE_AWAY: ReadonlySet<string> = new Set([
  'store-locked',
  'store-locked-by-stopped',
  'disk-full',
  'redis-unreachable',
  'redis-frozen',
  'redis-restarted',
  'redis-out-of-memory',
  'redis-read-only',
  'partition',
  'store-cut-off',
]);

/** A fault that nobody felt proves nothing. */
function unfelt({ faults, news }: Evidence): string[] {
  return faults
    .filter(({ kind, from, to }) => TAKES_STORE_AWAY.has(kind) && to - from >= FELT_AFTER_MS)
    .filter(({ from, to }) => !news.some(({ name, at }) => name === 'degraded' && at >= from && at <= to))
    .map(({ kind }) => `nobody noticed the fault ${kind}`);
}

function isWithin(at: number, { from, to }: Phase): boolean {
  return at >= from && at <= to;
}
