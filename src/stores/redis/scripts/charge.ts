import type { ScriptSource } from '../script.js';
import { BUCKET_PRELUDE } from './bucket-prelude.js';
import { CLOCK_PRELUDE } from './clock-prelude.js';

/**
 * Charges permits of one bucket that were spent without a lease, each once, and as leases that may still be settled.
 *
 * KEYS[1]   the bucket
 * own ARGV  cautionMs, horizonMs, how far in the future a charge may be dated at most (ms), then for each charge:
 *           its id, permits, countedAt, for how long after it a second telling is recognized (ms)
 * answers   OK, epoch of the bucket, life of the bucket in ms
 */
export const CHARGE: ScriptSource = {
  name: 'charge',
  preludes: [CLOCK_PRELUDE, BUCKET_PRELUDE],
  lua: `
local cautionMs, horizonMs, LONGEST_MS = tonumber(ARGV[OWN + 1]), tonumber(ARGV[OWN + 2]), tonumber(ARGV[OWN + 3])
local state = openBucket(KEYS[1])
local now, agreed = readClock(state)
if not agreed then return answer('CLOCK', now, state) end

state.horizon = math.max(state.horizon, horizonMs)
if cautionMs > 0 then state.cautious = math.max(state.cautious, now + cautionMs) end
for at = OWN + 4, #ARGV, 4 do
  local id, permits, rememberedMs = ARGV[at], tonumber(ARGV[at + 1]), tonumber(ARGV[at + 3])
  if permits > 0 and not state.told[id] then
    local countedAt = math.min(tonumber(ARGV[at + 2]), now + LONGEST_MS)
    local heldUntil = math.max(now, countedAt)
    state.told[id] = heldUntil + rememberedMs
    state.latest = math.max(state.latest, state.told[id])
    addLease(state, id, permits, countedAt, heldUntil)
  end
end
tidy(state, now)

local reply = answer('OK', now, state)
reply[4], reply[5] = state.epoch, saveBucket(KEYS[1], state, now)
return reply
`,
};
