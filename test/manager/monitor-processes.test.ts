import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { startSimulator } from '#keymux/testing/simulator.js';
import type { Simulator } from '#keymux/testing/simulator-api.js';
import { describe, expect, it, onTestFinished } from 'vitest';
import { acmeEnv } from './acme.js';
import { serveProvider } from './provider-server.js';

const soon = { timeout: 30_000, interval: 20 };
const auth = { in: 'header', name: 'x-api-key' } as const;
const KEYS = ['key-one', 'key-two', 'key-three'];
const REJECTED = { kind: 'rejected', scope: 'key', executed: 'no' };
const EVERY_MS = 300;
const BUDGET = 3;

interface Told {
  readonly event: string;
  readonly change?: string;
  readonly subject?: string;
  readonly outcome?: string;
  readonly value?: unknown;
}

function stateDirectory(): string {
  const directory = mkdtempSync(join(tmpdir(), 'keymux-monitor-'));
  onTestFinished(() => rmSync(directory, { recursive: true, force: true }));
  return directory;
}

function startWatched(directory: string, baseUrl: string, probe: object = {}) {
  const member = fileURLToPath(new URL('./members/watched.mjs', import.meta.url));
  const settings = {
    env: acmeEnv(KEYS),
    config: {
      healthCheckIntervalMs: 100,
      providers: {
        acme: {
          baseUrl,
          auth,
          env: ['ACME_API_KEY'],
          probe: { path: '/ping', everyMs: EVERY_MS, dailyBudget: 1_000, costsQuota: 'no', ...probe },
        },
      },
    },
  };
  const child = spawn(process.execPath, [member, JSON.stringify(settings)], {
    stdio: ['pipe', 'pipe', 'inherit'],
    env: { ...process.env, KEYMUX_STATE_DIR: directory },
  });
  const closed = once(child, 'close');
  onTestFinished(async () => {
    child.kill('SIGCONT');
    child.kill('SIGKILL');
    await closed;
  });
  const told: Told[] = [];
  const waiting: ((value: unknown) => void)[] = [];
  createInterface({ input: child.stdout }).on('line', (line) => {
    const message = JSON.parse(line) as Told;
    if (message.event === 'answer') waiting.shift()?.(message.value);
    else told.push(message);
  });
  const changes = (): unknown[] => told.filter(({ event }) => event === 'leader').map(({ change }) => change);
  return {
    child,
    closed,
    told,
    call: (method: string, ...args: unknown[]): Promise<unknown> => {
      child.stdin.write(`${JSON.stringify([method, ...args])}\n`);
      return new Promise((resolve) => waiting.push(resolve));
    },
    get isReady() {
      return told.some(({ event }) => event === 'ready');
    },
    get leads() {
      return changes().at(-1) === 'began';
    },
    changes,
  };
}

type Watched = ReturnType<typeof startWatched>;

async function startFleet(
  count: number,
  directory: string,
  baseUrl: string,
  probe: object = {},
): Promise<Watched[]> {
  const fleet = Array.from({ length: count }, () => startWatched(directory, baseUrl, probe));
  await expect.poll(() => fleet.every(({ isReady }) => isReady), { ...soon, timeout: 60_000 }).toBe(true);
  return fleet;
}

async function leaderOf(fleet: readonly Watched[]): Promise<Watched> {
  await expect.poll(() => fleet.filter(({ leads }) => leads).length, soon).toBe(1);
  const leader = fleet.find(({ leads }) => leads);
  if (leader === undefined) expect.unreachable();
  return leader;
}

function timesOf(simulator: Simulator, key: string): number[] {
  return simulator.requests.filter((request) => request.key === key).map(({ at }) => at);
}

function expectPauses(times: readonly number[]): void {
  for (const [index, at] of times.slice(1).entries()) {
    // A request may take a little longer on its way than the one before it.
    expect(at - (times[index] ?? 0)).toBeGreaterThan(EVERY_MS - 50);
  }
}

