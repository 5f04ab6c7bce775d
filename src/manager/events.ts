import { channel, hasSubscribers } from 'node:diagnostics_channel';
import { EventEmitter } from 'node:events';
import type { AnomalyKind } from '../core/anomaly.js';
import type { DeadlineSource, OutcomeKind } from '../core/outcome.js';
import { emitWarning } from './process-redaction.js';

/** What keymux tells about itself; every event is also published on the diagnostics channel `keymux:<name>`. */
export interface KeymuxEvents {
  /** A request goes on with another key, or another provider. */
  failover: FailoverEvent;
  /** A key, bucket or provider rests until a time. */
  cooldown: RestEvent;
  /** A provider refused the key itself. */
  rejected: RestEvent;
  /** Every key of a provider was refused alike, so that it was not the keys: their penalties are taken back. */
  'refused-alike': RefusedAlikeEvent;
  /** What rested answers again. */
  recovered: { readonly subject: string; readonly at: number };
  /** Answers name one owner for several keys, which share allowance and cooldown from now on. */
  'shared-bucket': SharedBucketEvent;
  /** A bucket's allowance is spent. */
  quota: { readonly bucket: string; readonly retryAt: number; readonly at: number };
  /** The store is lost; keymux goes on with what it has. */
  degraded: StoreEvent;
  /** The store is back. */
  restored: StoreEvent;
  /** A damaged state file was set aside. */
  'state-set-aside': StoreEvent;
  /** The elected monitor looked how a key, bucket or provider fares. */
  probe: ProbeEvent;
  /** This process began or ceased to be the one that probes, among all that hold the same keys. */
  leader: { readonly change: 'began' | 'ceased'; readonly at: number };
  /** A person or program changed something by hand. */
  administered: AdministeredEvent;
  /** A key comes near to the end that the configuration states, or reached it. */
  expiring: ExpiringEvent;
  /** The use of a key is not what it was. */
  anomaly: AnomalyEvent;
  /** The audit trail cannot be written, or can be again. */
  audit: AuditEvent;
  /** The configuration was read anew. */
  reloaded: { readonly keys: number; readonly at: number };
  /** One attempt of a request ended: it was judged, or broke off. */
  attempt: AttemptEvent;
  /** A request ended for its caller: by an answer that was handed on, a refusal of ours, or an error. */
  request: RequestEvent;
  /** Every key of a service was out and the caller was told so. */
  exhausted: { readonly service: string; readonly retryAt?: number; readonly at: number };
}

/** Somebody changed something by hand: by the library, the command line or the gateway. */
export interface AdministeredEvent {
  readonly action: 'disable' | 'enable' | 'reset' | 'add-key' | 'retire-key' | 'report' | 'reload';
  /** `provider/key`; absent for what concerns all. */
  readonly subject?: string;
  /** Who asked for it, as far as known, such as `gateway token 3f2a` or `cli`. Never a secret. */
  readonly by?: string;
  readonly at: number;
}

export interface AuditEvent {
  readonly change: 'unavailable' | 'resumed';
  readonly message: string;
  readonly fix: string;
  readonly at: number;
}

export interface ExpiringEvent {
  /** `provider/key`. */
  readonly key: string;
  readonly expiresAt: number;
  readonly at: number;
}

export interface AnomalyEvent {
  readonly kind: AnomalyKind;
  /** `provider/key`, or the id of a provider. */
  readonly subject: string;
  /** What was seen and what is usual, in words; never a secret. */
  readonly evidence: string;
  /** What was measured, and from where on it is unusual; absent where nothing is counted. */
  readonly value?: number;
  readonly threshold?: number;
  readonly at: number;
}

export interface FailoverEvent {
  readonly requestId: string;
  readonly service: string;
  readonly from: string;
  readonly to: string;
  readonly reason: OutcomeKind;
  readonly status?: number;
  readonly attempt: number;
  readonly at: number;
}

export interface AttemptEvent {
  /** Absent for leases that the program holds itself. */
  readonly requestId?: string;
  readonly service: string;
  readonly provider: string;
  /** `provider/key`. */
  readonly key: string;
  readonly outcome: OutcomeKind;
  readonly status?: number;
  readonly evidence?: string;
  /** From the selection of the key until the outcome was known. Milliseconds. */
  readonly latencyMs: number;
  readonly at: number;
}

export interface RequestEvent {
  readonly requestId: string;
  readonly service: string;
  /** `answered`: by a provider, well or with what it blamed the caller for. `refused`: by keymux, no key was to be had. */
  readonly end: 'answered' | 'failed' | 'refused' | 'aborted';
  /** Who gave the answer, or was asked last. */
  readonly provider?: string;
  readonly key?: string;
  readonly attempts: number;
  /** From its first attempt until its end. Milliseconds. */
  readonly durationMs: number;
  /** From the first failed attempt until the success that followed; absent where none failed, or none followed. */
  readonly rescuedAfterMs?: number;
  /** For keys to return. Milliseconds. */
  readonly waitedMs: number;
  readonly at: number;
}

export interface RefusedAlikeEvent {
  readonly requestId: string;
  readonly service: string;
  readonly provider: string;
  /** `provider/key`, in the order of the attempts. */
  readonly keys: readonly string[];
  readonly reason: OutcomeKind;
  readonly status?: number;
  readonly evidence?: string;
  readonly at: number;
}

export interface RestEvent {
  /** `provider/key`, or the name of the bucket or provider. */
  readonly subject: string;
  readonly reason: OutcomeKind;
  readonly until: number;
  readonly source: DeadlineSource;
  readonly evidence?: string;
  readonly at: number;
}

export interface SharedBucketEvent {
  /** `<provider>/<bucket>`. */
  readonly bucket: string;
  /** `provider/key`, those that share it. */
  readonly keys: readonly string[];
  /** The header that names the owner. */
  readonly header: string;
  readonly at: number;
}

export interface ProbeEvent {
  /** `provider/key`, or the name of the bucket or provider. */
  readonly subject: string;
  readonly outcome: OutcomeKind;
  readonly status?: number;
  readonly evidence?: string;
  readonly at: number;
}

export interface StoreEvent {
  readonly message: string;
  readonly fix: string;
  readonly at: number;
}

/** One of the names of `KeymuxEvents`. */
export type EventName = keyof KeymuxEvents;
/** Called with an event of its name. */
export type Listener<Name extends EventName> = (event: KeymuxEvents[Name]) => void;

/** Tells listeners and diagnostics channels. A listener that throws harms no request. */
export class Events {
  readonly #emitter = new EventEmitter();

  on<Name extends EventName>(name: Name, listener: Listener<Name>): () => void {
    this.#emitter.on(name, listener);
    return () => void this.#emitter.off(name, listener);
  }

  /** Whether anybody would be told; an event that costs something to make is not made for nobody. */
  isHeard(name: EventName): boolean {
    return this.#emitter.listenerCount(name) > 0 || hasSubscribers(`keymux:${name}`);
  }

  emit<Name extends EventName>(name: Name, event: KeymuxEvents[Name]): void {
    channel(`keymux:${name}`).publish(event);
    for (const listener of this.#emitter.listeners(name) as Listener<Name>[]) {
      try {
        listener(event);
      } catch (error) {
        emitWarning(`A listener of the keymux event "${name}" failed: ${messageOf(error)}`);
      }
    }
  }

  removeAll(): void {
    this.#emitter.removeAllListeners();
  }
}

export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
