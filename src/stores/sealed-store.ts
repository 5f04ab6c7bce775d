/**
 * A store whose names only somebody with the key can read. The store under it merges, sorts and adds as ever: equal
 * names stay equal, and numbers, times and states stay in clear.
 */
import { KeymuxError } from '../core/errors.js';
import type { Census, Fence, Fleet, Leadership, Presence } from '../core/fleet.js';
import type {
  Charged,
  HealthRecord,
  LeaseGrant,
  LeaseRequest,
  MaybePromise,
  Settlement,
  Store,
  StoredState,
  StoreOptions,
  UsageDelta,
  UsageTotal,
} from '../core/ports.js';
import { Sealing } from './sealing.js';
import type { NameKind } from './sealing.js';

/** Tells leases that the store named from charges that a member named, which are sealed. */
const GRANTED = '=';

/**
 * What cannot be opened, since another key sealed it or none did, is left where it is, and `onNotice` is told once.
 * @param key 32 bytes, the same for all members of the fleet.
 */
export function createSealedStore(
  store: Store,
  key: Uint8Array,
  onNotice: StoreOptions['onNotice'] = () => {},
): Store {
  return new SealedStore(store, new Sealing(key), onNotice);
}

class SealedStore implements Store {
  readonly kind: Store['kind'];
  readonly #store: Store;
  readonly #sealing: Sealing;
  readonly #onNotice: StoreOptions['onNotice'];
  #hasTold = false;

  constructor(store: Store, sealing: Sealing, onNotice: StoreOptions['onNotice']) {
    this.kind = store.kind;
    this.#store = store;
    this.#sealing = sealing;
    this.#onNotice = onNotice;
  }

  get shared(): boolean {
    return this.#store.shared;
  }

  open(): MaybePromise<StoredState> {
    return this.#ask(
      () => this.#store.open(),
      ({ records, usage }) => {
        const opened = { records: this.#openSubjects(records), usage: this.#openSubjects(usage) };
        this.#tellSealed(records.length + usage.length - opened.records.length - opened.usage.length);
        return opened;
      },
    );
  }

  now(): number {
    return this.#store.now();
  }

  publish(records: readonly HealthRecord[], fence?: Fence): MaybePromise<readonly HealthRecord[]> {
    const sealedFence = fence && { ...fence, group: this.#seal('group', fence.group) };
    return this.#ask(
      () => this.#store.publish(this.#sealSubjects(records), sealedFence),
      (stored) => this.#openSubjects(stored),
    );
  }

