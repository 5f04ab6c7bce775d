import { createHash } from 'node:crypto';
import type { RedisScript } from './client.js';

/** One atomic operation, and the Lua that it shares with others. */
export interface ScriptSource {
  readonly name: string;
  /** Come before its own text, in this order. */
  readonly preludes: readonly string[];
  readonly lua: string;
}

/** The time of the server in epoch milliseconds, as a Lua function. */
export const SERVER_TIME = `
local function serverTime()
  local time = redis.call('TIME')
  return time[1] * 1000 + time[2] / 1000
end`;

export function compose({ name, preludes, lua }: ScriptSource, serverTime: string): RedisScript {
  const text = [serverTime, ...preludes, lua].map((part) => part.trim()).join('\n');
  return { name, text, sha1: createHash('sha1').update(text).digest('hex') };
}
