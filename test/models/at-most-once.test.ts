import { afterEach, describe, expect, it } from 'vitest';
import { type Exchange, type RequestFacts, type Step as Decision } from '#keymux/manager/attempt.js';
import { KeyManager } from '#keymux/manager/key-manager.js';
import { Lease } from '#keymux/manager/lease.js';
import { createMemoryStore } from '#keymux/stores/memory.js';
import { type Run, trySequences } from './sequences.js';

/** What happens to an attempt. The provider does what it may have done. */
const FATES = {
  'is never sent': {
    executes: false,
    tell: (exchange, lease) => exchange.afterError(lease, 'ECONNREFUSED', 'unsent'),
  },
  'breaks off': {
    executes: true,
    tell: (exchange, lease) => exchange.afterError(lease, 'ECONNRESET', 'sent'),
  },
  'gets 429': { executes: false, tell: answered(429) },
  'gets 401': { executes: false, tell: answered(401) },
  'gets 500': { executes: true, tell: answered(500) },
  'gets 503': { executes: true, tell: answered(503) },
  'gets 200': { executes: true, tell: answered(200) },
} as const satisfies Record<string, Fate>;

interface Fate {
  readonly executes: boolean;
  readonly tell: (exchange: Exchange, lease: Lease) => Decision | Promise<Decision>;
}

type Step = `the attempt ${keyof typeof FATES}` | 'a caller goes away';
const STEPS = [
  ...Object.keys(FATES).map((fate) => `the attempt ${fate}`),
  'a caller goes away',
] as readonly Step[];

function answered(status: number): Fate['tell'] {
  const head = { status, header: () => undefined };
  return async (exchange, lease) => {
    const decision = await exchange.afterHead(lease, head);
    return decision.do === 'peek' ? exchange.afterBody(lease, head, '') : decision;
  };
}

const managers: KeyManager[] = [];
/** A run may end in the middle, and a manager waits for what is under way. */
const leases = new Set<Lease>();
afterEach(async () => {
  for (const lease of leases) lease.end();
  leases.clear();
  await Promise.all(managers.splice(0).map((manager) => manager.shutdown()));
});

function newManager(): KeyManager {
  const manager = new KeyManager({
    env: { ACME_API_KEY: 'key-one', ACME_API_KEY_2: 'key-two', ACME_API_KEY_3: 'key-three' },
    cwd: '/nonexistent',
    config: {
      providers: {
        acme: {
          baseUrl: 'http://127.0.0.1:9',
          auth: { in: 'header', name: 'x-api-key' },
          env: ['ACME_API_KEY'],
          // Nobody waits for a key to return.
          retry: { maxWaitMs: 0 },
        },
      },
    },
    store: createMemoryStore({ now: () => Date.now(), onNotice: () => {} }),
    random: () => 0,
  });
  managers.push(manager);
  return manager;
}

/** One request and its provider. */
class World implements Run<Step> {
  readonly #exchange: Exchange;
  readonly #caller = new AbortController();
  #decision: Decision | undefined;
  #executions = 0;
  #attempts = 0;

  constructor(facts: Partial<RequestFacts>) {
    const manager = newManager();
    this.#exchange = manager.exchange(manager.poolOf('acme'), {
      method: 'POST',
      path: '/orders',
      hasIdempotencyKey: false,
      canReplay: () => true,
      signal: this.#caller.signal,
      ...facts,
    });
  }

  possible(): readonly Step[] {
    if (this.#decision !== undefined && this.#decision.do !== 'retry') return [];
    return this.#caller.signal.aborted ? STEPS.slice(0, -1) : STEPS;
  }

  async take(step: Step): Promise<void> {
    if (step === 'a caller goes away') return this.#caller.abort();
    const lease = this.#decision?.do === 'retry' ? this.#decision.lease : await this.#exchange.first();
    if (!(lease instanceof Lease)) return expect.unreachable(lease.statusText);
    const fate: Fate = FATES[step.replace('the attempt ', '') as keyof typeof FATES];
    this.#attempts += 1;
    if (fate.executes) this.#executions += 1;
    this.#decision = await fate.tell(this.#exchange, lease);
    lease.end();
    if (this.#decision.do === 'retry') leases.add(this.#decision.lease);
  }

  fault(): string | undefined {
    if (this.#executions > 1) return `carried out ${this.#executions} times`;
    return this.#attempts > 6 ? `${this.#attempts} attempts` : undefined;
  }
}

describe('a request over all its attempts, whatever becomes of each', () => {
  it('is carried out once at most where it may not be repeated', async () => {
    expect(await trySequences(() => new World({}), 4)).toBeGreaterThan(100);
  });

  it('is repeated where that is harmless, which the model can tell', async () => {
    await expect(trySequences(() => new World({ method: 'GET' }), 3)).rejects.toThrow(
      /^carried out 2 times\n {2}the attempt breaks off\n/,
    );
  });
});
