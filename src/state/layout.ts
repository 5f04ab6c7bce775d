/**
 * Where everything lies in the shared table; no other file knows an offset. Offsets count 32-bit words. Whatever is
 * changed by one 64-bit compare-and-exchange begins at an even word. A buffer of zeros is a valid empty table once
 * the header is written: a subject of zeros is fresh and healthy, a bucket of zeros has no ring.
 */
import { KeymuxError } from '../core/errors.js';

const MAGIC = 0x6b_6d_75_78;
/** Changes with every change of meaning in this file, in `packed-health.ts`, `allowances.ts` or `ring.ts`. */
const LAYOUT_VERSION = 4;

const DAY_MS = 86_400_000;
/** Health and ring ticks are counted from this long before the table was made, so that the recent past fits too. */
const EPOCH_LEAD_MS = 32 * DAY_MS;
/** Deadlines are kept in steps of 10 ms, on a grid that all processes share. */
export const DEADLINE_TICK_MS = 10;

const LINE_WORDS = 16;

const HEADER = {
  magic: 0,
  version: 1,
  subjects: 2,
  buckets: 3,
  arena: 4,
  /** A 64-bit float: epoch milliseconds at which `process.hrtime` was 0. */
  clockOrigin: 8,
  /** A 64-bit float: epoch milliseconds of tick 0, a multiple of `DEADLINE_TICK_MS`. */
  epoch: 10,
  // The words that change while the table is in use have a cache line of their own.
  generation: LINE_WORDS,
  /** Grows whenever an owner of a key becomes known. */
  owners: LINE_WORDS + 1,
  arenaTop: 2 * LINE_WORDS,
  fleet: 3 * LINE_WORDS,
  words: 4 * LINE_WORDS,
} as const;

/** What all threads of a process know of their fleet; see `fleet-words.ts`. */
export const FLEET = {
  /** 64 random bits, by which this table is told from every other one. */
  seed: 0,
  /** Two words that change together: how many members there are, 0 while nobody said, and the rank among them. */
  place: 2,
  /** Two words that change together: the thread that speaks for the process, plus 1, 0 for none; when it last said so, a tick. */
  chair: 4,
  /** 1 while the loss of the store was told and its return was not. */
  lossTold: 6,
} as const;

/** Words of a subject. Two of 64 bits, the disabled flag, the counters; in a line of its own, what a provider stated. */
export const SUBJECT = {
  hash: 0,
  health: 2,
  deadline: 2,
  condition: 3,
  disabled: 4,
  /** Of a bucket: two words that change together, `until` and `left`; see `allowances.ts`. */
  stated: LINE_WORDS,
  statedLeft: LINE_WORDS + 1,
  words: 2 * LINE_WORDS,
} as const;

/** Words that go with what a provider stated of a bucket. */
export const STATED = {
  /** 0 where it is not known. */
  limit: LINE_WORDS + 2,
  /** How many permits come back after each step. */
  gain: LINE_WORDS + 3,
  stepMs: LINE_WORDS + 4,
  /** Leases so far while anything was stated. Wraps. */
  grants: LINE_WORDS + 5,
  /** Answers to leases up to this number cannot raise it any more: a later one was heard, or it was lowered since. */
  heard: LINE_WORDS + 6,
} as const;

/** Counters of a subject: what `add`, `get` and `set` take. */
export const COUNTER = {
  /** Leases that are not answered yet and count against the allowance of an unproven subject. */
  pending: 5,
  /** Good answers since it was fresh or had to rest. */
  successes: 6,
  /** Requests under way. */
  inFlight: 7,
  uses: 8,
  failures: 9,
  /** Moving average, in microseconds; 0 while nothing was measured. */
  latencyUs: 10,
  /** A tick; `blockedUntil` gives it in milliseconds. */
  blockedUntil: 11,
  /** A tick; `timeOf` gives it in milliseconds. */
  lastUsed: 12,
  /** Of a provider: the share of requests that ended in its own trouble, in millionths, as of `troubleAt`. */
  troublePpm: 13,
  /** A tick. */
  troubleAt: 14,
  /** Of a key: the subject that stands for its owner, plus 1; 0 while nobody told. Of a bucket: 1 once it was joined to another. */
  owner: 15,
  /** How many of `uses` and `failures` the store was told of. */
  reportedUses: LINE_WORDS + 7,
  reportedFailures: LINE_WORDS + 8,
} as const;

