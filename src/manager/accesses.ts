/** Who takes keys, counted for those that watch; while nobody does, taking a key costs one look at `isActive`. */
import { basename, dirname, relative, sep } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { KeymuxError } from '../core/errors.js';
import type { KeptTrail } from './audit-view.js';

/**
 * `library`: `getApiKey`, `resolve`, `acquire`, `run` and `fetch`. `environment`: a read of `process.env`. `request`: an
 * attempt of a request that was intercepted, or that came to the gateway.
 */
export type AccessWay = 'library' | 'environment' | 'request';

export interface AccessCount {
  /** `provider/key`. */
  readonly key: string;
  readonly service: string;
  readonly way: AccessWay;
  /** Who asked, where that is known, such as `gateway token admin`. Never a secret. */
  readonly by?: string;
  readonly count: number;
  /** Module and function of some of those that took the key; not of every one. */
  readonly callers: readonly string[];
}

export interface AccessWatch {
  /** What was counted since the last call. */
  drain(): readonly AccessCount[];
  stop(): void;
}

/** A caller is looked for so often at most, per key and way. Milliseconds. */
const SAMPLE_EVERY_MS = 1_000;
/** A program that lets no timer run is asked for the time at each so many accesses: a power of two. */
const ACCESSES_PER_LOOK = 64;
/** Callers of one count that are remembered between two calls of `drain`. */
const MOST_CALLERS = 20;

export class Accesses {
  /** Whether anything is to be done when a key is taken. */
  isActive = false;
  /** Why nobody may take a key. */
  refusal: KeymuxError | undefined;
  /** The trail that is kept of these accesses. One of each manager, whichever copy of the code began it. */
  trail: KeptTrail | undefined;
  readonly #watches = new Set<Watch>();
  readonly #refusals = new Map<object, KeymuxError>();
  /** By key; those of one key are a list. Never emptied: keys, services and tokens are few. */
  readonly #slots = new Map<string, Slot>();
  readonly #order: Slot[] = [];
  #latest: Slot | undefined;
  #sampling: NodeJS.Timeout | undefined;

  /** Counts from now on. Each watch sees every access. */
  watch(): AccessWatch {
    const watch = new Watch(this.#order, () => {
      this.#watches.delete(watch);
      this.#settle();
    });
    this.#watches.add(watch);
    this.#settle();
    return watch;
  }

  /** Lets nobody take a key until `owner` takes this back with `undefined`. */
  refuse(owner: object, error: KeymuxError | undefined): void {
    if (error === undefined) this.#refusals.delete(owner);
    else this.#refusals.set(owner, error);
    this.#settle();
  }

  /**
   * Only where `isActive`. Throws what `refuse` was given.
   * @param key `provider/key`
   * @param by who asked, where that is known, such as `gateway token admin`; never a secret
   */
  note(way: AccessWay, service: string, key: string, by?: string): void {
    if (this.refusal !== undefined) throw this.refusal;
    const latest = this.#latest;
    const slot =
      latest !== undefined && isFor(latest, way, service, key, by)
        ? latest
        : this.#slotFor(way, service, key, by);
    slot.total += 1;
    const isTime = slot.isSampleDue || slot.total % ACCESSES_PER_LOOK === 0;
    if (isTime && way !== 'request') this.#sample(slot);
  }

  #slotFor(way: AccessWay, service: string, key: string, by: string | undefined): Slot {
    const first = this.#slots.get(key);
    let slot = first;
    while (slot !== undefined && !isFor(slot, way, service, key, by)) slot = slot.next;
    if (slot === undefined) {
      const index = this.#order.length;
      slot = { key, service, way, by, index, total: 0, isSampleDue: true, sampledAt: 0, next: first };
      this.#slots.set(key, slot);
      this.#order.push(slot);
    }
    this.#latest = slot;
    return slot;
  }

  #sample(slot: Slot): void {
    const now = performance.now();
    if (!slot.isSampleDue && now - slot.sampledAt < SAMPLE_EVERY_MS) return;
    slot.sampledAt = now;
    slot.isSampleDue = false;
    const caller = callerOutside();
    if (caller !== undefined) for (const watch of this.#watches) watch.met(slot, caller);
  }

  #settle(): void {
    this.refusal = this.#refusals.values().next().value;
    this.isActive = this.#watches.size > 0 || this.refusal !== undefined;
    clearInterval(this.#sampling);
    if (this.#watches.size > 0)
      this.#sampling = setInterval(() => this.#letSample(), SAMPLE_EVERY_MS).unref();
  }

  #letSample(): void {
    for (const slot of this.#order) slot.isSampleDue = true;
  }
}

