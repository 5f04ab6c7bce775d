import { createHash } from 'node:crypto';
import type { RedisDefinition } from '../../config/configuration.js';
import { KeymuxError } from '../../core/errors.js';
import { createClientFor } from '../../manager/redis-store.js';
import { RedisReplyError } from '../../stores/redis/client.js';
import type { RedisClient, RedisScript, Reply } from '../../stores/redis/client.js';
import { composeScripts } from '../../stores/redis/scripts/all.js';
import { failed } from './check.js';
import type { Check } from './check.js';
import { redisChecksOf } from './redis-report.js';
import type { RedisSeen } from './redis-report.js';

const DEADLINE_MS = 5_000;
const ROUND_TRIPS = 7;

/**
 * ARGV[1]  commands as JSON, each a list with arguments as keymux uses them
 * answers  seconds and microseconds of the clock, the text of INFO or nothing, then each command that is not allowed
 */
const LOOK = script(
  'doctor',
  `
local time = redis.call('TIME')
local info = redis.pcall('INFO')
local reply = { time[1], time[2], type(info) == 'string' and info or '' }
for _, command in ipairs(cjson.decode(ARGV[1])) do
  if not redis.acl_check_cmd(unpack(command)) then reply[#reply + 1] = command[1] end
end
return reply`,
);

function script(name: string, text: string): RedisScript {
  return { name, text, sha1: createHash('sha1').update(text).digest('hex') };
}

/** What a Redis that answers says of itself. Where none does there is nothing: the check of the store tells. */
export async function redisChecks(definition: RedisDefinition): Promise<Check[]> {
  const client = createClientFor(definition);
  try {
    await client.connect(DEADLINE_MS);
    return redisChecksOf(await look(client, definition.prefix));
  } catch (error) {
    if (error instanceof RedisReplyError) {
      return [failed('redis-rights', `It refuses to look into it: ${error.message}`, RIGHTS_FIX)];
    }
    if (error instanceof KeymuxError) return [];
    throw error;
  } finally {
    await client.close();
  }
}

const RIGHTS_FIX = 'Grant the rights that docs/operations.md names.';

async function look(client: RedisClient, prefix: string): Promise<RedisSeen> {
  const args = [JSON.stringify(neededCommands(prefix))];
  const latenciesMs: number[] = [];
  let reply: readonly Reply[] = [];
  let clockOffsetMs = 0;
  for (let trip = 0; trip <= ROUND_TRIPS; trip += 1) {
    const begin = performance.now();
    reply = (await client.run(LOOK, [`${prefix}:{doctor}`], args, DEADLINE_MS)) as readonly Reply[];
    const tookMs = performance.now() - begin;
    clockOffsetMs = Number(reply[0]) * 1_000 + Number(reply[1]) / 1_000 - (Date.now() - tookMs / 2);
    // The first one brings the text of the script along.
    if (trip > 0) latenciesMs.push(tookMs);
  }
  const [, , info, ...denied] = reply.map(String);
  return { info: info === '' ? undefined : info, latenciesMs, clockOffsetMs, denied };
}

/** Every command that a script of the store runs, and the one that follows the news. */
function neededCommands(prefix: string): string[][] {
  const texts = Object.values(composeScripts('')).map(({ text }) => text);
  const names = texts.flatMap((text) =>
    [...text.matchAll(/redis\.call\('([A-Z]+)'/g)].map(([, name = '']) => name),
  );
  const commands = [...new Set(names)].toSorted();
  const place = `${prefix}:{doctor}`;
  return [...commands.map((name) => [name, place, '1', '1']), ['SUBSCRIBE', place]];
}
