import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { expect, it, onTestFinished } from 'vitest';
import { startRedis } from './redis-server.js';

const program = fileURLToPath(new URL('members/redis-user.mjs', import.meta.url));

it.each([
  ['createRedisClient', 'after-its-work', ['following', 'answered']],
  ['createRedisClient', 'without-a-server', ['following', 'KEYMUX_STORE_UNAVAILABLE']],
  ['createRedisClient', 'before-an-answer', ['following', 'KEYMUX_TIMEOUT']],
  ['ioredis', 'after-its-work', ['following', 'answered']],
  ['node-redis', 'after-its-work', ['following', 'answered']],
])(
  'a program never closes its client of %s, and ends by itself %s',
  { timeout: 60_000 },
  async (of, what, said) => {
    const server = await startRedis();
    onTestFinished(() => server.stop());
    const child = spawn(process.execPath, [program, server.url, of, what, String(server.pid)]);
    onTestFinished(() => void child.kill('SIGKILL'));
    let output = '';
    let complaints = '';
    child.stdout.on('data', (text: Buffer) => (output += text.toString()));
    child.stderr.on('data', (text: Buffer) => (complaints += text.toString()));
    await expect(once(child, 'close')).resolves.toEqual([0, null]);
    expect(complaints).toBe('');
    expect(output.trim().split('\n')).toEqual(said);
  },
);
