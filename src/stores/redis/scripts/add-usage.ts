import type { ScriptSource } from '../script.js';
import { CLOCK_PRELUDE } from './clock-prelude.js';
import { FLEET_PRELUDE } from './fleet-prelude.js';

/**
 * Adds to what was spent through credentials.
 *
 * KEYS      of the fleet
 * own ARGV  for each credential: subject, requests, failures, costUsd
 * answers   OK
 */
export const ADD_USAGE: ScriptSource = {
  name: 'add-usage',
  preludes: [CLOCK_PRELUDE, FLEET_PRELUDE],
  lua: `
local fleet = openFleet()
local now, agreed = readClock(fleet)
if not agreed then return answer('CLOCK', now, fleet) end
for at = OWN + 1, #ARGV, 4 do
  local total = read(USAGE, ARGV[at]) or { 0, 0, 0 }
  for index = 1, 3 do total[index] = total[index] + tonumber(ARGV[at + index]) end
  total[4] = now
  redis.call('HSET', USAGE, ARGV[at], cmsgpack.pack(total))
end
save(FLEET, fleet, LIFE_MS)
keepAlive(USAGE)
return answer('OK', now, fleet)
`,
};
