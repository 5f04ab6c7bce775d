import type { ScriptSource } from '../script.js';
import { BUCKET_PRELUDE } from './bucket-prelude.js';
import { CLOCK_PRELUDE } from './clock-prelude.js';

/**
 * Takes what became of permits of leases on one bucket. A lease that is not known is passed over.
 *
 * KEYS[1]   the bucket
 * own ARGV  for each settlement: id of the lease, permits spent, countedAt, permits returned
 * answers   OK, epoch of the bucket (empty where there is none), life of the bucket in ms (0: not stored)
 */
export const SETTLE: ScriptSource = {
  name: 'settle',
  preludes: [CLOCK_PRELUDE, BUCKET_PRELUDE],
  lua: `
local state, exists = openBucket(KEYS[1])
local now, agreed = readClock(state)
if not agreed then return answer('CLOCK', now, state) end

local isChanged = false
for at = OWN + 1, #ARGV, 4 do
  local lease = state.leases[ARGV[at]]
  if lease then
    local spent, countedAt, returned = tonumber(ARGV[at + 1]), tonumber(ARGV[at + 2]), tonumber(ARGV[at + 3])
    local charged = math.min(spent, lease[1])
    if charged > 0 then addCharge(state.charges, math.min(lease[2], countedAt), charged) end
    lease[1] = lease[1] - charged - returned
    if lease[1] <= 0 then state.leases[ARGV[at]] = nil end
    isChanged = true
  end
end

local lifeMs = 0
if isChanged then
  tidy(state, now)
  lifeMs = saveBucket(KEYS[1], state, now)
end
local reply = answer('OK', now, state)
reply[4], reply[5] = exists and state.epoch or '', lifeMs
return reply
`,
};