describe('eleven processes with the same keys', () => {
  it('elect one that probes, within one budget, also after it is killed; a key comes back by probes alone', async () => {
    const keys = { 'key-one': { name: 'one' }, 'key-two': { name: 'two' }, 'key-three': { name: 'three' } };
    await using simulator = await startSimulator({ auth, keys });
    simulator.key('two').revoke();
    simulator.key('three').revoke();
    const directory = stateDirectory();
    const fleet = await startFleet(11, directory, simulator.origin, { dailyBudget: BUDGET });
    const leader = await leaderOf(fleet);
    const [other] = fleet.filter((member) => member !== leader);
    await other?.call('report', 'acme/2', REJECTED);
    await expect.poll(() => timesOf(simulator, 'two').length, soon).toBe(BUDGET);
    expect(await leader.call('leaders')).toHaveLength(1);
    expect(fleet.flatMap(({ changes }) => changes())).toEqual(['began']);

    leader.child.kill('SIGKILL');
    await leader.closed;
    const rest = fleet.filter((member) => member !== leader);
    const next = await leaderOf(rest);
    await other?.call('report', 'acme/3', REJECTED);
    await expect.poll(() => timesOf(simulator, 'three').length, soon).toBe(1);
    simulator.key('three').restore();
    await expect
      .poll(() => Promise.all(rest.map((member) => member.call('states'))), soon)
      .toSatisfy((states: Record<string, string>[]) =>
        states.every((each) => each['acme/3'] === 'returning'),
      );
    expect(next.told).toContainEqual(expect.objectContaining({ event: 'recovered', subject: 'acme/3' }));
    // The new leader looked at both, and found no budget left for the other one.
    expect(timesOf(simulator, 'two')).toHaveLength(BUDGET);
    expect(rest.flatMap(({ changes }) => changes())).toEqual(['began']);
    expect(simulator.requests.every(({ path, key }) => path === '/ping' && key !== 'one')).toBe(true);
    for (const key of ['two', 'three']) expectPauses(timesOf(simulator, key));
  }, 120_000);
});

describe('a leader that was stopped for longer than its time', () => {
  it('changes nothing when it goes on: neither with the answer it waited for, nor with what it writes', async () => {
    const held: (() => void)[] = [];
    const server = await serveProvider((_, response) => {
      held.push(() => response.writeHead(200).end('{}'));
    });
    const fleet = await startFleet(3, stateDirectory(), server.origin);
    const leader = await leaderOf(fleet);
    await leader.call('report', 'acme/2', REJECTED);
    await expect.poll(() => held.length, soon).toBe(1);
    leader.child.kill('SIGSTOP');
    const rest = fleet.filter((member) => member !== leader);
    const next = await leaderOf(rest);
    held[0]?.();
    leader.child.kill('SIGCONT');
    await expect.poll(() => leader.changes(), soon).toEqual(['began', 'ceased']);
    expect(await leader.call('publishUnderOldFence')).toBe('KEYMUX_FENCED');
    for (const member of fleet) {
      expect(await member.call('states')).toMatchObject({ 'acme/main': 'unproven', 'acme/2': 'rejected' });
    }
    expect(leader.told.filter(({ event }) => event === 'recovered')).toEqual([]);
    expect(leader.leads).toBe(false);
    expect(next.leads).toBe(true);
    expect(await next.call('publishUnderOldFence')).toBe('stored');
  }, 60_000);
});

describe('a program whose manager leads', () => {
  it('ends when it has nothing else to do', async () => {
    await using simulator = await startSimulator({ auth, keys: {} });
    const [program] = await startFleet(1, stateDirectory(), simulator.origin, { everyMs: 3_600_000 });
    if (program === undefined) expect.unreachable();
    await program.call('report', 'acme/2', REJECTED);
    await expect.poll(() => program.told.some(({ event }) => event === 'probe'), soon).toBe(true);
    expect(program.leads).toBe(true);
    program.child.stdin.end();
    expect(await program.closed).toEqual([0, null]);
  }, 60_000);
});
