import type { ScriptSource } from '../script.js';
import { CLOCK_PRELUDE } from './clock-prelude.js';
import { FLEET_PRELUDE } from './fleet-prelude.js';

/**
 * Makes the fleet where there is none, and notes from which buckets it leases. Also proves that the server takes writes.
 *
 * KEYS      of the fleet
 * own ARGV  names of buckets, or none
 * answers   OK, epoch of the fleet
 */
export const ENROL: ScriptSource = {
  name: 'enrol',
  preludes: [CLOCK_PRELUDE, FLEET_PRELUDE],
  lua: `
local fleet = openFleet()
local now, agreed = readClock(fleet)
if not agreed then return answer('CLOCK', now, fleet) end
save(FLEET, fleet, LIFE_MS)
for at = OWN + 1, #ARGV do redis.call('ZADD', BUCKETS, now, ARGV[at]) end
if #ARGV > OWN then
  redis.call('ZREMRANGEBYSCORE', BUCKETS, '-inf', now - LIFE_MS)
  keepAlive(BUCKETS)
end
local reply = answer('OK', now, fleet)
reply[4] = fleet.epoch
return reply
`,
};
