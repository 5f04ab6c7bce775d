import { execFile } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startRedis } from '../stores/redis-server.js';
import type { RedisServer } from '../stores/redis-server.js';

const folder = fileURLToPath(new URL('../../examples/', import.meta.url));
const run = promisify(execFile);

const EXPECTED: Readonly<Record<string, RegExp>> = {
  'unchanged-agent.mjs':
    /(request \d got 200\n.*){3}provider saw: first 429, second 401, third 200, third 200, third 200/s,
  'library.mjs':
    /failover: acme\/main -> acme\/2 \(rate-limited\)\nfetch: 200 two\nrun: two\nacquire: acme\/2/,
  'worker-threads.mjs': /^answered: 40, over the limit: 0\n$/,
  'own-provider.mjs': /price: 7.*one -> two/s,
  'redis-fleet.mjs': /^answered: 60, over the limit: 0\n$/,
  'python-gateway/start.mjs':
    /(request \d got 200 served by third\n.*){3}a stream of 6 events, the last one data: \[DONE\]\n.*saw: first 429, second 401(, third 200){4}\n/s,
  'testing.test.mjs': /# pass 1\n# fail 0/,
};

describe('the examples', () => {
  let redis: RedisServer;
  beforeAll(async () => (redis = await startRedis()));
  afterAll(() => redis.stop());

  it.each(Object.entries(EXPECTED))('%s does what it says', async (file, expected) => {
    const args = file.endsWith('.test.mjs') ? ['--test', '--test-reporter=tap', file] : [file];
    const { stdout, stderr } = await run(process.execPath, args, {
      cwd: folder,
      env: { ...process.env, REDIS_URL: redis.url },
      timeout: 25_000,
    });
    expect(stdout).toMatch(expected);
    expect(stderr).toBe('');
  });

  it('are all run here and listed in their README', () => {
    const files = readdirSync(folder, { recursive: true, encoding: 'utf8' }).filter((file) =>
      file.endsWith('.mjs'),
    );
    expect(files.toSorted()).toEqual(Object.keys(EXPECTED).toSorted());
    const readme = readFileSync(`${folder}README.md`, 'utf8');
    expect(files.filter((file) => !readme.includes(`\`${file}\``))).toEqual([]);
  });
});
