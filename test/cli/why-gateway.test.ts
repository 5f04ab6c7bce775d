import { once } from 'node:events';
import type { DecisionRecord, RequestExplanation } from '#keymux/core/decision.js';
import { refuse } from '#keymux/testing/script.js';
import { startSimulator } from '#keymux/testing/simulator.js';
import { describe, expect, it, onTestFinished } from 'vitest';
import { CANARY, acmeProject } from './keymux-process.js';
import type { Project, Result } from './keymux-process.js';

const TOKENS = { use: `kmx_use_${'u'.repeat(30)}`, admin: `kmx_admin_${'a'.repeat(30)}` };

interface Running {
  /** Asks the gateway, as a person on this machine would. */
  keymux(...args: readonly string[]): Promise<Result>;
  /** Sends one request and tells its id. */
  send(): Promise<string>;
  readonly project: Project;
  stop(): Promise<void>;
}

/** A gateway process whose provider revoked the first of two keys; every process keeps its own state. */
async function running(): Promise<Running> {
  const simulator = await startSimulator({
    auth: { in: 'header', name: 'x-api-key' },
    keys: {
      [`${CANARY}-one`]: { name: 'one', always: refuse('rejected') },
      [`${CANARY}-two`]: { name: 'two' },
    },
  });
  onTestFinished(() => simulator.close());
  const project = acmeProject(`
services:
  data: { providers: [acme] }
providers:
  acme:
    baseUrl: ${simulator.origin}
    auth: { in: header, name: x-api-key }
store: { type: sqlite, path: ./store/state.db }
`);
  const env = { KEYMUX_GATEWAY_TOKENS: Object.values(TOKENS).join(',') };
  const gateway = project.start(['serve', '--port', '0'], env);
  let said = '';
  gateway.process.stderr?.on('data', (text: string) => (said += text));
  while (!said.includes('answers for:')) {
    await Promise.race([once(gateway.process.stderr ?? gateway.process, 'data'), gateway.ended]);
    if (gateway.process.exitCode !== null) throw new Error(said);
  }
  const origin = /listens on (\S+)/.exec(said)?.[1] ?? '';
  const asking = { KEYMUX_GATEWAY_URL: origin, KEYMUX_GATEWAY_TOKEN: TOKENS.admin };
  return {
    project,
    keymux: (...args) => project.keymux(args, asking),
    send: async () => {
      const response = await fetch(`${origin}/data/v1/things`, { headers: { 'x-api-key': TOKENS.use } });
      expect(response.status).toBe(200);
      return response.headers.get('x-request-id') ?? '';
    },
    stop: async () => {
      gateway.process.kill('SIGTERM');
      await gateway.ended;
    },
  };
}

describe('a gateway that runs', () => {
  it('tells why a request got the key that it got', async () => {
    const { keymux, send } = await running();
    const first = await send();
    const second = await send();
    const why = await keymux('why', first);
    expect([why.code, why.stderr]).toEqual([0, '']);
    expect(why.stdout).toContain(first);
    expect(why.stdout).toMatch(/● answered after .*, 2 attempts/);
    expect(why.stdout).toMatch(/attempt 1 \(priority\): acme\/main, rejected \(status 401/);
    expect(why.stdout).toMatch(/attempt 2 \(priority\): acme\/2, success/);
    const last = await keymux('why', '--last', '1', '--service', 'data', '--json');
    const [request] = JSON.parse(last.stdout) as RequestExplanation[];
    expect(request).toMatchObject({ requestId: second, end: 'answered', attempts: [{ chosen: 'acme/2' }] });
    const unknown = await keymux('why', 'x-1-1');
    expect(unknown.code).toBe(2);
    expect(unknown.stderr).toContain('There is no request "x-1-1"');
  });

  it('replays what it decided under another policy', async () => {
    const { keymux, send } = await running();
    await send();
    const report = await keymux('replay', '--set', 'providers.acme.keys.2.priority=0');
    expect([report.code, report.stderr]).toEqual([0, '']);
    expect(report.stdout).toContain('1 request within');
    expect(report.stdout).toMatch(/attempts on failing keys +1 +0 +1 saved, 0 added/);
  });

  it('tells what it met itself, which others only hear of', async () => {
    const { keymux, project, send, stop } = await running();
    await send();
    const factOf = ({ stdout }: Result): object | undefined =>
      (JSON.parse(stdout) as { candidates: { key: string; fact?: object }[] }).candidates.find(
        ({ key }) => key === 'acme/main',
      )?.fact;
    const explained = await keymux('explain', 'data', '--json');
    expect(explained.code).toBe(0);
    expect(factOf(explained)).toMatchObject({ subject: 'acme/main', seen: 'here', status: 401 });
    const shown = await keymux('explain', 'data');
    expect(shown.stdout).toMatch(/acme\/main +rejected, .*guessed .* before/);
    await stop();
    // Whoever finds it gone says what the store tells.
    const alone = await project.keymux(['explain', 'data', '--json'], { KEYMUX_GATEWAY_URL: 'off' });
    expect(factOf(alone)).toMatchObject({ subject: 'acme/main', seen: 'elsewhere' });
    const gone = await keymux('explain', 'data', '--json');
    expect(factOf(gone)).toMatchObject({ seen: 'elsewhere' });
    expect((await keymux('why', '--last', '1')).stderr).toContain('No gateway answers at');
  }, 60_000);

  it('knows of every request as soon as that is over', async () => {
    const { keymux, send } = await running();
    const ids = [await send(), await send(), await send()];
    const { stdout } = await keymux('why', '--last', '9', '--json');
    const requests = JSON.parse(stdout) as DecisionRecord['requests'];
    expect(requests.map(({ requestId }) => requestId)).toEqual(ids);
  });
});

describe('keymux explain', () => {
  it('says which services there are, and the nearest name', async () => {
    const { code, stderr } = await acmeProject().keymux(['explain', 'dta']);
    expect(code).not.toBe(0);
    expect(stderr).toContain('There is no service or provider "dta".');
    expect(stderr).toContain('Did you mean "data"? Known: data, acme.');
  });

  it('says what to do where nothing is configured', async () => {
    const project = acmeProject('store: { type: memory }\n');
    const { code, stderr } = await project.keymux(['explain', 'data'], {
      ACME_API_KEY: '',
      ACME_API_KEY_2: '',
    });
    expect(code).not.toBe(0);
    expect(stderr).toContain('Set the key of a provider in the environment, or run `keymux init`.');
  });

  it('ends with its own code where every key is out', async () => {
    const project = acmeProject();
    const manager = await project.manager();
    for (const id of ['acme/main', 'acme/2']) manager.disable(id);
    await manager.shutdown();
    const { code, stdout } = await project.keymux(['explain', 'data']);
    expect(code).toBe(6);
    expect(stdout).toContain('✗ no key of data can be used now');
  });
});
