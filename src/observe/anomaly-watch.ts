/** Looks at how keys are used, holds it against what is usual, and learns. */
import { hostname } from 'node:os';
import { basename, dirname, join } from 'node:path';
import { entryOf } from '../core/anomaly-baselines.js';
import type { Baselines } from '../core/anomaly-baselines.js';
import { countUse, newHistory } from '../core/anomaly-history.js';
import type { UseHistory } from '../core/anomaly-history.js';
import { judgeHours } from '../core/anomaly-hours.js';
import { meetName, newNames } from '../core/anomaly-newcomers.js';
import { judgeOutsideUse, newOutsideUse } from '../core/anomaly-outside.js';
import type { Spending } from '../core/anomaly-outside.js';
import { isAboveUsual, judgeRate } from '../core/anomaly-rate.js';
import type { Unusual } from '../core/anomaly.js';
import type { AccessWatch } from '../manager/accesses.js';
import type { OriginRefusal } from '../manager/destinations.js';
import type { AnomalyEvent } from '../manager/events.js';
import type { KeySnapshot } from '../manager/inspection.js';
import type { KeyManager } from '../manager/key-manager.js';
import { Routes } from './anomaly-routes.js';

/** The same origin is told as refused once within so long. Milliseconds. */
const REFUSAL_REST_MS = 3_600_000;
const MOST_REFUSALS = 500;
const LONGEST_ORIGIN = 100;

interface KeyUse {
  readonly key: KeySnapshot;
  /** Since the last look, by all threads of the process. */
  readonly requests: number;
}

export class AnomalyWatch {
  readonly #manager: KeyManager;
  readonly #baselines: Baselines;
  readonly #accesses: AccessWatch;
  readonly #routes: Routes;
  readonly #program: string;
  readonly #uses = new Map<string, number>();
  /** By provider and origin: when it was told. */
  readonly #refusals = new Map<string, number>();
  #found: AnomalyEvent[] = [];

  /** `program`: what to call this process among the callers. */
  constructor(manager: KeyManager, baselines: Baselines, program = programName(process.argv[1])) {
    this.#manager = manager;
    this.#baselines = baselines;
    this.#program = program;
    this.#accesses = manager.accesses.watch();
    this.#routes = new Routes(manager);
  }

  /** `spent`: requests of the whole fleet so far, by key; absent where nobody can say. */
  look(at: number, spent: ReadonlyMap<string, number> | undefined): readonly AnomalyEvent[] {
    this.#found = [];
    const uses = this.#readUses();
    const services = this.#judgeServices(uses, at);
    for (const use of uses) this.#judgeKey(use, services, at);
    this.#judgeAccesses(at);
    this.#judgeRoutes(at);
    if (spent !== undefined) this.#judgeAllowances(uses, spent, at);
    return this.#found;
  }

  close(): void {
    this.#accesses.stop();
    this.#routes.close();
  }

