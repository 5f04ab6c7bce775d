import type { ScriptSource } from '../script.js';
import { BUCKET_PRELUDE } from './bucket-prelude.js';
import { CLOCK_PRELUDE } from './clock-prelude.js';

/**
 * Leases permits of a bucket.
 *
 * KEYS[1]   the bucket
 * own ARGV  epoch that the caller knows the bucket by (or empty), id of the lease, permits wanted, the store's time from
 *           which on the caller counts ttlMs, ttlMs, slackMs, horizonMs, how many charges are many (they are compacted),
 *           then for each window: requests, perMs, and of a calendar four resets in a row, now being between the second
 *           and the third (or four times empty)
 * answers   OK, epoch, '1' where the bucket was made anew, life of the bucket in ms (0: not stored), granted,
 *           retryAt and cautiousUntil in microseconds, and what is left in each window;
 *           FORGOT: the bucket is not the one that the caller knows; nothing was done
 */
export const LEASE: ScriptSource = {
  name: 'lease',
  preludes: [CLOCK_PRELUDE, BUCKET_PRELUDE],
  lua: `
local KNOWN, ID = ARGV[OWN + 1], ARGV[OWN + 2]
local want, sentAt, ttlMs = tonumber(ARGV[OWN + 3]), tonumber(ARGV[OWN + 4]), tonumber(ARGV[OWN + 5])
local slackMs, horizonMs, MANY = tonumber(ARGV[OWN + 6]), tonumber(ARGV[OWN + 7]), tonumber(ARGV[OWN + 8])
local SLOTS_PER_WINDOW = 64

local state, exists = openBucket(KEYS[1])
local now, agreed = readClock(state)
if not agreed then return answer('CLOCK', now, state) end
if KNOWN ~= '' and (not exists or state.epoch ~= KNOWN) then return answer('FORGOT', now, state) end

local windows = {}
for at = OWN + 9, #ARGV, 6 do
  local window = { requests = tonumber(ARGV[at]), perMs = tonumber(ARGV[at + 1]) }
  if ARGV[at + 2] == '' then
    window.start = now - window.perMs
  else
    local resets = { tonumber(ARGV[at + 2]), tonumber(ARGV[at + 3]), tonumber(ARGV[at + 4]), tonumber(ARGV[at + 5]) }
    for index = 1, 3 do
      if resets[index] <= now and now < resets[index + 1] then
        window.start, window.reset = resets[index], resets[index + 1]
      end
    end
    -- The caller's clock is so far off that it spoke of other days.
    if not window.start then return answer('CLOCK', now, state) end
  end
  windows[#windows + 1] = window
end

state.horizon = math.max(state.horizon, horizonMs)
tidy(state, now)
local leases, charges = state.leases, state.charges
-- A client sent the question again, since it lost the answer: this answer counts in place of the other.
for at = #leases - LEASE_SIZE + 1, 1, -LEASE_SIZE do
  if leases[at] == ID then dropLease(leases, at) end
end

-- As in compactCharges: charges within a slot become one; a slot is 1/64 of the shortest window that counts them.
local function compact()
  local longestMs, kept, slot = 0, {}, {}
  for _, window in ipairs(windows) do longestMs = math.max(longestMs, window.perMs) end
  for at = 1, #charges, 2 do
    local counting, slotMs = 0, longestMs
    for _, window in ipairs(windows) do
      if charges[at] >= window.start then
        counting = counting + 1
        slotMs = math.min(slotMs, window.perMs)
      end
    end
    slotMs = slotMs / SLOTS_PER_WINDOW
    local number = math.floor(charges[at] / slotMs)
    if slot.counting == counting and slot.ms == slotMs and slot.number == number then
      kept[#kept - 1] = charges[at]
      kept[#kept] = kept[#kept] + charges[at + 1]
    else
      kept[#kept + 1] = charges[at]
      kept[#kept + 1] = charges[at + 1]
    end
    slot = { counting = counting, ms = slotMs, number = number }
  end
  return kept
end

if #charges > 2 * MANY and #windows > 0 then
  charges = compact()
  state.charges = charges
end

local left = want
for _, window in ipairs(windows) do
  local used = 0
  for at = #charges - 1, 1, -2 do
    if charges[at] < window.start then break end
    used = used + charges[at + 1]
  end
  for at = 1, #leases, LEASE_SIZE do
    if leases[at + 2] >= window.start then used = used + leases[at + 1] end
  end
  window.left = math.max(0, window.requests - used)
  left = math.min(left, window.left)
end

-- As in nextPermitAt: what is under way is taken as counted now.
local function nextPermitAt()
  local counted = {}
  for at = 1, #charges, 2 do counted[#counted + 1] = { charges[at], charges[at + 1] } end
  for at = 1, #leases, LEASE_SIZE do counted[#counted + 1] = { leases[at + 2], leases[at + 1] } end
  table.sort(counted, function(one, other) return one[1] < other[1] end)
  local soonest = now
  for _, window in ipairs(windows) do
    if window.left == 0 then
      local used, from = 0, window.reset or now + window.perMs
      for _, charge in ipairs(counted) do
        if charge[1] >= window.start then used = used + charge[2] end
      end
      for _, charge in ipairs(counted) do
        if window.reset then break end
        if charge[1] >= window.start then
          used = used - charge[2]
          if used < window.requests then
            from = math.min(now, charge[1]) + window.perMs + 1
            break
          end
        end
      end
      soonest = math.max(soonest, from)
    end
  end
  return soonest
end

local granted, cautious, retryAt, lifeMs = left, 0, now, 0
if state.cautious > now then
  granted, cautious = 0, state.cautious
end
if granted > 0 then
  if sentAt > now or sentAt < now - TOLERANCE_MS then sentAt = now end
  local countedAt = sentAt + ttlMs + slackMs
  addLease(state, ID, granted, countedAt, countedAt)
  lifeMs = saveBucket(KEYS[1], state, now)
else
  retryAt = math.max(cautious, nextPermitAt())
end

local reply = answer('OK', now, state)
reply[4], reply[5] = state.epoch, (not exists and granted > 0) and '1' or ''
reply[6], reply[7], reply[8], reply[9] = lifeMs, granted, micros(retryAt), micros(cautious)
for _, window in ipairs(windows) do reply[#reply + 1] = window.left - granted end
return reply
`,
};
