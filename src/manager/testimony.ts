/** Who saw that a key, bucket or provider rests, and when: what explanations say beside the state itself. */
import type { Witness, Witnesses } from '../core/decision.js';
import type { Member } from './members.js';

/** Rests of one subject that are remembered, the latest ones; decisions speak of earlier ones too. */
const MOST_RESTS = 8;

export class Testimony {
  /** By name of the subject, then by version of its health. */
  readonly #rests = new Map<string, Map<number, Witness>>();
  /** By name of the bucket's subject. */
  readonly #shortages = new Map<string, Witness>();
  /** By name of the key's subject. */
  readonly #disabled = new Map<string, Witness>();

  /** `version`: of the health that now rests. A later word on the same rest counts only where it was met here. */
  rested(subject: string, version: number, witness: Witness): void {
    const rests = this.#rests.get(subject) ?? new Map<number, Witness>();
    this.#rests.set(subject, rests);
    if (rests.has(version) && witness.seen === 'elsewhere') return;
    rests.set(version, witness);
    if (rests.size > MOST_RESTS) rests.delete(rests.keys().next().value ?? 0);
  }

  ranOut({ subjects }: Member, witness: Witness): void {
    this.#shortages.set(subjects.bucket, witness);
  }

  disabled({ subjects }: Member, at: number): void {
    this.#disabled.set(subjects.key, { seen: 'here', at });
  }

  of({ subjects }: Member): Witnesses {
    return {
      ofRest: (who, version) => this.#rests.get(subjects[who])?.get(version),
      ofShortage: (now) => upTo(this.#shortages.get(subjects.bucket), now),
      ofDisabling: (now) => upTo(this.#disabled.get(subjects.key), now),
    };
  }
}

function upTo(witness: Witness | undefined, now: number): Witness | undefined {
  return witness === undefined || (witness.at ?? now) > now ? undefined : witness;
}
