/**
 * Traffic that `scripts/record-traffic.mjs` recorded of real programs, stretched to weeks: its workday and its Sunday
 * again and again, each time a little earlier or later, a little busier or quieter. Seeded: the same seed, the same weeks.
 */
import { readFileSync } from 'node:fs';
import { newBaselines } from '#keymux/core/anomaly-baselines.js';
import { SLOT_MS } from '#keymux/core/anomaly-history.js';
import type { AnomalyKind } from '#keymux/core/anomaly.js';
import type { Random } from '#keymux/core/ports.js';
import type { AnomalyEvent } from '#keymux/manager/events.js';
import type { KeyManager } from '#keymux/manager/key-manager.js';
import { AnomalyWatch } from '#keymux/observe/anomaly-watch.js';
import { seededRandom } from '#keymux/testing/fake-clock.js';
import { poisson } from '../core/anomaly-traffic.js';
import { acmeManager } from '../manager/acme.js';

const DAY_SLOTS = 288;
const HOUR_SLOTS = 12;
const WEEK_SLOTS = 7 * DAY_SLOTS;
/** A Monday, midnight UTC. */
const START = Date.UTC(2027, 0, 4);
const LOOKS = 30;
/** A program begins its day so much earlier or later. Slots. */
const MOST_SHIFT = 3;
/** By so much days differ from each other: the logarithm of the factor scatters so. */
const DAY_SCATTER = 0.2;

interface Line {
  readonly slot: number;
  readonly program: string;
  /** Attempts, by `provider/key outcome`. */
  readonly attempt?: Readonly<Record<string, number>>;
}

interface Use {
  readonly program: string;
  readonly key: string;
  readonly requests: number;
}

/** The uses of each slot: of a workday, and of a Sunday. */
export type Recording = readonly [workday: readonly Use[][], sunday: readonly Use[][]];

export function readRecording(): Recording {
  const text = readFileSync(new URL('recorded-traffic.jsonl', import.meta.url), 'utf8');
  const slots: Use[][] = Array.from({ length: 2 * DAY_SLOTS }, () => []);
  for (const line of text.trim().split('\n')) {
    const { slot, program, attempt = {} } = JSON.parse(line) as Line;
    for (const [name, requests] of Object.entries(attempt))
      slots[slot]?.push({ program, key: name.split(' ', 1)[0] ?? '', requests });
  }
  return [slots.slice(0, DAY_SLOTS), slots.slice(DAY_SLOTS)];
}

export function keysOf(recording: Recording): string[] {
  return [...new Set(recording.flat(2).map(({ key }) => key))].sort();
}

/** Something that should be found, on top of the traffic of the last week. */
export interface Incident extends Use {
  readonly kind: AnomalyKind;
  /** Slots since that week began. */
  readonly from: number;
  readonly slots: number;
}

const slotOf = (day: number, hour: number): number => day * DAY_SLOTS + hour * HOUR_SLOTS;

/** `requests`: in five minutes. */
export const INCIDENTS: Readonly<Record<string, Incident>> = {
  'a loop, 10 requests a second': {
    kind: 'rate',
    program: 'analyst',
    key: 'llm/main',
    requests: 3_000,
    from: slotOf(0, 12),
    slots: 1,
  },
  'a stolen key beside the programs, 60 requests a minute': {
    kind: 'rate',
    program: 'chat',
    key: 'llm/main',
    requests: 300,
    from: slotOf(1, 4),
    slots: 6,
  },
  'night use of the key of market hours, 24 requests an hour': {
    kind: 'hours',
    program: 'quotes',
    key: 'market/main',
    requests: 2,
    from: slotOf(2, 3),
    slots: 24,
  },
  'a program that nobody knows, 4 requests a minute': {
    kind: 'new-caller',
    program: 'unknown',
    key: 'market/main',
    requests: 20,
    from: slotOf(3, 16),
    slots: 2,
  },
};

export interface Replayed {
  readonly falseAlarms: readonly AnomalyEvent[];
  /** By incident: milliseconds until it was found; absent where it was not. */
  readonly delays: ReadonlyMap<string, number>;
}

