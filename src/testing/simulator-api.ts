/** The simulator as its users see it. */
import type { Clock } from '../core/ports.js';
import type { AuthPlacement } from '../core/provider.js';
import type { Allowance, KeyScript, OutageKind, OutageOptions, ProviderChange, Timed } from './script-key.js';
import type { Behaviour } from './script.js';
import type { SimulatorEvents } from './simulator-events.js';
import type { Flavour } from './simulator-flavour.js';
import type { FlavourName } from './simulator-flavours.js';
import type { SimulatedKey } from './simulator-key.js';
import type { Execution, Overshoot, RequestRecord } from './simulator-records.js';

/** What a simulated provider knows from its start. */
export interface SimulatorOptions {
  /** What each key does, by its text. */
  readonly keys?: Readonly<Record<string, KeyScript>>;
  /** What a missing or unknown key gets. Default: `refuse('rejected')`, a 401 in most flavours. */
  readonly unknownKey?: Behaviour;
  /** What a key does of which the script says nothing. Default `ok()`. */
  readonly answer?: Behaviour;
  /** Whose words the answers use. Default `generic`. */
  readonly flavour?: FlavourName | Flavour;
  /** Where the key is expected; the first place that holds one counts. Default: as the flavour has it. */
  readonly auth?: AuthPlacement | readonly AuthPlacement[];
  /** Allowances that several keys share, by the name that the scripts give as `bucket`. */
  readonly buckets?: Readonly<Record<string, Allowance>>;
  /** Whether a refusal for a limit tells when to come back, where the flavour does so at all. Default true. */
  readonly statesRetryAfter?: boolean;
  /** Trouble of the whole provider, planned from the start. */
  readonly timeline?: readonly Timed<ProviderChange>[];
  /**
   * By which limits, quotas, `until` and timelines are measured, such as that of `createFakeClock()`; what was planned
   * then happens when the next request comes. Epoch milliseconds. Default: real time. Delays are always real.
   */
  readonly clock?: Clock;
  /** Serve HTTPS. Default: HTTP. `createCertificate()` makes such a pair. */
  readonly tls?: { readonly key: string; readonly cert: string };
  /** Default: any free one. */
  readonly port?: number;
  /** How many requests `requests` keeps at least; counters and limits do not depend on it. Default 100 000. */
  readonly keepRequests?: number;
}

/** How long `waitFor` waits. */
export interface WaitOptions {
  /** Milliseconds; default 10 000. */
  readonly timeoutMs?: number;
}

/** A simulated provider: what it saw, and how it is told to behave. */
export interface Simulator extends AsyncDisposable {
  /** Such as `http://127.0.0.1:41234`. */
  readonly origin: string;
  /** The same for WebSockets, such as `ws://127.0.0.1:41234`. */
  readonly webSocketOrigin: string;
  readonly port: number;
  /** Every request, in the order of arrival. */
  readonly requests: readonly RequestRecord[];
  /** Every request that exceeded a rate limit. Empty after a good run. */
  readonly overshoots: readonly Overshoot[];
  /** How often each order was carried out, by its JSON `id`, its `Idempotency-Key`, or a hash of the request. */
  readonly executions: ReadonlyMap<string, Execution>;
  /** Orders with an id of their own that were carried out more than once. Empty after a good run. */
  readonly duplicates: readonly Execution[];
  readonly keys: readonly SimulatedKey[];
  /** One key, by its name. Throws `KEYMUX_UNKNOWN_KEY`. */
  key(name: string): SimulatedKey;
  /** A key that the provider knows from now on, as after a rotation. */
  addKey(text: string, script?: KeyScript): SimulatedKey;
  /** The whole provider fails: by status (default 503), `'reset'`, `'silence'` or any action. */
  outage(how?: OutageKind, options?: OutageOptions): void;
  recover(): void;
  /** Resets every open connection, whatever goes on in it. */
  dropConnections(): void;
  /** Returns the function that takes the listener off again. */
  on<Name extends keyof SimulatorEvents>(
    name: Name,
    listener: (event: SimulatorEvents[Name]) => void,
  ): () => void;
  /**
   * Resolves as soon as the condition holds; it is looked at now and after each event. Rejects with
   * `KEYMUX_TIMEOUT`, with `KEYMUX_CLOSED` if the simulator is closed before, or with what the condition throws.
   */
  waitFor(condition: (simulator: Simulator) => boolean, options?: WaitOptions): Promise<void>;
  /** Drops all connections, cancels all waits and stops listening. May be called twice. */
  close(): Promise<void>;
}
