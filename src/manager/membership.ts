/** This process as one of its fleet: says that it is there, and knows how many there are and who leads. */
import type { Place } from '../core/fair-share.js';
import type { Fence, Leadership } from '../core/fleet.js';

/**
 * `sharing`: the store answers. `alone`: it does not, and each member keeps to its share. `returning`: it answers
 * again, but what all spent meanwhile is not told yet, so that each still keeps to its share.
 */
export type Standing = 'sharing' | 'alone' | 'returning';

export interface MembershipView {
  readonly memberId: string;
  readonly standing: Standing;
  readonly place: Place;
  /** Who leads this member's group, as far as is known. */
  readonly leadership: Leadership | undefined;
  /** Set while this process leads. */
  readonly fence: Fence | undefined;
  /** Members with the same group elect one leader among them; undefined: does not stand. */
  setGroup(group: string | undefined): void;
  /** Calls back whenever this process begins (`fence`) or ceases (`undefined`) to lead. */
  onLeadership(listener: (fence: Fence | undefined) => void): () => void;
}
