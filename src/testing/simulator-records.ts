/** What the simulator writes down, on its own side of the wire. Keys appear in it as their names only. */
import type { RateLimit } from './script-key.js';

/** One request. The later fields fill in as it goes on. */
export interface RequestRecord {
  /** Counts the requests from 1, in the order of arrival. */
  readonly n: number;
  /** Counts the requests to all simulators of this process from 1, in the order of arrival. */
  readonly nth: number;
  /** When its head arrived, in epoch milliseconds with fractions, by a clock that never runs backwards. */
  readonly at: number;
  readonly method: string;
  /** With the query. */
  readonly path: string;
  /** The name of the key; `undefined` where it was unknown or missing. */
  readonly key: string | undefined;
  /** The names of all keys that occur anywhere in the head or the body, to prove that none went astray. */
  readonly carries: readonly string[];
  readonly headers: Readonly<Record<string, string>>;
  readonly webSocket: boolean;
  /**
   * What was done: the verb, and the kind of a refusal (`ok`, `refuse rate-limited`, `reset mid-body`). Empty until
   * the request was read.
   */
  readonly did: string;
  /** Sent in the answer; `undefined` while, or if, there is none. 101 for a WebSocket. */
  readonly status: number | undefined;
  /** Whether its work was done. */
  readonly executed: boolean;
  /** The order that it stands for: the JSON body's `id`, its `Idempotency-Key`, or a hash of the request. */
  readonly orderId: string | undefined;
  /** Whether its `Idempotency-Key` had been executed before, so that it was answered but not executed again. */
  readonly replayed: boolean;
  readonly overshoot: boolean;
  readonly bodyBytes: number;
  /** Whether the client went away before the answer was complete. */
  readonly aborted: boolean;
  /** When it was over, in epoch milliseconds; `undefined` while it is under way. */
  readonly endedAt: number | undefined;
}

/** A request that exceeded a rate limit. */
export interface Overshoot {
  readonly at: number;
  readonly key: string;
  /** Whose limit it was: `key <name>` or `bucket <name>`. */
  readonly meter: string;
  readonly limit: RateLimit;
  /** Requests in the window with this one. */
  readonly count: number;
  readonly request: RequestRecord;
}

/** How often the work of one order was done; methods that only read are not counted. */
export interface Execution {
  readonly orderId: string;
  /** Whether the client gave it an id. Without one, two equal requests may well be two orders. */
  readonly named: boolean;
  /** More than 1 for a named order: a request was repeated that must not be. */
  readonly count: number;
  readonly requests: readonly RequestRecord[];
}

export type Mutable<T> = { -readonly [Field in keyof T]: T[Field] };
