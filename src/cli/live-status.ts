/** What `status --watch` knows: the latest reports, and what changed between them. */
import type { GatewayClient } from './gateway-client.js';
import { newsBetween } from './status-news.js';
import type { News } from './status-news.js';
import type { KeyStatus, StatusReport } from './status-report.js';

/** Rates are measured over this time: programs report their usage once a second. */
const RATE_OVER_MS = 5_000;
const MOST_NEWS = 200;

/** Requests and failures per second. */
export interface KeyRate {
  readonly requests: number;
  readonly failures: number;
}

/** What only the process that answers requests knows. */
interface Inside {
  readonly latencyMs: ReadonlyMap<string, number>;
  readonly failovers: readonly News[];
}

const NOTHING: Inside = { latencyMs: new Map(), failovers: [] };

export class LiveStatus {
  readonly #look: () => Promise<StatusReport>;
  readonly #gateway: GatewayClient | undefined;
  /** Oldest first; as many as rates need. */
  #reports: StatusReport[] = [];
  #news: News[] = [];
  #inside: Inside = NOTHING;

  constructor(look: () => Promise<StatusReport>, gateway: GatewayClient | undefined) {
    this.#look = look;
    this.#gateway = gateway;
  }

  async refresh(): Promise<void> {
    const [report, inside] = await Promise.all([this.#look(), lookInside(this.#gateway)]);
    const previous = this.#reports.at(-1);
    if (previous !== undefined)
      this.#news = [...this.#news, ...newsBetween(previous, report)].slice(-MOST_NEWS);
    const oldest = this.#reports.findLastIndex(({ at }) => at <= report.at - RATE_OVER_MS);
    this.#reports = [...this.#reports.slice(Math.max(0, oldest)), report];
    this.#inside = inside;
  }

  get report(): StatusReport | undefined {
    return this.#reports.at(-1);
  }

  /** The latest last. */
  get news(): readonly News[] {
    return [...this.#news, ...this.#inside.failovers].toSorted((a, b) => a.at - b.at);
  }

  latencyMsOf(key: string): number | undefined {
    return this.#inside.latencyMs.get(key);
  }

  /** Undefined until there are two reports. */
  rateOf(key: string): KeyRate | undefined {
    const [before] = this.#reports;
    const after = this.report;
    if (before === undefined || after === undefined || after.at <= before.at) return undefined;
    const seconds = (after.at - before.at) / 1_000;
    const [then, now] = [before, after].map(({ keys }) => keys.find(({ id }) => id === key));
    if (then === undefined || now === undefined) return undefined;
    const perSecond = (of: (status: KeyStatus) => number): number =>
      Math.max(0, of(now) - of(then)) / seconds;
    return { requests: perSecond(({ uses }) => uses), failures: perSecond(({ failures }) => failures) };
  }
}

/** Nothing where no gateway runs, or where it does not answer. */
async function lookInside(gateway: GatewayClient | undefined): Promise<Inside> {
  if (gateway === undefined) return NOTHING;
  try {
    const [state, history] = await Promise.all([
      gateway.ask('GET', '/state'),
      gateway.ask('GET', '/history'),
    ]);
    const { keys } = state as {
      readonly keys: readonly { readonly id: string; readonly latencyMs: number }[];
    };
    return {
      latencyMs: new Map(keys.map(({ id, latencyMs }) => [id, latencyMs])),
      failovers: failoversIn(history),
    };
  } catch {
    return NOTHING;
  }
}

interface FailoverNews {
  readonly name: string;
  readonly event: {
    readonly at: number;
    readonly from?: string;
    readonly to?: string;
    readonly reason?: string;
  };
}

function failoversIn(history: unknown): News[] {
  const { events } = history as { readonly events: readonly FailoverNews[] };
  return events
    .filter(({ name }) => name === 'failover')
    .map(({ event: { at, from = '', to = '', reason = '' } }) => ({
      at,
      tone: 'trouble' as const,
      text: `↷ failover ${from} → ${to}: ${reason}`,
    }));
}
