/**
 * The state of one bucket, as one value, so that it is there as a whole or not at all. Packed flat, which takes half of
 * the time that nested tables take:
 *
 * epoch       random; another one means that what was known before is lost
 * last        the store's time when it was last stored
 * adjustment  that time minus the server's
 * horizon     how far back charges matter, by all that anybody ever asked; milliseconds
 * cautious    until when nothing is granted
 * latest      the last moment at which something in it matters to somebody, in the store's time, without the horizon
 * endsAt      when the server drops it, in the server's time
 * leases      id, permits not settled yet, countedAt, the moment from which on (plus a minute) nobody will settle it,
 *             and number of its last settlement, in turn
 * charges     countedAt and permits in turn, by countedAt
 * told        ids of charges, and until when telling them again changes nothing
 */
export const BUCKET_PRELUDE = `
local FORGOTTEN_AFTER_MS = 60000
local SPARE_MS = 600000
local LEASE_SIZE = 5

local function openBucket(key)
  local packed = redis.call('GET', key)
  if not packed then
    return {
      epoch = NEW_EPOCH, horizon = 0, cautious = 0, latest = 0, endsAt = 0, leases = {}, charges = {}, told = {}
    }, false
  end
  local epoch, last, adjustment, horizon, cautious, latest, endsAt, leases, charges, told = cmsgpack.unpack(packed)
  return {
    epoch = epoch, last = last, adjustment = adjustment, horizon = horizon, cautious = cautious, latest = latest,
    endsAt = endsAt, leases = leases, charges = charges, told = told
  }, true
end

local function addLease(state, id, permits, countedAt, heldUntil)
  local leases = state.leases
  local at = #leases + 1
  leases[at], leases[at + 1], leases[at + 2], leases[at + 3], leases[at + 4] = id, permits, countedAt, heldUntil, 0
  state.latest = math.max(state.latest, countedAt, heldUntil + FORGOTTEN_AFTER_MS)
end

-- The last one takes its place.
local function dropLease(leases, at)
  local from = #leases - LEASE_SIZE + 1
  for index = 0, LEASE_SIZE - 1 do
    leases[at + index] = leases[from + index]
    leases[from + index] = nil
  end
end

local function addCharge(charges, countedAt, permits)
  local at = #charges - 1
  while at >= 1 and charges[at] > countedAt do at = at - 2 end
  if at >= 1 and charges[at] == countedAt then
    charges[at + 1] = charges[at + 1] + permits
    return
  end
  table.insert(charges, at + 2, permits)
  table.insert(charges, at + 2, countedAt)
end

local function dropBefore(charges, oldest)
  local first = 1
  while first < #charges and charges[first] < oldest do first = first + 2 end
  if first == 1 then return charges end
  local kept = {}
  for at = first, #charges do kept[#kept + 1] = charges[at] end
  return kept
end

-- Drops what does not matter any more, and turns leases that nobody will settle into charges.
local function tidy(state, now)
  local leases = state.leases
  for at = #leases - LEASE_SIZE + 1, 1, -LEASE_SIZE do
    if leases[at + 3] < now - FORGOTTEN_AFTER_MS then
      addCharge(state.charges, leases[at + 2], leases[at + 1])
      dropLease(leases, at)
    end
  end
  for id, tellUntil in pairs(state.told) do
    if tellUntil < now then state.told[id] = nil end
  end
  state.charges = dropBefore(state.charges, now - state.horizon)
end

-- Stores it for as long as anything in it may matter, and answers with that time in milliseconds. When it ends is set
-- anew only once half of what it has to spare is used up: that costs as much as all the rest of storing it.
local function saveBucket(key, state, now)
  local serverNow = now - state.adjustment
  local neededUntil = math.max(now, state.latest, state.cautious) + state.horizon - state.adjustment
  local isLonger = state.endsAt < neededUntil + SPARE_MS / 2
  if isLonger then state.endsAt = neededUntil + SPARE_MS end
  local lifeMs = math.ceil(state.endsAt - serverNow)
  local packed = cmsgpack.pack(
    state.epoch, state.last, state.adjustment, state.horizon, state.cautious, state.latest, state.endsAt,
    state.leases, state.charges, state.told
  )
  if isLonger then
    redis.call('SET', key, packed, 'PX', lifeMs)
  else
    redis.call('SET', key, packed, 'KEEPTTL')
  end
  return lifeMs
end
`;