export type Counter = (typeof COUNTER)[keyof typeof COUNTER];

/** Words of a bucket. */
export const BUCKET = {
  hash: 0,
  /** The word at which its ring block begins; 0 while it has none. */
  ring: 2,
  /** When a store that forgot the bucket was last told of it: a tick. */
  retoldAt: 3,
  /** Two words that change together: since when, as a tick, so many permits were spent in doubt of the store. */
  doubt: 4,
  /** Two words that change together: the position after the latest grant of the store, and what that left, plus 1. */
  answer: 6,
  words: 8,
} as const;

/** Words of a ring block; its windows as JSON text and then its slots follow. */
export const RING = {
  sequence: 0,
  untaken: 1,
  sweptEra: 2,
  textBytes: 3,
  /** Not 0 once any window has a lower limit. */
  anyLowered: 4,
  /** Of each of the first `loweredWindows` windows: a lower limit that the provider stated; 0 for none. */
  lowered: 5,
  /** When each of these was set, or kept from rising: a tick. */
  loweredAt: 10,
  loweredWindows: 5,
  words: LINE_WORDS,
} as const;

export interface TableSizes {
  /** Credentials, buckets and providers together. Default 1024; rounded up to a power of two. */
  readonly subjects?: number;
  /** Default 512; rounded up to a power of two. */
  readonly buckets?: number;
  /** Room for rings of quota permits. Default 4 MiB; a limit of 1000 requests takes 8 KiB. */
  readonly arenaBytes?: number;
}

/** The views of one thread on the shared buffer, and where its parts begin. */
export interface TableMemory {
  readonly buffer: SharedArrayBuffer;
  readonly words: Int32Array<SharedArrayBuffer>;
  readonly pairs: BigInt64Array<SharedArrayBuffer>;
  readonly bytes: Uint8Array<SharedArrayBuffer>;
  readonly generationAt: number;
  readonly ownersAt: number;
  readonly arenaTopAt: number;
  readonly fleetAt: number;
  readonly subjectsAt: number;
  readonly subjectCapacity: number;
  readonly bucketsAt: number;
  readonly bucketCapacity: number;
  readonly endAt: number;
  readonly clockOrigin: number;
  readonly epoch: number;
}

/** The smallest power of two that is not below `count`. */
export function powerOfTwo(count: number): number {
  return 2 ** Math.ceil(Math.log2(Math.max(1, count)));
}

/** `count` rounded up to whole cache lines. */
export function wholeLines(count: number): number {
  return Math.ceil(count / LINE_WORDS) * LINE_WORDS;
}

/** A new table whose time is `now`, in epoch milliseconds, while `process.hrtime` shows `hrtimeMs`. */
export function createMemory(
  sizes: TableSizes,
  now: number,
  hrtimeMs: number,
  random: () => number = Math.random,
): TableMemory {
  const subjects = powerOfTwo(sizes.subjects ?? 1_024);
  const buckets = powerOfTwo(sizes.buckets ?? 512);
  const arena = wholeLines((sizes.arenaBytes ?? 4 * 1_048_576) / Int32Array.BYTES_PER_ELEMENT);
  const buffer = new SharedArrayBuffer(wordsOf(subjects, buckets, arena) * Int32Array.BYTES_PER_ELEMENT);
  const words = new Int32Array(buffer);
  const floats = new Float64Array(buffer);
  words[HEADER.magic] = MAGIC;
  words[HEADER.version] = LAYOUT_VERSION;
  words[HEADER.subjects] = subjects;
  words[HEADER.buckets] = buckets;
  words[HEADER.arena] = arena;
  floats[HEADER.clockOrigin / 2] = now - hrtimeMs;
  floats[HEADER.epoch / 2] = Math.floor((now - EPOCH_LEAD_MS) / DEADLINE_TICK_MS) * DEADLINE_TICK_MS;
  const memory = openMemory(buffer);
  words[HEADER.arenaTop] = memory.endAt - arena;
  for (const half of [0, 1]) words[HEADER.fleet + FLEET.seed + half] = Math.floor(random() * 2 ** 32) | 0;
  return memory;
}

