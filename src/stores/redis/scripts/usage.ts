import type { ScriptSource } from '../script.js';
import { CLOCK_PRELUDE } from './clock-prelude.js';
import { FLEET_PRELUDE } from './fleet-prelude.js';

/**
 * Reads what was spent through credentials. Writes nothing.
 *
 * KEYS      of the fleet
 * answers   OK, then for each credential: subject, requests, failures, costUsd, lastUsedAt
 */
export const USAGE: ScriptSource = {
  name: 'usage',
  preludes: [CLOCK_PRELUDE, FLEET_PRELUDE],
  lua: `
local fleet = openFleet()
local now, agreed = readClock(fleet)
if not agreed then return answer('CLOCK', now, fleet) end
local reply = answer('OK', now, fleet)
local stored = redis.call('HGETALL', USAGE)
for at = 1, #stored, 2 do
  reply[#reply + 1] = stored[at]
  for _, number in ipairs(cmsgpack.unpack(stored[at + 1])) do reply[#reply + 1] = exact(number) end
end
return reply
`,
};
