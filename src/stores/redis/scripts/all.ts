import { compose } from '../script.js';
import type { RedisScript } from '../client.js';
import { ADD_USAGE } from './add-usage.js';
import { BEAT } from './beat.js';
import { CENSUS } from './census.js';
import { CHANGES } from './changes.js';
import { CHARGE } from './charge.js';
import { COUNT_LEASES } from './count-leases.js';
import { ENROL } from './enrol.js';
import { LEASE } from './lease.js';
import { LEAVE } from './leave.js';
import { PUBLISH } from './publish.js';
import { SETTLE } from './settle.js';
import { USAGE } from './usage.js';

const SOURCES = {
  addUsage: ADD_USAGE,
  beat: BEAT,
  census: CENSUS,
  changes: CHANGES,
  charge: CHARGE,
  countLeases: COUNT_LEASES,
  enrol: ENROL,
  lease: LEASE,
  leave: LEAVE,
  publish: PUBLISH,
  settle: SETTLE,
  usage: USAGE,
} as const;

export type Scripts = Readonly<Record<keyof typeof SOURCES, RedisScript>>;

export function composeScripts(serverTime: string): Scripts {
  const composed = Object.entries(SOURCES).map(([operation, source]) => [
    operation,
    compose(source, serverTime),
  ]);
  return Object.fromEntries(composed) as Scripts;
}
