/** The command line of a fleet: real processes over a real Redis whose password must never be said. */
import { connect } from 'node:net';
import { fileURLToPath } from 'node:url';
import { inspect } from 'node:util';
import type { StatusReport } from '#keymux/cli/status-report.js';
import type { Check } from '#keymux/cli/doctor/check.js';
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest';
import { startRedis } from '../stores/redis-server.js';
import type { RedisServer } from '../stores/redis-server.js';
import { ACME, CANARY, Project } from './keymux-process.js';
import type { Running } from './keymux-process.js';

const PRELOAD = fileURLToPath(new URL('../../dist/register.cjs', import.meta.url));
const PASSWORD = `${CANARY}-redis`;
const FLEET = ACME.replace(/store: .*/, 'store: { type: redis, url: env:REDIS_URL, prefix: PREFIX }');

/** Uses a key, says so, and stays. */
const AGENT = `
const key = process.env.ACME_API_KEY;
setInterval(() => key, 1_000);
console.log('agent ' + process.pid);
`;

let server: RedisServer;
let fleets = 0;
beforeAll(async () => {
  server = await startRedis({ args: ['--requirepass', PASSWORD] });
});
afterAll(() => server.stop());

/** Each project is a fleet of its own. */
function fleetProject(url = server.url.replace('://', `://:${PASSWORD}@`)): Project {
  fleets += 1;
  return new Project(
    { 'keymux.config.yaml': FLEET.replace('PREFIX', `fleet-${fleets}`), 'agent.cjs': AGENT },
    { ACME_API_KEY: `${CANARY}-one`, ACME_API_KEY_2: `${CANARY}-two`, REDIS_URL: url },
  );
}

async function startAgent(project: Project): Promise<{ running: Running; pid: number }> {
  const running = project.startProgram(process.execPath, ['--require', PRELOAD, 'agent.cjs']);
  const said = await running.saw(/agent \d+/);
  return { running, pid: Number(/agent (\d+)/.exec(said)?.[1]) };
}

async function statusOf(project: Project): Promise<StatusReport> {
  const { code, stdout, stderr } = await project.keymux(['status', '--json']);
  expect([code, stderr]).toEqual([0, '']);
  return JSON.parse(stdout) as StatusReport;
}

/** Asks until it holds: a beat takes up to a second. */
async function statusWhere(
  project: Project,
  holds: (report: StatusReport) => boolean,
): Promise<StatusReport> {
  for (let trial = 0; trial < 40; trial += 1) {
    const report = await statusOf(project);
    if (holds(report)) return report;
  }
  throw new Error('it never held');
}

/** Everything that the server is asked from here on, and what its scripts ask in their turn. */
async function eavesdrop({ port }: RedisServer): Promise<() => string> {
  const socket = connect(port, '127.0.0.1');
  onTestFinished(() => void socket.destroy());
  let heard = '';
  socket.setEncoding('utf8').on('data', (text: string) => (heard += text));
  socket.write(`AUTH ${PASSWORD}\r\nMONITOR\r\n`);
  await expect.poll(() => heard).toBe('+OK\r\n+OK\r\n');
  return () => heard;
}

describe('every command', () => {
  it(
    'looks on: it becomes no member, so that it changes no share and never leads',
    { timeout: 90_000 },
    async () => {
      const project = fleetProject();
      const heard = await eavesdrop(server);
      const joined = (): boolean => heard().includes(`"ZADD" "fleet-${fleets}:{fleet-${fleets}}:members"`);
      for (const args of [
        ['status'],
        ['explain', 'data'],
        ['keys', 'list'],
        ['keys', 'disable', 'acme/main'],
        ['keys', 'enable', 'acme/main'],
        ['keys', 'reset', 'acme/main'],
        ['doctor'],
        ['run', '--', '/bin/true'],
      ]) {
        expect((await project.keymux(args)).code, args.join(' ')).toBe(0);
      }
      const watching = project.start(['status', '--watch']);
      await watching.saw(/(fleet {5}0 processes[^]*){4}/);
      expect(heard()).toContain(`fleet-${fleets}:{fleet-${fleets}}`);
      expect(joined()).toBe(false);
      await project.manager();
      await expect.poll(joined).toBe(true);
    },
  );
});

