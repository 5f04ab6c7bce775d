/** Striking members off the roll of a fleet. */
export const ROLL_PRELUDE = `
local function resign(member, group)
  local leader = read(LEADERS, group)
  if leader and leader.member == member then redis.call('HDEL', LEADERS, group) end
end

local function strikeOff(member)
  local person = read(PEOPLE, member)
  if person then resign(member, person.group) end
  redis.call('ZREM', MEMBERS, member)
  redis.call('ZREM', PLACES, member)
  redis.call('HDEL', PEOPLE, member)
end
`;
