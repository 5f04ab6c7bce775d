import { describe, expect, it } from 'vitest';
import type { LeaseGrant, Store } from '#keymux/core/ports.js';
import { createMemoryStore } from '#keymux/stores/memory.js';
import { maxInAnyWindow } from '#keymux/testing/rolling-window.js';
import { type Run, trySequences } from './sequences.js';

const BUCKET = 'acme/main';
const LIMIT = 2;
const PER_MS = 100;
const TTL_MS = 40;
const SLACK_MS = 20;

type Step =
  | `${'a' | 'b'} ${'leases' | 'spends' | 'spends, and it arrives late' | 'settles' | 'is killed'}`
  | `${30 | 71} ms go by`;

interface Member {
  grant: LeaseGrant | undefined;
  /** When the provider counts what this member spent of its lease. */
  arrivals: number[];
  isAlive: boolean;
}

/** Members that keep to the rules of `Store.lease`, and a provider that counts. */
class World implements Run<Step> {
  #now = 1_000_000;
  readonly #store: Store;
  readonly #members = { a: newMember(), b: newMember() };
  readonly #counted: number[] = [];

  constructor(settle: (store: Store, member: Member, now: number) => void = settleTruly) {
    this.settle = settle;
    this.#store = createMemoryStore({ now: () => this.#now, onNotice: () => {} });
    void this.#store.open();
  }

  private readonly settle: (store: Store, member: Member, now: number) => void;

  possible(): readonly Step[] {
    const steps: Step[] = ['30 ms go by', '71 ms go by'];
    for (const name of ['a', 'b'] as const) {
      const { grant, arrivals, isAlive } = this.#members[name];
      if (!isAlive) continue;
      if (grant === undefined) {
        steps.push(`${name} leases`);
        continue;
      }
      if (arrivals.length < grant.granted && this.#now < grant.validUntil)
        steps.push(`${name} spends`, `${name} spends, and it arrives late`);
      // An answer comes after the request has arrived.
      if (arrivals.every((at) => at <= this.#now)) steps.push(`${name} settles`);
      // Who has spent nothing is as one that never leased, for the provider.
      if (arrivals.length > 0) steps.push(`${name} is killed`);
    }
    return steps;
  }

  take(step: Step): void {
    const [name = '', ...rest] = step.split(' ');
    if (name !== 'a' && name !== 'b') {
      this.#now += Number(name);
      return;
    }
    const member = this.#members[name];
    switch (rest.join(' ')) {
      case 'leases':
        return this.#lease(member);
      case 'spends':
        return this.#spend(member, this.#now);
      case 'spends, and it arrives late':
        return this.#spend(member, this.#now + SLACK_MS);
      case 'settles':
        this.settle(this.#store, member, this.#now);
        this.#members[name] = newMember();
        return;
      default:
        member.isAlive = false;
    }
  }

  fault(): string | undefined {
    const most = maxInAnyWindow(this.#counted, PER_MS);
    return most > LIMIT ? `the provider counted ${most} within ${PER_MS} ms` : undefined;
  }

  #lease(member: Member): void {
    const windows = [{ requests: LIMIT, perMs: PER_MS }];
    const request = { bucket: BUCKET, windows, want: 2, ttlMs: TTL_MS, slackMs: SLACK_MS };
    const grant = this.#store.lease(request) as LeaseGrant;
    if (grant.granted > 0) member.grant = grant;
  }

  #spend(member: Member, at: number): void {
    member.arrivals.push(at);
    this.#counted.push(at);
  }
}

function newMember(): Member {
  return { grant: undefined, arrivals: [], isAlive: true };
}

/** What was spent is charged no earlier than it arrived; the rest goes back. */
function settleTruly(store: Store, { grant, arrivals }: Member): void {
  if (grant === undefined) return;
  const spent = arrivals.length;
  void store.settle([
    {
      bucket: BUCKET,
      leaseId: grant.leaseId,
      spent,
      countedAt: Math.max(0, ...arrivals),
      returned: grant.granted - spent,
    },
  ]);
}

describe('leases of two members, in every order of their steps', () => {
  it('never let a provider count more than the limit', async () => {
    expect(await trySequences(() => new World(), 6)).toBeGreaterThan(1_000);
  });

  it('would, if a permit were returned that was spent', async () => {
    const returnsAll = (store: Store, { grant }: Member): void => {
      if (grant === undefined) return;
      const { leaseId, granted } = grant;
      void store.settle([{ bucket: BUCKET, leaseId, spent: 0, countedAt: 0, returned: granted }]);
    };
    await expect(trySequences(() => new World(returnsAll), 6)).rejects.toThrow(
      /counted 3 within 100 ms\n {2}a leases\n/,
    );
  });
});