describe('keymux status of a fleet', () => {
  it('shows each process, and is none of them', async () => {
    const project = fleetProject();
    const agents = [await startAgent(project), await startAgent(project)];
    const pids = agents.map(({ pid }) => pid).toSorted();
    const report = await statusWhere(project, ({ fleet }) => fleet?.members.length === 2);
    expect(report.fleet?.members.map(({ pid }) => pid).toSorted()).toEqual(pids);
    expect(report.fleet?.members.every(({ behind }) => behind === 0)).toBe(true);
    expect(report.store).toMatchObject({ kind: 'redis', shared: true, place: server.url });
    expect(report.store.trouble).toBeUndefined();
    const { stdout } = await project.keymux(['status']);
    expect(stdout).toContain(`store     redis (${server.url}, prefix fleet-${fleets})`);
    expect(stdout).toContain('fleet     2 processes on 1 host, ');
    expect((await statusOf(project)).fleet?.members).toHaveLength(2);
  });

  it('shows permits that are out, and whose process left', async () => {
    const project = fleetProject();
    const manager = await project.manager();
    const lease = await manager.acquire('acme');
    const { fleet } = await statusWhere(project, (report) => report.fleet?.leases.length === 1);
    expect(fleet?.leases).toEqual([{ bucket: 'acme/main', permits: 1, leases: 1 }]);
    expect(fleet?.members.map(({ pid }) => pid)).toEqual([process.pid]);
    expect(manager.inspect().fleet).toMatchObject({ size: 1, rank: 0, state: 'sharing' });
    lease.report({ kind: 'success', scope: 'request', executed: 'yes' });
    lease.end();
    await manager.shutdown();
    expect((await statusOf(project)).fleet?.members).toEqual([]);
  });

  it('says what is wrong, and shows what is known, where Redis does not answer', async () => {
    const project = fleetProject(`redis://:${PASSWORD}@127.0.0.1:1`);
    const { code, stdout, stderr } = await project.keymux(['status']);
    expect(code).toBe(0);
    expect(stdout).toContain('store     redis (redis://127.0.0.1:1, prefix');
    expect(stdout).toContain('✗ The Redis store redis://127.0.0.1:1 cannot be used: it refuses connections');
    expect(stdout).toContain('acme/main');
    expect(stderr).toContain('fix: ');
  });
});

describe('manager.inspect() in a fleet', () => {
  it('tells how this process stands, and never the password', async () => {
    const own = await startRedis({ args: ['--requirepass', PASSWORD] });
    onTestFinished(() => own.stop());
    const manager = await fleetProject(own.url.replace('://', `://:${PASSWORD}@`)).manager();
    const fleet = () => manager.inspect().fleet;
    await expect.poll(fleet).toMatchObject({ size: 1, rank: 0, state: 'sharing' });
    expect(fleet()).not.toHaveProperty('lostSince');
    const killedAt = manager.now();
    await own.kill();
    await expect.poll(fleet, { timeout: 10_000 }).toMatchObject({ size: 1, state: 'alone' });
    expect(fleet()?.lostSince).toBeGreaterThanOrEqual(killedAt);
    const shown = inspect([manager.inspect(), manager.configuration, manager], { depth: 9 });
    expect(shown + JSON.stringify([manager.inspect(), manager.configuration])).not.toContain(PASSWORD);
    await own.restart({ keepData: true });
    await expect.poll(fleet, { timeout: 10_000 }).toMatchObject({ state: 'sharing' });
  });
});

describe('keymux status --watch of a fleet', () => {
  it('tells that the store is lost, and that it is back', async () => {
    const own = await startRedis();
    onTestFinished(() => own.stop());
    const project = fleetProject(own.url);
    const running = project.start(['status', '--watch']);
    await running.saw('fleet     0 processes');
    await own.kill();
    await running.saw(/✗ The Redis store .* cannot be used/);
    await own.restart({ keepData: true });
    await running.saw(/✗ The Redis store [^]*fleet {5}0 processes/);
    running.process.kill('SIGTERM');
    expect((await running.ended).code).toBe(143);
  });
});

describe('keymux keys in a fleet', () => {
  it('takes a key out of use in all its processes', async () => {
    const project = fleetProject();
    const manager = await project.manager();
    const { code } = await project.keymux(['keys', 'disable', 'acme/main']);
    expect(code).toBe(0);
    await expect.poll(() => manager.inspect().keys[0]?.state).toBe('disabled');
  });

  it('changes nothing without the store, and says so', async () => {
    const project = fleetProject(`redis://:${PASSWORD}@127.0.0.1:1`);
    const { code, stderr } = await project.keymux(['keys', 'disable', 'acme/main']);
    expect(code).toBe(1);
    expect(stderr).toContain('Nothing was changed.');
  });
});

describe('keymux doctor of a fleet', () => {
  it('looks into the Redis', async () => {
    const { stdout } = await fleetProject().keymux(['doctor']);
    expect(stdout).toContain(`✓ ok    store: redis opens and writes: ${server.url}`);
    expect(stdout).toContain('! warn  redis-persistence: The append-only file is off');
    expect(stdout).toContain('✓ ok    redis-rights');
    expect(stdout).not.toContain('state-modes');
  });

  it('fails where it cannot be reached, or refuses the password', async () => {
    const unreachable = await fleetProject(`redis://:${PASSWORD}@127.0.0.1:1`).keymux(['doctor', '--json']);
    expect([unreachable.code, unreachable.stderr]).toEqual([1, '']);
    const { checks } = JSON.parse(unreachable.stdout) as { checks: Check[] };
    expect(checks.filter(({ status }) => status === 'fail')).toEqual([
      expect.objectContaining({
        name: 'store',
        message: expect.stringContaining('refuses connections') as string,
      }),
    ]);
    expect(checks.at(-1)?.name).toBe('clients');
    const refused = await fleetProject(server.url.replace('://', `://:${CANARY}-wrong@`)).keymux(['doctor']);
    expect(refused.code).toBe(1);
    expect(refused.stdout).toMatch(/✗ fail {2}store: .* it refuses the user or the password/);
  });
});
