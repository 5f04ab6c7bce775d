/**
 * Finds or inserts names in an open-addressed table of 63-bit hashes. The hash is the entry: one compare-and-exchange
 * claims it, whoever loses finds it there, and nothing is ever removed, so that an index stays valid. Two names
 * with one hash would share an entry; among a thousand names the odds are about one in 10^13.
 */
import { pairOf } from './layout.js';

/** The index of the name's entry, or `undefined` if the table is full. */
export function slotOfName(
  pairs: BigInt64Array<SharedArrayBuffer>,
  firstEntryAt: number,
  entryWords: number,
  capacity: number,
  name: string,
): number | undefined {
  const hash = hashOf(name);
  const start = Number(BigInt.asUintN(32, hash)) % capacity;
  for (let step = 0; step < capacity; step += 1) {
    const index = (start + step) % capacity;
    const found = Atomics.compareExchange(pairs, (firstEntryAt + index * entryWords) / 2, 0n, hash);
    if (found === 0n || found === hash) return index;
  }
  return undefined;
}

/** Two lanes of multiply and mix with different constants; never 0, which marks a free entry. */
function hashOf(name: string): bigint {
  let a = 0x243f6a88;
  let b = 0x13198a2e;
  for (let at = 0; at < name.length; at += 1) {
    const unit = name.charCodeAt(at);
    a = Math.imul(a ^ unit, 0x01000193);
    b = Math.imul((b ^ unit) + 0x7f4a7c15, 0x5bd1e995) ^ (b >>> 13);
  }
  const first = finish(a ^ (b >>> 7));
  const second = finish(b ^ first);
  return pairOf(first, second | 1);
}

/** Every input bit reaches every output bit (the finalizer of MurmurHash3, public domain). */
function finish(word: number): number {
  let mixed = word;
  mixed = Math.imul(mixed ^ (mixed >>> 16), 0x85ebca6b);
  mixed = Math.imul(mixed ^ (mixed >>> 13), 0xc2b2ae35);
  return mixed ^ (mixed >>> 16);
}
