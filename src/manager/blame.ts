/**
 * Blame by evidence: where every key of a provider met the same refusal in one request and none was answered well, it
 * was not the keys. What they were charged with is taken back, and the provider's circuit gets one strike.
 */
import type { Outcome } from '../core/outcome.js';
import type { RefusedAlikeEvent } from './events.js';
import type { Lease } from './lease.js';
import type { Penalty, Verdicts } from './verdicts.js';

interface Verdict {
  readonly lease: Lease;
  readonly outcome: Outcome;
  readonly penalty: Penalty | undefined;
}

type Finding = Pick<RefusedAlikeEvent, 'provider' | 'keys' | 'reason' | 'status' | 'evidence'>;

/** The verdicts on keys that one request met. */
export class Blame {
  readonly #verdicts: Verdicts;
  #met: Verdict[] = [];

  constructor(verdicts: Verdicts) {
    this.#verdicts = verdicts;
  }

  /** A refusal, after it was reported. Trouble and aborts say nothing of a key and do not belong here. */
  add(lease: Lease, outcome: Outcome): void {
    this.#met.push({ lease, outcome, penalty: this.#verdicts.penaltyFor(lease.member, outcome) });
  }

  /** A key was answered well: what the others were charged with stands. */
  clear(): void {
    this.#met = [];
  }

  /** No key is left: takes back what was not deserved, and tells of it, provider by provider. */
  settle(): Finding[] {
    const met = this.#met;
    this.#met = [];
    return [...new Set(met.map(({ lease }) => lease.provider))]
      .map((provider) => met.filter(({ lease }) => lease.provider === provider))
      .filter(isAlike)
      .map((verdicts) => this.#absolve(verdicts));
  }

  #absolve(verdicts: readonly Verdict[]): Finding {
    for (const { lease, penalty } of verdicts) {
      if (penalty !== undefined) this.#verdicts.retract(lease.member, penalty);
    }
    const { lease, outcome } = verdicts.at(-1) as Verdict;
    const { kind, status, evidence } = outcome;
    const seen = {
      ...(status === undefined ? {} : { status }),
      ...(evidence === undefined ? {} : { evidence }),
    };
    this.#verdicts.strikeProvider(
      lease.member,
      {
        kind: 'overloaded',
        scope: 'provider',
        executed: 'no',
        ...seen,
        evidence: `every key met ${evidence ?? kind}`,
      },
      { version: lease.seen.provider, strikes: 0 },
    );
    return {
      provider: lease.provider,
      keys: verdicts.map((verdict) => verdict.lease.keyId),
      reason: kind,
      ...seen,
    };
  }
}

/** A 429 is always true of the key that got it; a refused route is no penalty that could be taken back. */
function isAlike(verdicts: readonly Verdict[]): boolean {
  const [first, ...others] = verdicts.map(({ outcome }) => outcome);
  if (first === undefined || (first.kind !== 'rejected' && first.kind !== 'restricted')) return false;
  if (first.scope !== 'key' && first.scope !== 'bucket') return false;
  const isSame = ({ kind, scope, status, evidence }: Outcome): boolean =>
    kind === first.kind && scope === first.scope && status === first.status && evidence === first.evidence;
  return others.every(isSame) && new Set(verdicts.map(({ lease }) => lease.member.rows.bucket)).size > 1;
}
