import { execFile } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startRedis } from '../stores/redis-server.js';
import type { RedisServer } from '../stores/redis-server.js';

const folder = fileURLToPath(new URL('../../examples/', import.meta.url));
const run = promisify(execFile);

/** What each prints, in the order of its parts. */
const EXPECTED: Readonly<Record<string, readonly RegExp[]>> = {
  'unchanged-agent.mjs': [
    /(request \d got 200\n.*){3}provider saw: first 429, second 401, third 200, third 200, third 200/s,
  ],
  'unchanged-clients/start.mjs': [
    /(axios: 200\n.*){3}/s,
    /(https: 200\n.*){3}/s,
    /(openai: assistant\n.*){2}openai: a stream that ends with stop\n/s,
    /(the provider of \w+ saw: first 429, second 401(, third 200){3}\n){3}/,
  ],
  'python-gateway/start.mjs': [
    /(request \d got 200 served by third\n.*){3}a stream of 6 events, the last one data: \[DONE\]\n.*saw: first 429, second 401(, third 200){4}\n/s,
  ],
  'virtual-keys.mjs': [
    /in clear: false\nagent: its key is a real one: false\nagent: got 200\nprovider saw: main 401, spare 200\n/,
  ],
  'worker-threads.mjs': [/^answered: 40, over the limit: 0\n$/],
  'cluster.mjs': [/^answered: 20, over the limit: 0\n$/],
  'redis-fleet.mjs': [/^answered: 60, over the limit: 0\n$/],
};

/** Those that start no process and no thread: one process runs them, one after the other, and has to end by itself. */
const IN_ONE_PROCESS: Readonly<Record<string, RegExp>> = {
  'library.mjs':
    /failover: acme\/main -> acme\/2 \(rate-limited\)\nfetch: 200 two\nrun: two\nacquire: acme\/2/,
  'injection.mjs':
    /with key two\n.*best key is acme\/2\nafter it, answered with key one\n.*sent 3 requests to \/quote\/IBM\n/,
  'registry.mjs':
    /charged for ann\nbob was charged for bob\nKEYMUX_USAGE: .*"eve".*\n.*after the shutdown: false\n/,
  'scope.mjs': /(\w+: closed: true\n){2}ann's request took the key of ann, bob's the key of bob\n/,
  'own-provider.mjs': /price: 7.*one -> two/s,
  'own-gateway.mjs':
    /answered 200 with key two\nwithout a token it answers 401\ncounted: keymux_failovers_total\{.*\} 1\n/,
  'watched.mjs':
    /told: acme refuses the key acme\/keys-1 itself.*\n.*attempt acme acme\/keys-1 rejected\n.*keys-2 success\nspan: keymux acme/,
  'audited.mjs':
    /administered acme\/main disable\naccess acme\/main 2\nas it was written: true\nafter .* a word: false line \d+: .*hash/,
  'secrets.mjs':
    /in the vault: db\/password\nprinted it is \[secret\] and it has 9 .*\n.*company:token-1\ntrue KEYMUX_SECRET_UNREADABLE/,
  'own-store.mjs': /first life: one -> two\nsecond life: two\na key stands in the file: false\n/,
};

/** Tests of somebody's program, under the runner that Node brings. */
const TESTS = readdirSync(folder).filter((file) => file.endsWith('.test.mjs'));

const EXAMPLES = [...Object.keys(EXPECTED), ...Object.keys(IN_ONE_PROCESS), ...TESTS];
/** What an example starts: a program that knows nothing of keymux. */
const AGENTS = ['unchanged-clients/axios.mjs', 'unchanged-clients/https.mjs', 'unchanged-clients/openai.mjs'];

/** Loads the modules that its arguments name, and puts a line before what each of them prints. */
const ONE_BY_ONE = `for (const file of process.argv.slice(1)) {
  console.log('--- ' + file);
  await import('./' + file);
}`;

// Side by side on two busy cores, each takes the time of all.
describe('the examples', { timeout: 60_000 }, () => {
  const stateDir = mkdtempSync(join(tmpdir(), 'keymux-examples-'));
  let redis: RedisServer;
  beforeAll(async () => (redis = await startRedis()));
  afterAll(() => redis.stop());
  afterAll(() => rmSync(stateDir, { recursive: true, force: true }));

  const outputOf = async (args: readonly string[]): Promise<string> => {
    const env = { ...process.env, REDIS_URL: redis.url, KEYMUX_STATE_DIR: stateDir };
    const { stdout, stderr } = await run(process.execPath, args, { cwd: folder, env, timeout: 55_000 });
    expect(stderr).toBe('');
    return stdout;
  };

  it.concurrent.each(Object.entries(EXPECTED))('%s does what it says', async (file, expected) => {
    const output = await outputOf([file]);
    for (const part of expected) expect(output).toMatch(part);
  });

  it.concurrent('of tests pass', async () => {
    const output = await outputOf(['--test', '--test-reporter=tap', ...TESTS]);
    expect(output).toMatch(/# pass [1-9]\d*\n# fail 0/);
  });

  it.concurrent('of the library do what they say, and leave nothing open', async () => {
    const files = Object.keys(IN_ONE_PROCESS);
    const output = await outputOf(['--input-type=module', '--eval', ONE_BY_ONE, ...files]);
    const printed = new Map(output.split('--- ').map((part) => [part.slice(0, part.indexOf('\n')), part]));
    for (const [file, expected] of Object.entries(IN_ONE_PROCESS))
      expect(printed.get(file), file).toMatch(expected);
  });

  it('are all run here and listed in their README', () => {
    const files = readdirSync(folder, { recursive: true, encoding: 'utf8' }).filter((file) =>
      file.endsWith('.mjs'),
    );
    expect(files.toSorted()).toEqual([...EXAMPLES, ...AGENTS].toSorted());
    const readme = readFileSync(`${folder}README.md`, 'utf8');
    expect(EXAMPLES.filter((file) => !readme.includes(`\`${file}\``))).toEqual([]);
  });
});