  watch(onChange: (records: readonly HealthRecord[]) => void): () => void {
    return this.#store.watch((records) => {
      const opened = this.#openSubjects(records);
      this.#tellSealed(records.length - opened.length);
      if (opened.length > 0) onChange(opened);
    });
  }

  lease(request: LeaseRequest): MaybePromise<LeaseGrant> {
    return this.#ask(
      () => this.#store.lease(this.#sealBucket(request)),
      (grant) => (grant.leaseId === '' ? grant : { ...grant, leaseId: `${GRANTED}${grant.leaseId}` }),
    );
  }

  settle(settlements: readonly Settlement[]): MaybePromise<void> {
    const sealed = settlements.map((settlement) => {
      const { leaseId } = settlement;
      const isGranted = typeof leaseId === 'string' && leaseId.startsWith(GRANTED);
      return {
        ...this.#sealBucket(settlement),
        leaseId: isGranted ? leaseId.slice(GRANTED.length) : this.#seal('charge', leaseId),
      };
    });
    return this.#ask(() => this.#store.settle(sealed), nothing);
  }

  charge(charges: readonly Charged[], options: { readonly cautionMs: number }): MaybePromise<void> {
    const sealed = charges.map((charge) => ({
      ...this.#sealBucket(charge),
      leaseId: this.#seal('charge', charge.leaseId),
    }));
    return this.#ask(() => this.#store.charge(sealed, options), nothing);
  }

  addUsage(deltas: readonly UsageDelta[]): MaybePromise<void> {
    return this.#ask(() => this.#store.addUsage(this.#sealSubjects(deltas)), nothing);
  }

  usage(): MaybePromise<readonly UsageTotal[]> {
    return this.#ask(
      () => this.#store.usage(),
      (usage) => this.#openSubjects(usage),
    );
  }

  beat(presence: Presence): MaybePromise<Fleet> {
    const { memberId, host, group } = presence;
    const sealed = {
      ...presence,
      memberId: this.#seal('member', memberId),
      host: isSealable(host) ? this.#sealing.sealText(host, memberId) : host,
      ...(group === undefined ? {} : { group: this.#seal('group', group) }),
    };
    return this.#ask(
      () => this.#store.beat(sealed),
      (fleet) =>
        fleet.leader === undefined ? fleet : { ...fleet, leader: this.#openLeadership(fleet.leader) },
    );
  }

  leave(memberId: string): MaybePromise<void> {
    return this.#ask(() => this.#store.leave(this.#seal('member', memberId)), nothing);
  }

  census(): MaybePromise<Census> {
    return this.#ask(
      () => this.#store.census(),
      ({ at, members, leaders, leases }) => ({
        at,
        members: members.flatMap((member) => {
          const memberId = this.#sealing.openName('member', member.memberId);
          if (memberId === undefined) return [];
          const host = this.#sealing.openText(member.host, memberId) ?? 'unknown';
          return [{ ...member, memberId, host }];
        }),
        leaders: leaders.flatMap((leader) => {
          const group = this.#sealing.openName('group', leader.group);
          return group === undefined ? [] : [{ ...this.#openLeadership(leader), group }];
        }),
        leases: leases.flatMap((lease) => {
          const bucket = this.#sealing.openName('bucket', lease.bucket);
          return bucket === undefined ? [] : [{ ...lease, bucket }];
        }),
      }),
    );
  }

  close(): MaybePromise<void> {
    return this.#ask(() => this.#store.close(), nothing);
  }

  /** Answers at once where the store does; its errors speak of names as the caller knows them. */
  #ask<T, U>(call: () => MaybePromise<T>, read: (answer: T) => U): MaybePromise<U> {
    try {
      const answer = call();
      if (!(answer instanceof Promise)) return read(answer);
      return answer.then(read, (error: unknown) => {
        throw this.#openError(error);
      });
    } catch (error) {
      throw this.#openError(error);
    }
  }

  #openError(error: unknown): unknown {
    if (!(error instanceof KeymuxError)) return error;
    const { code, fix, cause, retryAt } = error;
    const message = this.#sealing.openMessage(error.message);
    if (message === error.message) return error;
    return new KeymuxError(code, message, { fix, cause, ...(retryAt === undefined ? {} : { retryAt }) });
  }

  /** What is no name at all goes on as it is: the store refuses it. */
  #seal(kind: NameKind, name: string): string {
    return isSealable(name) ? this.#sealing.sealName(kind, name) : name;
  }

  #sealBucket<T extends { readonly bucket: string }>(request: T): T {
    return { ...request, bucket: this.#seal('bucket', request.bucket) };
  }

  #sealSubjects<T extends { readonly subject: string }>(records: readonly T[]): T[] {
    return records.map((record) => ({ ...record, subject: this.#seal('subject', record.subject) }));
  }

  #openSubjects<T extends { readonly subject: string }>(records: readonly T[]): T[] {
    return records.flatMap((record) => {
      const subject = this.#sealing.openName('subject', record.subject);
      return subject === undefined ? [] : [{ ...record, subject }];
    });
  }

  #openLeadership<T extends Leadership>(leadership: T): T {
    const { memberId } = leadership;
    return { ...leadership, memberId: this.#sealing.openName('member', memberId) ?? memberId };
  }

  #tellSealed(count: number): void {
    if (count === 0 || this.#hasTold) return;
    this.#hasTold = true;
    this.#onNotice({
      kind: 'set-aside',
      message: `${count} entries of the store cannot be opened with the key of this vault; they are left alone.`,
      fix: 'Give all members the same vault. What was kept before sealing began needs no care: see docs/operations.md.',
    });
  }
}

function isSealable(text: string): boolean {
  return typeof text === 'string' && text !== '';
}

function nothing(): void {}
