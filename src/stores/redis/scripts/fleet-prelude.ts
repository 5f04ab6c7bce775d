/**
 * What the members of a fleet have in common. All its scripts get the same nine keys:
 *
 * KEYS[1]  fleet: one value with the epoch (random; another one means that what was known before is lost), the number
 *          of the last change of health, who joined last, the last token, and the last reunion
 * KEYS[2]  health: by subject, one value with health (opaque), care (what is compared), disabled and its version,
 *          number and writer of the last change
 * KEYS[3]  changes: subjects by the number of their last change
 * KEYS[4]  usage: by subject, one value
 * KEYS[5]  members by the moment at which they count as gone
 * KEYS[6]  members by their place in the order of joining
 * KEYS[7]  members: what people may want to know of each, and its group
 * KEYS[8]  leaders: by group, one value with member and token
 * KEYS[9]  buckets by the moment at which a process first leased from them
 *
 * All live for 40 days after the last write or beat.
 */
export const FLEET_PRELUDE = `
local FLEET, HEALTH, CHANGES, USAGE, MEMBERS, PLACES, PEOPLE, LEADERS, BUCKETS = unpack(KEYS)
local LIFE_MS = 3456000000

local function openFleet()
  local fleet = load(FLEET)
  if fleet then return fleet, true end
  -- Where only that one value was lost, the numbers of changes go on.
  local seq = tonumber(redis.call('ZRANGE', CHANGES, -1, -1, 'WITHSCORES')[2] or 0)
  return { epoch = NEW_EPOCH, seq = seq, joined = 0, token = 0, silenceEnded = 0, reunionUntil = 0, remembered = 0 }, false
end

local function keepAlive(...)
  for _, key in ipairs({ ... }) do redis.call('PEXPIRE', key, LIFE_MS) end
end

local function read(key, field)
  local packed = redis.call('HGET', key, field)
  return packed and cmsgpack.unpack(packed)
end

-- The leader of a group that stands; it stands as long as that member is there.
local function leaderOf(group, now)
  local leader = read(LEADERS, group)
  local leadsUntil = leader and tonumber(redis.call('ZSCORE', MEMBERS, leader.member) or 0)
  if leadsUntil and leadsUntil > now then
    leader.leadsUntil = leadsUntil
    return leader
  end
end
`;
