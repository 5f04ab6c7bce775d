import type { ScriptSource } from '../script.js';
import { CLOCK_PRELUDE } from './clock-prelude.js';
import { FLEET_PRELUDE } from './fleet-prelude.js';

/**
 * Reads what changed. Writes nothing.
 *
 * KEYS      of the fleet
 * own ARGV  epoch that the caller knows the fleet by (or empty), number of the last change that it heard of; of a
 *           fleet with another epoch it gets everything
 * answers   OK, epoch (empty where there is no fleet), number of the last change, then for each subject that changed:
 *           subject, health, disabled, disabledVersion, number and writer of its last change
 */
export const CHANGES: ScriptSource = {
  name: 'changes',
  preludes: [CLOCK_PRELUDE, FLEET_PRELUDE],
  lua: `
local KNOWN, since = ARGV[OWN + 1], tonumber(ARGV[OWN + 2])
local fleet, exists = openFleet()
local now, agreed = readClock(fleet)
if not agreed then return answer('CLOCK', now, fleet) end

if fleet.epoch ~= KNOWN then since = 0 end
local reply = answer('OK', now, fleet)
reply[4], reply[5] = exists and fleet.epoch or '', fleet.seq
for _, subject in ipairs(redis.call('ZRANGEBYSCORE', CHANGES, '(' .. since, '+inf')) do
  local record = read(HEALTH, subject)
  if record then
    for _, part in ipairs({ subject, record.health, record.disabled, exact(record.version), record.seq, record.writer }) do
      reply[#reply + 1] = part
    end
  end
end
return reply
`,
};
