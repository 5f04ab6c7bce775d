/** How everything stands at this moment, as the rules want to know it. */
import type {
  AlertObservation,
  AllowanceObservation,
  AnomalyObservation,
  KeyObservation,
  ServiceObservation,
  UsageObservation,
} from '../core/alert-measures.js';
import type { AlertRule } from '../core/alert-rules.js';
import { afterCount, newBaseline, presentUsage, usualMaximum } from '../core/usage-baseline.js';
import type { UsageBaseline } from '../core/usage-baseline.js';
import type { KeySnapshot, Snapshot } from '../manager/inspection.js';
import type { KeyManager } from '../manager/key-manager.js';
import { readAllowances } from './alert-allowances.js';
import { Occurrences } from './alert-occurrences.js';
import { watchAnomalies } from './anomalies.js';
import type { AnomalyDetection, AnomalyOptions } from './anomalies.js';

/** What is left of the limits is asked for at every so many looks. */
const LOOKS_PER_QUESTION = 5;
/** So many anomalies are remembered. */
const MOST_ANOMALIES = 1_000;
/** No rule looks further back. Milliseconds. */
const LONGEST_MS = 86_400_000;

export class AlertWatch {
  readonly #manager: KeyManager;
  readonly #occurrences: Occurrences;
  #baselines = new Map<string, UsageBaseline>();
  #allowances: readonly AllowanceObservation[] = [];
  #looks = 0;
  readonly #anomalyOptions: AnomalyOptions;
  readonly #found: AnomalyObservation[] = [];
  #detection: AnomalyDetection | undefined;
  #deafen: (() => void) | undefined;

  constructor(manager: KeyManager, anomalyOptions: AnomalyOptions = {}) {
    this.#manager = manager;
    this.#anomalyOptions = anomalyOptions;
    this.#occurrences = new Occurrences(manager);
  }

  async observe(rules: readonly AlertRule[], now: number): Promise<AlertObservation> {
    const manager = this.#manager;
    const asks = this.#looks % LOOKS_PER_QUESTION === 0 && rules.some(({ when }) => when === 'quota');
    if (asks) this.#allowances = await readAllowances(manager);
    this.#looks += 1;
    const snapshot = manager.inspect();
    const services = servicesOf(manager, snapshot);
    return {
      at: now,
      storeTrouble: troubleOf(snapshot),
      services,
      providers: snapshot.providers.map(({ id, healthScore, circuit }) => ({
        id,
        healthScore,
        isOut: circuit === 'open' || circuit === 'half-open',
      })),
      keys: snapshot.keys.map(({ id, provider, state }) => ({ id, provider, state: stateOf(state) })),
      allowances: this.#allowances,
      failovers: this.#occurrences.read('failover', now),
      exhausted: this.#occurrences.read('exhausted', now),
      usage: this.#usage(rules, snapshot, services, now),
      anomalies: this.#anomalies(rules, now),
    };
  }

  close(): void {
    this.#occurrences.close();
    this.#ignoreAnomalies();
  }

  /** What finds them runs only while a rule asks for it. */
  #anomalies(rules: readonly AlertRule[], now: number): readonly AnomalyObservation[] {
    const isAsked = rules.some(({ when }) => when === 'anomaly');
    if (!isAsked) this.#ignoreAnomalies();
    else if (this.#detection === undefined) {
      // Before the first one is found.
      this.#deafen = this.#manager.on('anomaly', ({ kind, subject, evidence, at }) => {
        this.#found.push({ kind, subject, evidence, at });
        if (this.#found.length > MOST_ANOMALIES) this.#found.shift();
      });
      this.#detection = watchAnomalies(this.#manager, this.#anomalyOptions);
    }
    const old = this.#found.findIndex(({ at }) => at > now - LONGEST_MS);
    this.#found.splice(0, old === -1 ? this.#found.length : old);
    return this.#found;
  }

  #ignoreAnomalies(): void {
    this.#deafen?.();
    void this.#detection?.stop();
    this.#deafen = undefined;
    this.#detection = undefined;
  }

  #usage(
    rules: readonly AlertRule[],
    { keys }: Snapshot,
    services: readonly ServiceObservation[],
    now: number,
  ): UsageObservation[] {
    const lengths = new Set(rules.filter(({ when }) => when === 'unusual-usage').map(({ perMs }) => perMs));
    const uses = new Map(keys.map((key) => [key.id, key.uses]));
    const totals = [
      ...keys.map((key) => ({ subject: key.id, of: 'key' as const, total: key.uses })),
      ...services.map((service) => ({
        subject: service.name,
        of: 'service' as const,
        total: service.keys.reduce((sum, key) => sum + (uses.get(key) ?? 0), 0),
      })),
    ];
    const before = this.#baselines;
    this.#baselines = new Map();
    return [...lengths].flatMap((perMs) =>
      totals.map(({ subject, of, total }) => {
        const name = `${perMs} ${of} ${subject}`;
        const known = before.get(name);
        const baseline = known === undefined ? newBaseline(perMs, total, now) : afterCount(known, total, now);
        this.#baselines.set(name, baseline);
        return { subject, of, perMs, value: presentUsage(baseline), usual: usualMaximum(baseline) };
      }),
    );
  }
}

function troubleOf({ store, fleet }: Snapshot): string | undefined {
  return store.trouble ?? (fleet?.state === 'alone' ? 'it does not answer.' : undefined);
}

function servicesOf({ configuration }: KeyManager, { keys }: Snapshot): ServiceObservation[] {
  const all = [...configuration.services.values()];
  const inDeclared = new Set(all.filter(({ implicit }) => !implicit).flatMap(({ providers }) => providers));
  return all.map(({ name, providers, implicit }) => ({
    name,
    keys: keys.filter(({ provider }) => providers.includes(provider)).map(({ id }) => id),
    isPart: implicit && providers.every((id) => inDeclared.has(id)),
  }));
}

function stateOf(state: KeySnapshot['state']): KeyObservation['state'] {
  switch (state) {
    case 'ready':
    case 'unproven':
      return 'usable';
    case 'returning':
      return 'returning';
    case 'rejected':
    case 'disabled':
      return state;
    case 'resting':
    case 'out-of-permits':
    case 'expired':
      return 'out';
  }
}