  #tell(subject: string, { kind, evidence, value, threshold }: Unusual, at: number): void {
    this.#found.push({
      kind,
      subject,
      evidence,
      ...(value === undefined ? {} : { value }),
      ...(threshold === undefined ? {} : { threshold }),
      at,
    });
  }

  #readUses(): KeyUse[] {
    return this.#manager.inspect().keys.map((key) => {
      const before = this.#uses.get(key.id) ?? key.uses;
      this.#uses.set(key.id, key.uses);
      return { key, requests: Math.max(0, key.uses - before) };
    });
  }

  // --- how much, and when -------------------------------------------------------------------------------------

  /** The histories of all services, by name; a provider that stands alone is one. */
  #judgeServices(uses: readonly KeyUse[], at: number): ReadonlyMap<string, UseHistory> {
    const histories = new Map<string, UseHistory>();
    for (const { name, providers, implicit } of this.#manager.configuration.services.values()) {
      const requests = uses
        .filter(({ key }) => providers.includes(key.provider))
        .reduce((sum, use) => sum + use.requests, 0);
      const history = this.#counted(`service ${name}`, requests, at);
      if (history === undefined) continue;
      histories.set(name, history);
      const unusual = implicit ? undefined : judgeRate(history);
      if (unusual !== undefined) this.#tell(name, unusual, at);
    }
    return histories;
  }

  #judgeKey({ key, requests }: KeyUse, services: ReadonlyMap<string, UseHistory>, at: number): void {
    const { id, provider } = key;
    const history = this.#counted(id, requests, at);
    if (history === undefined) return;
    const own = [...this.#manager.configuration.services.values()]
      .filter(({ providers }) => providers.includes(provider))
      .flatMap(({ name }) => services.get(name) ?? []);
    // Where another key rests, its requests come here; and what is told of the service needs no second word.
    const isMoved = (): boolean =>
      own.some((service) => service.surge !== undefined || !isAboveUsual(service));
    const unusual = [judgeRate(history, isMoved), judgeHours(history)];
    for (const each of unusual) if (each !== undefined) this.#tell(id, each, at);
    if (requests > 0) this.#meetCaller(id, this.#program, requests, at);
  }

  #counted(subject: string, requests: number, at: number): UseHistory | undefined {
    const history = entryOf(this.#baselines.uses, subject, () => newHistory(at));
    if (history !== undefined) countUse(history, requests, at);
    return history;
  }

  // --- who ----------------------------------------------------------------------------------------------------

  #judgeAccesses(at: number): void {
    const applications = new Map<string, { readonly service: string; count: number }>();
    for (const { key, service, by, count, callers } of this.#accesses.drain()) {
      for (const caller of callers) this.#meetCaller(key, `module ${moduleOf(caller)}`, 1, at);
      if (by === undefined) continue;
      this.#meetCaller(key, by, count, at);
      const known = applications.get(by);
      if (known === undefined) applications.set(by, { service, count });
      else known.count += count;
    }
    for (const subject of this.#baselines.uses.keys())
      if (subject.startsWith(APPLICATION) && !applications.has(subject.slice(APPLICATION.length)))
        this.#counted(subject, 0, at);
    for (const [by, { service, count }] of applications) {
      const history = this.#counted(APPLICATION + by, count, at);
      const unusual = history === undefined ? undefined : judgeRate(history);
      if (unusual !== undefined)
        this.#tell(service, { ...unusual, evidence: `${by}: ${unusual.evidence}` }, at);
    }
  }

  #meetCaller(key: string, caller: string, sightings: number, at: number): void {
    const known = entryOf(this.#baselines.callers, key, () => newNames(at));
    if (known === undefined || !meetName(known, caller, sightings, at)) return;
    const evidence = `It is used by ${caller} for the first time; ${known.names.size - 1} others are known.`;
    this.#tell(key, { kind: 'new-caller', evidence }, at);
  }

  // --- where to -----------------------------------------------------------------------------------------------

  #judgeRoutes(at: number): void {
    const { routes, refused } = this.#routes.drain();
    for (const { provider, route, count } of routes) {
      const known = entryOf(this.#baselines.routes, provider, () => newNames(at));
      if (known === undefined || !meetName(known, route, count, at)) continue;
      const evidence = `Requests go to ${route} for the first time; ${known.names.size - 1} other routes are known.`;
      this.#tell(provider, { kind: 'new-origin', evidence }, at);
    }
    for (const refusal of refused) this.#judgeRefusal(refusal, at);
  }

  #judgeRefusal({ provider, origin, fault }: OriginRefusal, at: number): void {
    const seen = origin?.slice(0, LONGEST_ORIGIN) ?? 'a destination that cannot be seen';
    const place = fault === undefined ? seen : `${seen} (${fault})`;
    const told = this.#refusals.get(`${provider} ${place}`);
    if (told !== undefined && at - told < REFUSAL_REST_MS) return;
    if (told === undefined && this.#refusals.size >= MOST_REFUSALS) this.#refusals.clear();
    this.#refusals.set(`${provider} ${place}`, at);
    const evidence = `A key of ${provider} was to go to ${place}; the request was refused and not sent.`;
    this.#tell(provider, { kind: 'new-origin', evidence }, at);
  }

  // --- by others ----------------------------------------------------------------------------------------------

  #judgeAllowances(uses: readonly KeyUse[], spent: ReadonlyMap<string, number>, at: number): void {
    const buckets = new Map<string, { readonly subject: string; readonly keys: KeySnapshot[] }>();
    for (const { key } of uses) {
      const bucket = buckets.get(key.bucket);
      if (bucket === undefined) buckets.set(key.bucket, { subject: key.id, keys: [key] });
      else bucket.keys.push(key);
    }
    for (const [bucket, { subject, keys }] of buckets) {
      const spending = spendingOf(keys, spent, at);
      const known = entryOf(this.#baselines.outside, bucket, newOutsideUse);
      if (spending === undefined || known === undefined) continue;
      const unusual = judgeOutsideUse(known, spending);
      if (unusual !== undefined) this.#tell(subject, unusual, at);
    }
  }
}

const APPLICATION = 'by ';

function spendingOf(
  keys: readonly KeySnapshot[],
  spent: ReadonlyMap<string, number>,
  at: number,
): Spending | undefined {
  const stated = keys.find((key) => key.stated !== undefined)?.stated;
  if (stated?.limit === undefined || stated.kind === 'returning') return undefined;
  const { left, until, limit, kind } = stated;
  const sum = (numberOf: (key: KeySnapshot) => number): number =>
    keys.reduce((total, key) => total + numberOf(key), 0);
  return {
    at,
    left,
    until,
    limit,
    kind,
    spent: sum(({ id }) => spent.get(id) ?? 0),
    underWay: sum(({ inFlight }) => inFlight),
  };
}

/** Without the function, which every change of the code may rename. */
function moduleOf(caller: string): string {
  return firstWordOf(caller);
}

/** `program jobs/nightly.js on worker-3`. Of a title only the first word: arguments may hold anything. */
export function programName(script: string | undefined, host: string = hostname()): string {
  const name = script === undefined ? 'node' : join(basename(dirname(script)), basename(script));
  const own = firstWordOf(process.title).slice(0, 40);
  const title = ['', 'node', process.execPath].includes(own) ? '' : ` (${own})`;
  return `program ${name}${title} on ${host}`;
}

function firstWordOf(text: string): string {
  return text.replace(/ .*/s, '');
}
