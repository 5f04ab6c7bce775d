import type { ScriptSource } from '../script.js';
import { BUCKET_PRELUDE } from './bucket-prelude.js';
import { CLOCK_PRELUDE } from './clock-prelude.js';

/**
 * Takes what became of permits of leases on one bucket. A lease that is not known is passed over, and so is a
 * settlement that came already: a client may send a question again whose answer it lost.
 *
 * KEYS[1]   the bucket
 * own ARGV  for each settlement: id of the lease, permits spent, countedAt, permits returned, and its number,
 *           which grows
 * answers   OK, epoch of the bucket (empty where there is none), life of the bucket in ms (0: not stored)
 */
export const SETTLE: ScriptSource = {
  name: 'settle',
  preludes: [CLOCK_PRELUDE, BUCKET_PRELUDE],
  lua: `
local state, exists = openBucket(KEYS[1])
local now, agreed = readClock(state)
if not agreed then return answer('CLOCK', now, state) end

local leases = state.leases
local placeOf = {}
for at = 1, #leases, LEASE_SIZE do placeOf[leases[at]] = at end

local isChanged = false
for from = OWN + 1, #ARGV, 5 do
  local at, number = placeOf[ARGV[from]], tonumber(ARGV[from + 4])
  if at and leases[at + 1] > 0 and number > leases[at + 4] then
    local spent, countedAt, returned = tonumber(ARGV[from + 1]), tonumber(ARGV[from + 2]), tonumber(ARGV[from + 3])
    local charged = math.min(spent, leases[at + 1])
    if charged > 0 then addCharge(state.charges, math.min(leases[at + 2], countedAt), charged) end
    leases[at + 1], leases[at + 4] = leases[at + 1] - charged - returned, number
    isChanged = true
  end
end
for at = #leases - LEASE_SIZE + 1, 1, -LEASE_SIZE do
  if leases[at + 1] <= 0 then dropLease(leases, at) end
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
