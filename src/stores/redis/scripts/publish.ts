import type { ScriptSource } from '../script.js';
import { CLOCK_PRELUDE } from './clock-prelude.js';
import { FLEET_PRELUDE } from './fleet-prelude.js';

/**
 * Merges records with what others wrote, and tells the others. It knows nothing of health but an order: of two
 * records the one whose care is greater stands; apart from that the higher version of \`disabled\`, and within one
 * version: disabled.
 *
 * KEYS      of the fleet
 * own ARGV  writer, channel, group and token of a fence (or empty), then for each record:
 *           subject, health, care (a JSON array of numbers and texts), disabled ('1' or '0'), disabledVersion
 * answers   OK, epoch, number of the last change before and after, then for each record what stands:
 *           health, disabled, disabledVersion;
 *           FENCED and who leads instead, and under which token: nothing was stored
 * publishes a JSON array: writer, epoch, number of the last change before and after, then for each change as above:
 *           subject, health, disabled, disabledVersion
 */
export const PUBLISH: ScriptSource = {
  name: 'publish',
  preludes: [CLOCK_PRELUDE, FLEET_PRELUDE],
  lua: `
local WRITER, CHANNEL, GROUP, TOKEN = ARGV[OWN + 1], ARGV[OWN + 2], ARGV[OWN + 3], ARGV[OWN + 4]
local fleet = openFleet()
local now, agreed = readClock(fleet)
if not agreed then return answer('CLOCK', now, fleet) end

if GROUP ~= '' then
  local leader = leaderOf(GROUP, now)
  if not leader or exact(leader.token) ~= exact(tonumber(TOKEN)) then
    local reply = answer('FENCED', now, fleet)
    reply[4], reply[5] = leader and leader.member or '', leader and exact(leader.token) or ''
    return reply
  end
end

-- Byte by byte: the operator of Lua would follow the locale of the server.
local function isBefore(one, other)
  for at = 1, math.min(#one, #other) do
    local byte, otherByte = string.byte(one, at), string.byte(other, at)
    if byte ~= otherByte then return byte < otherByte end
  end
  return #one < #other
end

local function isMoreCareful(one, other)
  for at = 1, math.min(#one, #other) do
    if one[at] ~= other[at] then
      if type(one[at]) == 'string' then return isBefore(other[at], one[at]) end
      return one[at] > other[at]
    end
  end
  return false
end

local before = fleet.seq
local message = { WRITER, fleet.epoch, before, before }
local standing = {}
for at = OWN + 5, #ARGV, 5 do
  local subject = ARGV[at]
  local record = {
    health = ARGV[at + 1],
    care = cjson.decode(ARGV[at + 2]),
    disabled = ARGV[at + 3],
    version = tonumber(ARGV[at + 4]),
  }
  local stored = read(HEALTH, subject)
  local isChanged = not stored
  if stored then
    if isMoreCareful(record.care, stored.care) then
      stored.health, stored.care = record.health, record.care
      isChanged = true
    end
    if record.version > stored.version or (record.version == stored.version and record.disabled > stored.disabled) then
      stored.disabled, stored.version = record.disabled, record.version
      isChanged = true
    end
    record = stored
  end
  if isChanged then
    fleet.seq = fleet.seq + 1
    record.seq, record.writer = fleet.seq, WRITER
    redis.call('HSET', HEALTH, subject, cmsgpack.pack(record))
    redis.call('ZADD', CHANGES, fleet.seq, subject)
    message[#message + 1] = subject
    message[#message + 1] = record.health
    message[#message + 1] = record.disabled
    message[#message + 1] = exact(record.version)
  end
  standing[#standing + 1] = record.health
  standing[#standing + 1] = record.disabled
  standing[#standing + 1] = exact(record.version)
end

if fleet.seq > before then
  save(FLEET, fleet, LIFE_MS)
  keepAlive(HEALTH, CHANGES)
  message[4] = fleet.seq
  redis.call('PUBLISH', CHANNEL, cjson.encode(message))
end
local reply = answer('OK', now, fleet)
reply[4], reply[5], reply[6] = fleet.epoch, before, fleet.seq
for _, part in ipairs(standing) do reply[#reply + 1] = part end
return reply
`,
};