/** All programs behind one gateway, with a token each, and what its watch finds. */
export function replay(
  recording: Recording,
  seed: number,
  weeks: number,
  incidents: Readonly<Record<string, Incident>>,
): Replayed {
  const manager = managerOf(keysOf(recording));
  const watch = new AnomalyWatch(manager, newBaselines(), 'program gateway on here');
  const falseAlarms: AnomalyEvent[] = [];
  const delays = new Map<string, number>();
  const random = seededRandom(seed);
  const usualIn = usualUses(recording, random);
  const lastWeek = (weeks - 1) * WEEK_SLOTS;
  for (let slot = 0; slot < weeks * WEEK_SLOTS; slot += 1) {
    const [name, incident] = underWay(incidents, slot - lastWeek);
    const uses = [...usualIn(slot), ...(incident === undefined ? [] : [incident])];
    const looks = incident === undefined ? 1 : LOOKS;
    for (let each = 1; each <= looks; each += 1) {
      for (const use of uses) send(manager, use, partOf(use.requests, each, looks));
      const passed = slot * SLOT_MS + (each * SLOT_MS) / looks;
      for (const event of watch.look(START + passed - 1, undefined)) {
        if (incident?.kind !== event.kind) falseAlarms.push(event);
        else if (!delays.has(name)) delays.set(name, passed - (lastWeek + incident.from) * SLOT_MS);
      }
    }
  }
  watch.close();
  return { falseAlarms, delays };
}

function underWay(
  incidents: Readonly<Record<string, Incident>>,
  slot: number,
): [name: string, incident?: Incident] {
  const found = Object.entries(incidents).find(([, { from, slots }]) => slot >= from && slot < from + slots);
  return found ?? [''];
}

/** The uses of each slot of the weeks to come; asked slot by slot. */
function usualUses(recording: Recording, random: Random): (slot: number) => Use[] {
  const programs = [...new Set(recording.flat(2).map(({ program }) => program))];
  let today = new Map<string, { readonly shift: number; readonly factor: number }>();
  return (slot) => {
    if (slot % DAY_SLOTS === 0)
      today = new Map(
        programs.map((program) => [
          program,
          {
            shift: Math.floor((2 * MOST_SHIFT + 1) * random()) - MOST_SHIFT,
            // The sum of twelve is as good as normal.
            factor: Math.exp(DAY_SCATTER * (Array.from({ length: 12 }, random).reduce((a, b) => a + b) - 6)),
          },
        ]),
      );
    const day = recording[Math.floor(slot / DAY_SLOTS) % 7 < 5 ? 0 : 1];
    return programs.flatMap((program) => {
      const { shift, factor } = today.get(program) ?? { shift: 0, factor: 1 };
      const uses = day[((slot % DAY_SLOTS) + shift + DAY_SLOTS) % DAY_SLOTS] ?? [];
      return uses
        .filter((use) => use.program === program)
        .map((use) => ({ ...use, requests: poisson(use.requests * factor, random) }));
    });
  };
}

function partOf(requests: number, part: number, parts: number): number {
  return Math.floor((requests * part) / parts) - Math.floor((requests * (part - 1)) / parts);
}

function send(manager: KeyManager, { program, key }: Use, requests: number): void {
  const provider = key.split('/', 1)[0] ?? '';
  for (let sent = 0; sent < requests; sent += 1) {
    manager.report(key, 'success');
    manager.accesses.note('request', provider, key, `gateway token ${program}`);
  }
}

function managerOf(keys: readonly string[]): KeyManager {
  const providers: Record<string, { baseUrl: string; keys: { id: string; value: string }[] }> = {};
  const env: Record<string, string> = {};
  for (const name of keys) {
    const [provider = '', id = ''] = name.split('/');
    const variable = `SIMULATED_${provider}_${id}`.toUpperCase();
    env[variable] = `simulated-${provider}-${id}`;
    const definition = (providers[provider] ??= { baseUrl: `http://127.0.0.1:9/${provider}`, keys: [] });
    definition.keys.push({ id, value: `env:${variable}` });
  }
  return acmeManager({ options: { env, config: { providers } } });
}
