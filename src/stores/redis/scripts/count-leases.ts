import type { ScriptSource } from '../script.js';
import { BUCKET_PRELUDE } from './bucket-prelude.js';
import { CLOCK_PRELUDE } from './clock-prelude.js';

/**
 * Counts what is leased of one bucket and not settled yet. Writes nothing.
 *
 * KEYS[1]   the bucket
 * answers   OK, permits, leases
 */
export const COUNT_LEASES: ScriptSource = {
  name: 'count-leases',
  preludes: [CLOCK_PRELUDE, BUCKET_PRELUDE],
  lua: `
local state = openBucket(KEYS[1])
local now, agreed = readClock(state)
if not agreed then return answer('CLOCK', now, state) end
local permits, leases = 0, 0
for at = 1, #state.leases, LEASE_SIZE do
  if state.leases[at + 2] >= now then
    permits = permits + state.leases[at + 1]
    leases = leases + 1
  end
end
local reply = answer('OK', now, state)
reply[4], reply[5] = permits, leases
return reply
`,
};