/** All accesses of one kind. */
interface Slot {
  readonly key: string;
  readonly service: string;
  readonly way: AccessWay;
  readonly by: string | undefined;
  readonly index: number;
  /** Only grows, so that taking a key costs the same however many watch. */
  total: number;
  isSampleDue: boolean;
  /** By `performance.now()`. */
  sampledAt: number;
  /** Of the same key. */
  readonly next: Slot | undefined;
}

function isFor(slot: Slot, way: AccessWay, service: string, key: string, by: string | undefined): boolean {
  return slot.key === key && slot.way === way && slot.service === service && slot.by === by;
}

class Watch implements AccessWatch {
  readonly #slots: readonly Slot[];
  readonly #stop: () => void;
  /** The totals that were told. */
  readonly #told: number[];
  readonly #callers = new Map<Slot, Set<string>>();
  #hasStopped = false;

  constructor(slots: readonly Slot[], stop: () => void) {
    this.#slots = slots;
    this.#stop = stop;
    this.#told = slots.map(({ total }) => total);
  }

  met(slot: Slot, caller: string): void {
    let callers = this.#callers.get(slot);
    if (callers === undefined) this.#callers.set(slot, (callers = new Set()));
    if (callers.size < MOST_CALLERS) callers.add(caller);
  }

  drain(): readonly AccessCount[] {
    if (this.#hasStopped) return [];
    const counts: AccessCount[] = [];
    for (const slot of this.#slots) {
      const { key, service, way, by, index, total } = slot;
      const count = total - (this.#told[index] ?? 0);
      if (count === 0) continue;
      this.#told[index] = total;
      const callers = [...(this.#callers.get(slot) ?? [])];
      counts.push({ key, service, way, ...(by === undefined ? {} : { by }), count, callers });
    }
    this.#callers.clear();
    return counts;
  }

  stop(): void {
    this.#hasStopped = true;
    this.#stop();
  }
}

/** `file function` of the innermost frame that is neither ours nor Node's; its arguments are never looked at. */
function callerOutside(): string | undefined {
  try {
    const held: { stack?: unknown } = {};
    Error.captureStackTrace(held, callerOutside);
    return typeof held.stack === 'string' ? callerIn(held.stack, OWN_FOLDER, process.cwd()) : undefined;
  } catch {
    // The program makes stacks its own way.
    return undefined;
  }
}

const FRAME = /^\s*at (?:(?:async )?(?<name>[^(]*?) \()?(?:file:\/\/)?(?<file>[^()]+?):\d+:\d+\)?$/;

/** Reads a stack as V8 writes it. Exported for its tests. */
export function callerIn(stack: string, ownFolder: string, cwd: string): string | undefined {
  for (const line of stack.split('\n')) {
    const { name = '', file } = FRAME.exec(line)?.groups ?? {};
    if (file === undefined || file.startsWith('node:') || file.startsWith(ownFolder + sep)) continue;
    const shown = file.startsWith(cwd + sep) ? relative(cwd, file) : file;
    return name === '' ? shown : `${shown} ${name}`;
  }
  return undefined;
}

const here = dirname(fileURLToPath(import.meta.url));
/** Where this package's code is: as many files, or in one. */
const OWN_FOLDER = basename(here) === 'manager' ? dirname(here) : here;
