// A program that uses a Redis client and never closes it: what is left must not keep it alive.
import { createHash } from 'node:crypto';
import { createClient } from '@redis/client';
import { Redis } from 'ioredis';
import { fromIoredis } from '#keymux/stores/redis/client-ioredis.js';
import { createRedisClient, fromNodeRedis } from '#keymux/stores/redis/client-node-redis.js';

const [url, of, what, serverPid] = process.argv.slice(2);
const text = 'return ARGV[1]';
const echo = { name: 'echo', text, sha1: createHash('sha1').update(text).digest('hex') };
const say = (word) => process.stdout.write(`${word}\n`);

const theirs = { ioredis: () => new Redis(url), 'node-redis': () => createClient({ url }) }[of]?.();
if (of === 'node-redis') await theirs.connect();
const client = { ioredis: fromIoredis, 'node-redis': fromNodeRedis }[of]?.(theirs) ?? createRedisClient(url);
await client.connect(20_000);
await client.subscribe('news', { onMessage: () => {}, onGap: () => say('following') });
const run = (deadlineMs) =>
  client.run(echo, ['k'], ['answered'], deadlineMs).then(say, (error) => say(error.code));

if (what === 'after-its-work') await run(20_000);
if (what === 'without-a-server') {
  process.kill(Number(serverPid), 'SIGKILL');
  await run(20_000);
}
if (what === 'before-an-answer') {
  process.kill(Number(serverPid), 'SIGSTOP');
  void run(1_000);
}
theirs?.disconnect();
