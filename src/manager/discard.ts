/** An answer that nobody gets is read to its end if that comes soon: its connection can then be used again. */

/** Bytes. */
export const DRAIN_BYTES = 65_536;
/** Milliseconds. */
export const DRAIN_MS = 250;

export function isWorthDraining(contentLength: string | undefined): boolean {
  return contentLength === undefined || Number(contentLength) <= DRAIN_BYTES;
}
