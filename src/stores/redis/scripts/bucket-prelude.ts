/**
 * The state of one bucket, as one value, so that it is there as a whole or not at all:
 *
 * epoch     random; another one means that what was known before is lost
 * horizon   how far back charges matter, by all that anybody ever asked; milliseconds
 * cautious  until when nothing is granted
 * leases    by id: permits not settled yet, countedAt, and the moment from which on (plus a minute) nobody will settle it
 * charges   countedAt and permits in turn, by countedAt
 * told      ids of charges, and until when telling them again changes nothing
 */
export const BUCKET_PRELUDE = `
local FORGOTTEN_AFTER_MS = 60000
local SPARE_MS = 600000

local function openBucket(key)
  local state = load(key)
  if state then return state, true end
  return { epoch = NEW_EPOCH, horizon = 0, cautious = 0, leases = {}, charges = {}, told = {} }, false
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
  for id, lease in pairs(state.leases) do
    if lease[3] < now - FORGOTTEN_AFTER_MS then
      state.leases[id] = nil
      addCharge(state.charges, lease[2], lease[1])
    end
  end
  for id, tellUntil in pairs(state.told) do
    if tellUntil < now then state.told[id] = nil end
  end
  state.charges = dropBefore(state.charges, now - state.horizon)
end

-- Stores it for as long as anything in it may matter; answers with that time in milliseconds.
local function saveBucket(key, state, now)
  local latest = math.max(now, state.cautious, state.charges[#state.charges - 1] or 0)
  for _, lease in pairs(state.leases) do latest = math.max(latest, lease[2], lease[3] + FORGOTTEN_AFTER_MS) end
  for _, tellUntil in pairs(state.told) do latest = math.max(latest, tellUntil) end
  local lifeMs = math.ceil(latest - now + state.horizon + SPARE_MS)
  save(key, state, lifeMs)
  return lifeMs
end
`;
