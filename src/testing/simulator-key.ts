import type { KeyChange, KeyScript, RateLimit } from './script-key.js';
import { ScriptPlayer } from './script-key.js';
import type { Behaviour, RefusalKind } from './script.js';
import { Meter } from './simulator-meter.js';

/** One key of the simulated provider: what happened to it, and how to change it while requests run. */
export interface SimulatedKey {
  readonly name: string;
  readonly bucket: string | undefined;
  readonly revoked: boolean;
  /** Requests that presented this key. */
  readonly seen: number;
  /** Requests whose work was done. */
  readonly executed: number;
  /** Refusals by kind, those of an outage included. */
  readonly refusals: Readonly<Record<RefusalKind, number>>;
  /** Requests that exceeded a rate limit of this key or its bucket. */
  readonly overshoots: number;
  readonly inFlight: number;
  readonly maxConcurrent: number;
  /** When it was first and last presented, in epoch milliseconds. */
  readonly firstAt: number | undefined;
  readonly lastAt: number | undefined;
  /** Refused as invalid from now on; its WebSockets are closed with status 1008. */
  revoke(): void;
  /** Valid again, with a full quota and the behaviour of its script. */
  restore(): void;
  /** Other limits from now on; what the key did in the last minute counts. */
  limit(limits: readonly RateLimit[]): void;
  /** Does this from now on, whatever its script says. */
  behave(behaviour: Behaviour): void;
}

/** The simulator's own view of a key. */
export class KeyState implements SimulatedKey {
  readonly name: string;
  readonly bucket: string | undefined;
  readonly refusals: Record<RefusalKind, number> = {
    'rate-limited': 0,
    'quota-exhausted': 0,
    rejected: 0,
    restricted: 0,
    overloaded: 0,
    'bad-request': 0,
  };
  seen = 0;
  executed = 0;
  overshoots = 0;
  inFlight = 0;
  maxConcurrent = 0;
  firstAt: number | undefined;
  lastAt: number | undefined;
  revoked = false;
  /** Its own counter, then that of its bucket. */
  readonly meters: readonly Meter[];
  readonly #own: Meter;
  readonly #player: ScriptPlayer;
  #override: Behaviour | undefined;
  readonly #onChange: (change: KeyChange['change']) => void;

  constructor(
    name: string,
    script: KeyScript,
    shared: Meter | undefined,
    startedAt: number,
    onChange: (change: KeyChange['change']) => void,
  ) {
    this.name = name;
    this.bucket = script.bucket;
    this.#own = new Meter(`key ${name}`, script, startedAt);
    this.meters = shared === undefined ? [this.#own] : [this.#own, shared];
    this.#player = new ScriptPlayer(script, name);
    this.#onChange = onChange;
  }

  arrive(now: number): void {
    this.seen += 1;
    this.firstAt ??= now;
    this.lastAt = now;
    this.inFlight += 1;
    this.maxConcurrent = Math.max(this.maxConcurrent, this.inFlight);
  }

  leave(): void {
    this.inFlight -= 1;
  }

  /** What its script, or who changed it since, says about the next request. */
  nextBehaviour(elapsedMs: number): Behaviour | undefined {
    return this.#override ?? this.#player.next(elapsedMs);
  }

  apply(change: KeyChange): void {
    switch (change.change) {
      case 'revoke':
        return this.revoke();
      case 'restore':
        return this.restore();
      case 'limit':
        return this.limit(change.limits);
      case 'behave':
        return this.behave(change.behaviour);
    }
  }

  revoke(): void {
    this.revoked = true;
    this.#onChange('revoke');
  }

  restore(): void {
    this.revoked = false;
    this.#override = undefined;
    for (const meter of this.meters) meter.refillQuota();
    this.#onChange('restore');
  }

  limit(limits: readonly RateLimit[]): void {
    this.#own.setLimits(limits);
    this.#onChange('limit');
  }

  behave(behaviour: Behaviour): void {
    this.#override = behaviour;
    this.#onChange('behave');
  }
}
