/** The slots of Redis Cluster, and what its nodes say about them. */
import type { RedisEndpoint } from '../../core/redis-address.js';
import { RedisReplyError, type Reply } from './client.js';

export const SLOTS = 16_384;

/** The slot of a key: CRC16 (XMODEM) of its hash tag, or of the whole key where it has none. */
export function slotOf(key: string): number {
  const open = key.indexOf('{');
  const close = open === -1 ? -1 : key.indexOf('}', open + 1);
  const tag = close > open + 1 ? key.slice(open + 1, close) : key;
  let crc = 0;
  for (const byte of Buffer.from(tag)) {
    crc ^= byte << 8;
    for (let bit = 0; bit < 8; bit += 1) crc = (crc & 0x8000) === 0 ? crc << 1 : (crc << 1) ^ 0x1021;
    crc &= 0xffff;
  }
  return crc % SLOTS;
}

export interface SlotRange {
  readonly first: number;
  readonly last: number;
  readonly master: RedisEndpoint;
}

/** Reads the answer to `CLUSTER SLOTS`. A node that does not know its own address means the one that was asked. */
export function slotRanges(reply: Reply, asked: RedisEndpoint): readonly SlotRange[] {
  const ranges = Array.isArray(reply) ? reply.flatMap((entry: Reply) => slotRange(entry, asked)) : [];
  if (ranges.length === 0) throw new Error('The node has no slots: it belongs to no cluster');
  return ranges;
}

function slotRange(entry: Reply, asked: RedisEndpoint): readonly SlotRange[] {
  if (!isList(entry)) return [];
  const [first, last, master] = entry;
  if (!isList(master)) return [];
  const host = typeof master[0] === 'string' && master[0] !== '' ? master[0] : asked.host;
  return [{ first: Number(first), last: Number(last), master: { host, port: Number(master[1]) } }];
}

/** `Array.isArray` makes `any` of a list that is read-only. */
function isList(reply: Reply | undefined): reply is readonly Reply[] {
  return Array.isArray(reply);
}

export interface Redirect {
  /** `ask`: for this command only, since the slot is on the move. */
  readonly kind: 'moved' | 'ask';
  readonly slot: number;
  readonly to: RedisEndpoint;
}

/** Where a node sends us with a command; undefined if its error says something else. */
export function redirectOf(error: unknown, asked: RedisEndpoint): Redirect | undefined {
  if (!(error instanceof RedisReplyError)) return undefined;
  const parts = /^(?<kind>MOVED|ASK) (?<slot>\d+) (?<host>.*):(?<port>\d+)$/.exec(error.message)?.groups;
  if (parts === undefined) return undefined;
  const { kind, slot, host, port } = parts;
  const to = { host: host === '' || host === undefined ? asked.host : host, port: Number(port) };
  return { kind: kind === 'ASK' ? 'ask' : 'moved', slot: Number(slot), to };
}
