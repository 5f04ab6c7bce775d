import type { Credential } from '../core/credential.js';
import { keyIdOf } from '../core/credential.js';
import type { ProviderDefinition } from '../core/provider.js';
import type { Contender, Standing } from '../core/select.js';
import { COUNTER } from '../state/layout.js';
import type { StateTable } from '../state/table.js';
import type { Bucket, PermitSource } from './permits.js';

/** Names a text without telling it: HMAC-SHA-256 under a secret of this installation, cut to 128 bits. */
export function fingerprint(secretText: string, fingerprintKey: Uint8Array): string {
  // Loaded when a key is first looked at: a preload that meets none stays fast.
  const { createHmac } = process.getBuiltinModule('node:crypto');
  return createHmac('sha256', fingerprintKey).update(secretText).digest('hex').slice(0, 32);
}

interface Names {
  readonly key: string;
  readonly bucket: string;
  readonly provider: string;
}

interface Rows {
  readonly key: number;
  readonly bucket: number;
  readonly provider: number;
}

/** How a bucket became one: of a key alone, named in the configuration, or joined since answers name one owner. */
export type BucketSource = 'own' | 'declared' | 'learnt';

/** A credential in its place: where its numbers stand in the table, and whose allowance it spends. */
export class Member {
  readonly credential: Credential;
  /** `provider/id`. */
  readonly keyId: string;
  readonly provider: ProviderDefinition;
  readonly bucket: Bucket;
  readonly bucketSource: BucketSource;
  readonly #table: StateTable;
  readonly #fingerprintKey: () => Uint8Array;
  #subjects: Names | undefined;
  #rows: Rows | undefined;

  constructor(
    credential: Credential,
    provider: ProviderDefinition,
    table: StateTable,
    fingerprintKey: () => Uint8Array,
    learnt?: Bucket,
  ) {
    this.credential = credential;
    this.keyId = keyIdOf(credential);
    this.provider = provider;
    this.bucketSource =
      learnt !== undefined ? 'learnt' : credential.bucketDeclared === true ? 'declared' : 'own';
    this.bucket = learnt ?? {
      name: `${provider.id}/${credential.bucket}`,
      windows: credential.limits ?? provider.limits,
    };
    this.#table = table;
    this.#fingerprintKey = fingerprintKey;
  }

  /** How key, bucket and provider are called in the table and in the store. */
  get subjects(): Names {
    return (this.#subjects ??= {
      // One text may be a key of two providers, which judge it apart.
      key: `key:${fingerprint(`${this.provider.id} ${this.credential.secret.reveal()}`, this.#fingerprintKey())}`,
      bucket: `bucket:${this.bucket.name}`,
      provider: `provider:${this.provider.id}`,
    });
  }

  /** The same key in a bucket that it was found to share. */
  joined(bucket: Bucket): Member {
    return new Member(this.credential, this.provider, this.#table, this.#fingerprintKey, bucket);
  }

  /** Their rows in the table. */
  get rows(): Rows {
    return (this.#rows ??= {
      key: this.#table.subject(this.subjects.key),
      bucket: this.#table.subject(this.subjects.bucket),
      provider: this.#table.subject(this.subjects.provider),
    });
  }
}

export function standingOf(member: Member, table: StateTable): Standing {
  const { rows, credential } = member;
  const { expiresAt } = credential;
  return {
    disabled: table.disabled(rows.key),
    ...(expiresAt === undefined ? {} : { expiresAt }),
    key: table.health(rows.key),
    bucket: table.health(rows.bucket),
    provider: table.health(rows.provider),
    blockedUntil: table.blockedUntil(rows.bucket),
    pending: table.get(rows.key, COUNTER.pending),
    successes: table.get(rows.key, COUNTER.successes),
    bucketPending: table.get(rows.bucket, COUNTER.pending),
    bucketSuccesses: table.get(rows.bucket, COUNTER.successes),
    providerPending: table.get(rows.provider, COUNTER.pending),
    providerSuccesses: table.get(rows.provider, COUNTER.successes),
  };
}

/** What strategies see of a member; reads the table at each access. */
export class MemberContender implements Contender {
  readonly rotation = { credit: 0, round: 0 };
  readonly priority: number;
  readonly weight: number;
  readonly member: Member;
  readonly #table: StateTable;
  readonly #permits: PermitSource;

  constructor(member: Member, priority: number, table: StateTable, permits: PermitSource) {
    this.member = member;
    this.priority = priority;
    this.weight = member.credential.weight;
    this.#table = table;
    this.#permits = permits;
  }

  get uses(): number {
    return this.#table.get(this.member.rows.key, COUNTER.uses);
  }

  get inFlight(): number {
    return this.#table.get(this.member.rows.key, COUNTER.inFlight);
  }

  get latencyMs(): number {
    return this.#table.get(this.member.rows.key, COUNTER.latencyUs) / 1_000;
  }

  get remaining(): number | undefined {
    const { bucket, rows } = this.member;
    const now = this.#table.now();
    const left = this.#permits.left(bucket, now);
    const counted =
      left === undefined ? undefined : left / Math.min(...bucket.windows.map((window) => window.requests));
    const stated = this.#table.allowances.read(rows.bucket, now);
    if (stated?.limit === undefined) return counted;
    return Math.min(counted ?? 1, stated.left / stated.limit);
  }
}
