import type { ScriptSource } from '../script.js';
import { CLOCK_PRELUDE } from './clock-prelude.js';
import { FLEET_PRELUDE } from './fleet-prelude.js';
import { ROLL_PRELUDE } from './roll-prelude.js';

/**
 * Strikes a member off the roll; another one of its group leads from its next beat on.
 *
 * KEYS      of the fleet
 * own ARGV  id of the member
 * answers   OK
 */
export const LEAVE: ScriptSource = {
  name: 'leave',
  preludes: [CLOCK_PRELUDE, FLEET_PRELUDE, ROLL_PRELUDE],
  lua: `
local fleet = openFleet()
local now = readClock(fleet)
strikeOff(ARGV[OWN + 1])
return answer('OK', now, fleet)
`,
};
