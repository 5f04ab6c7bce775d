// A Redis server for one benchmark, on a free port, with nothing kept on disk. REDIS_SERVER names another binary.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { Redis } from 'ioredis';

const START_WITHIN_MS = 20_000;

async function freePort() {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address();
  server.close();
  await once(server, 'close');
  return port;
}

export async function startRedis() {
  const port = await freePort();
  const args = ['--port', port, '--bind', '127.0.0.1', '--dir', tmpdir(), '--save', '', '--appendonly', 'no'];
  const launch = async () => {
    const child = spawn(process.env.REDIS_SERVER ?? 'redis-server', args.map(String), { stdio: 'ignore' });
    await once(child, 'spawn');
    return child;
  };
  let child = await launch();
  const client = new Redis({ port, host: '127.0.0.1', retryStrategy: () => 20, maxRetriesPerRequest: null });
  client.on('error', () => {});
  const answers = async () => {
    const timer = setTimeout(() => client.disconnect(), START_WITHIN_MS);
    await client.ping();
    clearTimeout(timer);
  };
  await answers();
  process.once('exit', () => child.kill('SIGKILL'));

  return {
    url: `redis://127.0.0.1:${port}`,
    port,
    /** SIGSTOP: connections stay open, and nothing is answered. */
    pause: () => child.kill('SIGSTOP'),
    resume: () => child.kill('SIGCONT'),
    async kill() {
      child.kill('SIGKILL');
      await once(child, 'exit');
    },
    async start() {
      child = await launch();
      await answers();
    },
    flush: () => client.flushall(),
    configure: (name, value) => client.config('SET', name, value),
    /** What the server has used since it started. CPU in milliseconds. */
    async used() {
      const info = await client.info();
      const read = (name) => Number(new RegExp(`^${name}:(.+)$`, 'm').exec(info)?.[1]);
      return {
        cpuMs: 1_000 * (read('used_cpu_user') + read('used_cpu_sys')),
        bytes: read('total_net_input_bytes') + read('total_net_output_bytes'),
        commands: read('total_commands_processed'),
      };
    },
    async stop() {
      client.disconnect();
      child.kill('SIGKILL');
      child.kill('SIGCONT');
      if (child.exitCode === null && child.signalCode === null) await once(child, 'exit');
    },
  };
}
