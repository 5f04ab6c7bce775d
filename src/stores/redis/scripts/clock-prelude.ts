/**
 * Before every script: its first four arguments, and the clock.
 *
 * ARGV[1]  what the caller takes to be the store's time now; empty where it does not know
 * ARGV[2]  what it takes to be the store's time minus the server's; for a state that has no such number yet
 * ARGV[3]  '1' where it knows that: the server's clock jumped, and this number makes up for it
 * ARGV[4]  a random name for whatever state is made anew
 *
 * Every answer begins with a word and two numbers: the store's time, and that minus the server's, both in whole
 * microseconds, which are cheaper than text. The word is OK, or CLOCK: the server's clock is so far from the caller's
 * that one of them jumped; nothing was done.
 */
export const CLOCK_PRELUDE = `
local ESTIMATE = tonumber(ARGV[1])
local ADJUSTMENT = tonumber(ARGV[2])
local IS_CERTAIN = ARGV[3] == '1'
local NEW_EPOCH = ARGV[4]
local OWN = 4
local TOLERANCE_MS = 1000

local function moment(number)
  return string.format('%.3f', number)
end

local function exact(number)
  return string.format('%.17g', number)
end

local function load(key)
  local packed = redis.call('GET', key)
  return packed and cmsgpack.unpack(packed)
end

local function save(key, state, lifeMs)
  redis.call('SET', key, cmsgpack.pack(state), 'PX', math.ceil(lifeMs))
end

-- The store's time, and whether the caller agrees. It never runs backwards for one state.
local function readClock(state)
  if IS_CERTAIN or not state.adjustment then state.adjustment = ADJUSTMENT end
  local now = serverTime() + state.adjustment
  if ESTIMATE and not IS_CERTAIN and math.abs(now - ESTIMATE) > TOLERANCE_MS then return now, false end
  if state.last and now < state.last then
    state.adjustment = state.adjustment + state.last - now
    now = state.last
  end
  state.last = now
  return now, true
end

local function micros(number)
  return math.floor(number * 1000 + 0.5)
end

local function answer(word, now, state)
  return { word, micros(now), micros(state.adjustment) }
end
`;
