import type { ScriptSource } from '../script.js';
import { CLOCK_PRELUDE } from './clock-prelude.js';
import { FLEET_PRELUDE } from './fleet-prelude.js';
import { ROLL_PRELUDE } from './roll-prelude.js';

/**
 * Puts a member on the roll, or keeps it there, and elects the leader of its group where none stands.
 *
 * KEYS      of the fleet
 * own ARGV  epoch that the caller knows the fleet by (or empty), id of the member, host, pid, startedAt, ttlMs,
 *           group (or empty), '1' where it returns, members that it remembers, number of the last change that it
 *           heard of, how long a reunion lasts (ms)
 * answers   OK, epoch, size, rank, reunionUntil (0: none), then where the group has a leader: member, token, until
 */
export const BEAT: ScriptSource = {
  name: 'beat',
  preludes: [CLOCK_PRELUDE, FLEET_PRELUDE, ROLL_PRELUDE],
  lua: `
local KEEP_EVERY_MS = 86400000
local KNOWN, ID, HOST, PID, STARTED = unpack(ARGV, OWN + 1, OWN + 5)
local ttlMs, GROUP, isReturning = tonumber(ARGV[OWN + 6]), ARGV[OWN + 7], ARGV[OWN + 8] == '1'
local remembered, heard, REUNION_MS = tonumber(ARGV[OWN + 9]), tonumber(ARGV[OWN + 10]), tonumber(ARGV[OWN + 11])
local fleet, exists = openFleet()
local now, agreed = readClock(fleet)
if not agreed then return answer('CLOCK', now, fleet) end
-- A fleet that is not the one it knew has lost its roll: whoever remembers comes back to it.
if KNOWN ~= '' and (not exists or fleet.epoch ~= KNOWN) then isReturning = true end

for _, gone in ipairs(redis.call('ZRANGEBYSCORE', MEMBERS, '-inf', exact(now))) do strikeOff(gone) end
local others = redis.call('ZCARD', MEMBERS)
if others == 0 then
  fleet.silenceEnded = now
  fleet.keptAt = 0
end

-- Not the very first one only: a process that was just started may be quicker than those that return.
local isReunion = fleet.reunionUntil > now
fleet.remembered = math.max(remembered, isReunion and fleet.remembered or 0)
if isReturning and not isReunion and now - fleet.silenceEnded < REUNION_MS then
  fleet.reunionUntil = now + REUNION_MS
  isReunion = true
end

local person = read(PEOPLE, ID)
if person and person.group ~= GROUP then resign(ID, person.group) end
local size = others + redis.call('ZADD', MEMBERS, exact(now + ttlMs), ID)
local rank = redis.call('ZRANK', PLACES, ID)
if not rank then
  fleet.joined = fleet.joined + 1
  redis.call('ZADD', PLACES, fleet.joined, ID)
  rank = redis.call('ZRANK', PLACES, ID)
end
redis.call('HSET', PEOPLE, ID, cmsgpack.pack({
  host = HOST, pid = PID, started = STARTED, seen = now, group = GROUP, heard = heard
}))

local leader
if GROUP ~= '' then
  leader = leaderOf(GROUP, now)
  if not leader then
    -- A token is also a time, so that it grows even where the server lost the one before.
    fleet.token = math.max(fleet.token + 1, math.floor(now))
    leader = { member = ID, token = fleet.token }
    redis.call('HSET', LEADERS, GROUP, cmsgpack.pack(leader))
    keepAlive(LEADERS)
    leader.leadsUntil = now + ttlMs
  end
end
-- Keys that were made anew have no end yet; the others are kept once a day.
if now - (fleet.keptAt or 0) > KEEP_EVERY_MS then
  fleet.keptAt = now
  keepAlive(HEALTH, CHANGES, USAGE, MEMBERS, PLACES, PEOPLE, LEADERS, BUCKETS)
end
save(FLEET, fleet, LIFE_MS)

if isReunion then size = math.max(size, fleet.remembered) end
local reply = answer('OK', now, fleet)
reply[4], reply[5], reply[6] = fleet.epoch, size, rank
reply[7] = isReunion and moment(fleet.reunionUntil) or '0'
if leader then reply[8], reply[9], reply[10] = leader.member, exact(leader.token), moment(leader.leadsUntil) end
return reply
`,
};
