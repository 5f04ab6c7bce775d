import type { ScriptSource } from '../script.js';
import { CLOCK_PRELUDE } from './clock-prelude.js';
import { FLEET_PRELUDE } from './fleet-prelude.js';

/**
 * Reads who is there, who leads, and from which buckets the fleet leased. Writes nothing.
 *
 * KEYS      of the fleet
 * answers   OK, number of members, of leaders and of buckets, then
 *           for each member: id, host, pid, startedAt, seenAt, changes that it has not heard of,
 *           for each leader: group, member, token, until,
 *           for each bucket: its name
 */
export const CENSUS: ScriptSource = {
  name: 'census',
  preludes: [CLOCK_PRELUDE, FLEET_PRELUDE],
  lua: `
local fleet = openFleet()
local now, agreed = readClock(fleet)
if not agreed then return answer('CLOCK', now, fleet) end
local reply = answer('OK', now, fleet)
local members, leaders = 0, 0
local function add(...)
  for _, part in ipairs({ ... }) do reply[#reply + 1] = part end
end
reply[4], reply[5], reply[6] = 0, 0, 0

for _, id in ipairs(redis.call('ZRANGE', PLACES, 0, -1)) do
  local person = read(PEOPLE, id)
  local presentUntil = tonumber(redis.call('ZSCORE', MEMBERS, id) or 0)
  if person and presentUntil > now then
    add(id, person.host, person.pid, person.started, moment(person.seen), math.max(0, fleet.seq - person.heard))
    members = members + 1
  end
end
local groups = redis.call('HKEYS', LEADERS)
table.sort(groups)
for _, group in ipairs(groups) do
  local leader = leaderOf(group, now)
  if leader then
    add(group, leader.member, exact(leader.token), moment(leader.leadsUntil))
    leaders = leaders + 1
  end
end
local buckets = redis.call('ZRANGE', BUCKETS, 0, -1)
for _, bucket in ipairs(buckets) do add(bucket) end
reply[4], reply[5], reply[6] = members, leaders, #buckets
return reply
`,
};
