/** Scripts: what one simulated key, or the whole simulated provider, does over time. */
import { KeymuxError } from '../core/errors.js';
import type { Action, Behaviour } from './script.js';
import { refuse, reset, silence } from './script.js';

/** At most `requests` in any `perMs` milliseconds, wherever that window begins. */
export interface RateLimit {
  readonly requests: number;
  readonly perMs: number;
}

/** What a key or a bucket may use. */
export interface Allowance {
  /** Rolling windows; all of them hold. A request over one is refused and recorded as an overshoot. */
  readonly limits?: readonly RateLimit[];
  /** A total, such as a day's; being refused for it is no overshoot, as only the provider knows what is left. */
  readonly quota?: Quota;
}

/** An allowance that does not slide: spent until it is given anew. */
export interface Quota {
  readonly requests: number;
  /** Starts anew each time this has passed since the simulator started. Milliseconds; default: never. */
  readonly perMs?: number;
  /** What happens when it is used up. Default: the flavour's `quota-exhausted` refusal. */
  readonly then?: Behaviour;
}

/** One part of a script: an answer, or several, for a while. */
export type Step =
  | Behaviour
  | { readonly step: 'times'; readonly count: number; readonly behaviour: Behaviour }
  | { readonly step: 'until'; readonly ms: number; readonly behaviour: Behaviour };

/** The behaviour for this many requests. */
export function times(count: number, behaviour: Behaviour): Step {
  return { step: 'times', count, behaviour };
}

/** The behaviour until this many milliseconds after the start of the simulator. */
export function until(ms: number, behaviour: Behaviour): Step {
  return { step: 'until', ms, behaviour };
}

/** Something that happens to a key at a planned time. */
export type KeyChange =
  | { readonly change: 'revoke' }
  | { readonly change: 'restore' }
  | { readonly change: 'limit'; readonly limits: readonly RateLimit[] }
  | { readonly change: 'behave'; readonly behaviour: Behaviour };

/** The key is refused as invalid from now on, and its WebSockets are closed. */
export function revoke(): KeyChange {
  return { change: 'revoke' };
}

/** The key is valid again, with a full quota and the behaviour of its script. */
export function restore(): KeyChange {
  return { change: 'restore' };
}

/** The limits of the key are these from now on; what it did in the last minute counts. */
export function limit(limits: readonly RateLimit[]): KeyChange {
  return { change: 'limit', limits };
}

/** The key does this from now on, whatever its script says. */
export function behave(behaviour: Behaviour): KeyChange {
  return { change: 'behave', behaviour };
}

/** Trouble of the whole provider: a status, a broken connection, silence, or any behaviour. */
export type OutageKind = number | 'reset' | 'silence' | Action;

/** How long an outage lasts. */
export interface OutageOptions {
  /** Ends by itself after this. Milliseconds; default: lasts until `recover()`. */
  readonly forMs?: number;
}

/** What a timeline may do to the whole provider. */
export type ProviderChange =
  ({ readonly change: 'outage'; readonly how: OutageKind } & OutageOptions) | { readonly change: 'recover' };

/**
 * The whole provider fails. Nothing is charged to a limit meanwhile, and nothing is executed unless the action says so.
 */
export function outage(how: OutageKind = 503, options: OutageOptions = {}): ProviderChange {
  return { change: 'outage', how, ...options };
}

/** The outage is over. */
export function recover(): ProviderChange {
  return { change: 'recover' };
}

/** The action that an outage puts in place of every other. */
export function outageAction(how: OutageKind): Action {
  if (typeof how === 'number') return refuse(how, { executes: false });
  if (how === 'reset') return reset('before-headers', { executes: false });
  if (how === 'silence') return silence({ executes: false });
  return { executes: false, ...how };
}

/** A change, and when it comes. */
export interface Timed<Change> {
  readonly atMs: number;
  readonly change: Change;
}

/** Plans a change for this many milliseconds after the start of the simulator. */
export function at<Change>(ms: number, change: Change): Timed<Change> {
  return { atMs: ms, change };
}

/** What a key does. Everything is optional: `{}` is a key that works. */
export interface KeyScript extends Allowance {
  /** How the key is called in logs and answers, which never show its text. Default `key-1`, `key-2`, … */
  readonly name?: string;
  /** Keys with the same bucket share its allowance (`SimulatorOptions.buckets`). */
  readonly bucket?: string;
  /** Done once, in this order, one request after the other. */
  readonly first?: readonly Step[];
  /** Done after `first`. Default: `SimulatorOptions.answer`, which is `ok()`. */
  readonly then?: Behaviour;
  /** Done for every request: `then` without `first`. */
  readonly always?: Behaviour;
  readonly timeline?: readonly Timed<KeyChange>[];
}

/** Walks through the steps of a script; one call per request, in the order of arrival. */
export class ScriptPlayer {
  readonly #steps: readonly Step[];
  readonly #standing: Behaviour | undefined;
  #index = 0;
  #used = 0;

  constructor(script: KeyScript, name: string) {
    if (script.always !== undefined && (script.first !== undefined || script.then !== undefined)) {
      throw new KeymuxError(
        'KEYMUX_USAGE',
        `The script of key ${name} has 'always' beside 'first' or 'then'`,
        {
          fix: "Use 'always' alone, or 'first' and 'then'.",
        },
      );
    }
    this.#steps = script.first ?? [];
    this.#standing = script.always ?? script.then;
  }

  /** The behaviour for the next request; `undefined` where the script says nothing. */
  next(elapsedMs: number): Behaviour | undefined {
    for (;;) {
      const step = this.#steps[this.#index];
      if (step === undefined) return this.#standing;
      const behaviour = this.#take(step, elapsedMs);
      if (behaviour !== undefined) return behaviour;
      this.#index += 1;
      this.#used = 0;
    }
  }

  #take(step: Step, elapsedMs: number): Behaviour | undefined {
    if (typeof step === 'object' && 'step' in step && step.step === 'until') {
      return elapsedMs < step.ms ? step.behaviour : undefined;
    }
    const counted = typeof step === 'object' && 'step' in step ? step : { count: 1, behaviour: step };
    if (this.#used >= counted.count) return undefined;
    this.#used += 1;
    return counted.behaviour;
  }
}