/** Throws `KEYMUX_TABLE_MISMATCH` if the buffer is not a table of this version. */
export function openMemory(buffer: SharedArrayBuffer): TableMemory {
  if (buffer.byteLength < HEADER.words * Int32Array.BYTES_PER_ELEMENT || buffer.byteLength % 8 !== 0) {
    throw mismatch(`it has ${buffer.byteLength} bytes`);
  }
  const words = new Int32Array(buffer);
  const read = (at: number): number => words[at] as number;
  if (read(HEADER.magic) !== MAGIC) throw mismatch('it is not a keymux table');
  if (read(HEADER.version) !== LAYOUT_VERSION) {
    throw mismatch(
      `its layout is version ${read(HEADER.version)}, this copy of keymux has ${LAYOUT_VERSION}`,
    );
  }
  const subjectCapacity = read(HEADER.subjects);
  const bucketCapacity = read(HEADER.buckets);
  const endAt = wordsOf(subjectCapacity, bucketCapacity, read(HEADER.arena));
  if (words.length !== endAt) {
    throw mismatch(`it has ${words.length} words, its header says ${endAt}`);
  }
  const floats = new Float64Array(buffer);
  const bucketsAt = HEADER.words + subjectCapacity * SUBJECT.words;
  return {
    buffer,
    words,
    pairs: new BigInt64Array(buffer),
    bytes: new Uint8Array(buffer),
    generationAt: HEADER.generation,
    ownersAt: HEADER.owners,
    arenaTopAt: HEADER.arenaTop,
    fleetAt: HEADER.fleet,
    subjectsAt: HEADER.words,
    subjectCapacity,
    bucketsAt,
    bucketCapacity,
    endAt,
    clockOrigin: floats[HEADER.clockOrigin / 2] as number,
    epoch: floats[HEADER.epoch / 2] as number,
  };
}

function wordsOf(subjects: number, buckets: number, arenaWords: number): number {
  return wholeLines(HEADER.words + subjects * SUBJECT.words + buckets * BUCKET.words) + arenaWords;
}

function mismatch(what: string): KeymuxError {
  return new KeymuxError('KEYMUX_TABLE_MISMATCH', `The shared table cannot be used here: ${what}.`, {
    fix: 'Let all threads of the process load the same version of keymux (`npm ls keymux` shows every copy).',
  });
}

/** The table has no room for another entry. */
export function tableFull(what: string, fix: string): KeymuxError {
  return new KeymuxError('KEYMUX_TABLE_FULL', `The shared table has no room left for ${what}.`, { fix });
}

/**
 * Two 32-bit words as the one 64-bit number that they are in memory, whatever the byte order of the machine, and
 * back. The scratch space belongs to one thread and is read at once.
 */
const scratchWords = new Int32Array(2);
const scratchPair = new BigInt64Array(scratchWords.buffer);

export function pairOf(first: number, second: number): bigint {
  scratchWords[0] = first;
  scratchWords[1] = second;
  return scratchPair[0] as bigint;
}

export function wordsOfPair(pair: bigint): readonly [first: number, second: number] {
  scratchPair[0] = pair;
  return [scratchWords[0] as number, scratchWords[1] as number];
}
