import { createHash } from 'node:crypto';
import type { Execution, Mutable, Overshoot, RequestRecord } from './simulator-records.js';

const READING_METHODS: ReadonlySet<string> = new Set(['GET', 'HEAD', 'OPTIONS', 'TRACE']);

/** Requests to all simulators of this process. */
let arrivedAnywhere = 0;

/** The simulator's books: every request, every overshoot, and how often each order was carried out. */
export class Ledger {
  readonly requests: Mutable<RequestRecord>[] = [];
  readonly overshoots: Overshoot[] = [];
  readonly executions = new Map<string, Mutable<Execution> & { requests: RequestRecord[] }>();
  readonly #idempotencyKeys = new Set<string>();
  readonly #keepRequests: number;
  #arrived = 0;

  constructor(keepRequests: number) {
    this.#keepRequests = keepRequests;
  }

  /** How many requests arrived, those no longer kept included. */
  get arrived(): number {
    return this.#arrived;
  }

  enter(
    head: Pick<RequestRecord, 'at' | 'method' | 'path' | 'key' | 'carries' | 'headers' | 'webSocket'>,
  ): Mutable<RequestRecord> {
    this.#arrived += 1;
    arrivedAnywhere += 1;
    const record: Mutable<RequestRecord> = {
      n: this.#arrived,
      nth: arrivedAnywhere,
      ...head,
      did: '',
      status: undefined,
      executed: false,
      orderId: undefined,
      replayed: false,
      overshoot: false,
      bodyBytes: 0,
      aborted: false,
      endedAt: undefined,
    };
    this.requests.push(record);
    if (this.requests.length >= 2 * this.#keepRequests) this.requests.splice(0, this.#keepRequests);
    return record;
  }

  /** Notes which order a request stands for. Requests that only read stand for none. */
  identify(record: Mutable<RequestRecord>, json: Readonly<Record<string, unknown>>, bodyHash: string): void {
    if (READING_METHODS.has(record.method)) return;
    const { id } = json;
    record.orderId =
      typeof id === 'string' || typeof id === 'number'
        ? String(id)
        : (record.headers['idempotency-key'] ?? hashOf(`${record.method} ${record.path} ${bodyHash}`));
  }

  /** Carries a request out, unless its `Idempotency-Key` says that this was done before. */
  execute(record: Mutable<RequestRecord>): void {
    const { orderId } = record;
    const idempotencyKey = orderId === undefined ? undefined : record.headers['idempotency-key'];
    if (idempotencyKey !== undefined) {
      record.replayed = this.#idempotencyKeys.has(idempotencyKey);
      this.#idempotencyKeys.add(idempotencyKey);
    }
    record.executed = !record.replayed;
    if (orderId === undefined || record.replayed) return;
    const execution = this.executions.get(orderId) ?? {
      orderId,
      named: isNamed(orderId),
      count: 0,
      requests: [],
    };
    execution.count += 1;
    execution.requests.push(record);
    this.executions.set(orderId, execution);
  }

  /** Orders with an id of their own that were carried out more than once. */
  duplicates(): Execution[] {
    return [...this.executions.values()].filter(({ named, count }) => named && count > 1);
  }
}

const HASH_PREFIX = 'sha256:';

function hashOf(text: string): string {
  return `${HASH_PREFIX}${createHash('sha256').update(text).digest('hex').slice(0, 16)}`;
}

function isNamed(orderId: string): boolean {
  return !orderId.startsWith(HASH_PREFIX);
}
