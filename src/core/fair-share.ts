/** How a process spends while it cannot ask the store: its share, so that all together keep to the limit. */

export interface Place {
  /** Members of the fleet, 1 or more. */
  readonly size: number;
  /** From 0; no two members have the same. */
  readonly rank: number;
}

/** This member's part of permits that all members share out: the parts of all ranks add up to exactly `permits`. */
export function fairShare(permits: number, { size, rank }: Place): number {
  if (rank >= size) return 0;
  return Math.floor(permits / size) + (rank < permits % size ? 1 : 0);
}
