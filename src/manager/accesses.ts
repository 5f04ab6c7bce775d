/** Who takes keys, counted for those that watch; while nobody does, taking a key costs one look at `isActive`. */
import { basename, dirname, relative, sep } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { KeymuxError } from '../core/errors.js';

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

export interface Access {
  readonly key: string;
  readonly service: string;
  readonly way: AccessWay;
  readonly by?: string | undefined;
}

export interface AccessWatch {
  /** What was counted since the last call. */
  drain(): readonly AccessCount[];
  stop(): void;
}

/** A caller is looked for so often at most, per key and way. Milliseconds. */
const SAMPLE_EVERY_MS = 1_000;
/** Callers of one count that are remembered between two calls of `drain`. */
const MOST_CALLERS = 20;

export class Accesses {
  /** Whether anything is to be done when a key is taken. */
  isActive = false;
  readonly #watches = new Set<Watch>();
  readonly #refusals = new Map<object, KeymuxError>();
  readonly #sampledAt = new Map<string, number>();

  /** Counts from now on. Each watch sees every access. */
  watch(): AccessWatch {
    const watch = new Watch(() => {
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

  /** Why nobody may take a key. */
  get refusal(): KeymuxError | undefined {
    return this.#refusals.values().next().value;
  }

  /** Only where `isActive`. Throws what `refuse` was given. */
  note(access: Access): void {
    const { refusal } = this;
    if (refusal !== undefined) throw refusal;
    const { key, way } = access;
    const place = `${way} ${key}`;
    const now = performance.now();
    let caller: string | undefined;
    if (
      way !== 'request' &&
      now - (this.#sampledAt.get(place) ?? Number.NEGATIVE_INFINITY) >= SAMPLE_EVERY_MS
    ) {
      this.#sampledAt.set(place, now);
      caller = callerOutside();
    }
    for (const watch of this.#watches) watch.add(access, caller);
  }

  #settle(): void {
    this.isActive = this.#watches.size > 0 || this.#refusals.size > 0;
  }
}

interface Counted extends Access {
  count: number;
  readonly callers: Set<string>;
}

class Watch implements AccessWatch {
  readonly stop: () => void;
  #counts = new Map<string, Counted>();

  constructor(stop: () => void) {
    this.stop = stop;
  }

  add(access: Access, caller: string | undefined): void {
    const { key, service, way, by } = access;
    const name = `${way} ${key} ${service} ${by ?? ''}`;
    let counted = this.#counts.get(name);
    if (counted === undefined) {
      counted = { key, service, way, by, count: 0, callers: new Set() };
      this.#counts.set(name, counted);
    }
    counted.count += 1;
    if (caller !== undefined && counted.callers.size < MOST_CALLERS) counted.callers.add(caller);
  }

  drain(): readonly AccessCount[] {
    if (this.#counts.size === 0) return [];
    const counts = this.#counts;
    this.#counts = new Map();
    return [...counts.values()].map(({ key, service, way, by, count, callers }) => ({
      key,
      service,
      way,
      ...(by === undefined ? {} : { by }),
      count,
      callers: [...callers],
    }));
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
