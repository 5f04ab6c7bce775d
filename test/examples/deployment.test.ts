/** The files of examples/deployment, checked without a container engine and without systemd as process 1. */
import { generateIdentity } from 'age-encryption';
import { spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import http from 'node:http';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it, onTestFinished } from 'vitest';
import { parse, parseAllDocuments, stringify } from 'yaml';
import { KeyManager } from '#keymux/manager/key-manager.js';
import { refuse, startSimulator } from '#keymux/testing.js';
import type { Simulator } from '#keymux/testing.js';
import { changeVault, createVault, readVault } from '#keymux/vault.js';
import { Project } from '../cli/keymux-process.js';
import type { Running } from '../cli/keymux-process.js';

const root = fileURLToPath(new URL('../../', import.meta.url));
const fileOf = (name: string): string => readFileSync(join(root, 'examples/deployment', name), 'utf8');

const TOKEN = 'kmx_use_for-the-programs-of-this-test-0000000000000';

/** What follows an instruction of the Dockerfile, the last one of its kind. */
function instruction(name: string): string {
  const lines = fileOf('Dockerfile').split('\n');
  const line = lines.findLast((text) => text.startsWith(`${name} `));
  if (line === undefined) throw new Error(`The Dockerfile has no ${name}.`);
  return line.slice(name.length + 1);
}

const command = JSON.parse(instruction('CMD')) as readonly string[];
const healthCheck = JSON.parse(/CMD (\[.*\])$/.exec(instruction('HEALTHCHECK'))?.[1] ?? '') as readonly [
  string,
  ...string[],
];
const graceSeconds = Number(command[command.indexOf('--grace') + 1]);

async function provider(): Promise<Simulator> {
  const simulator = await startSimulator({
    flavour: 'openai',
    keys: { 'key-one': { name: 'one', always: refuse(401) }, 'key-two': { name: 'two' } },
  });
  onTestFinished(() => simulator.close());
  return simulator;
}

/** A configuration of the examples, with places of this machine. */
function configured(name: string, simulator: Simulator, places: Readonly<Record<string, string>>): string {
  let text = fileOf(name);
  for (const [place, here] of Object.entries(places)) text = text.replaceAll(place, here);
  const config = parse(text) as { providers: { openai: object }; store?: object };
  config.store = { type: 'memory' };
  config.providers.openai = { baseUrl: simulator.origin, ...config.providers.openai };
  return stringify(config);
}

async function listening(running: Running): Promise<string> {
  let said = '';
  while (!said.includes('answers for:')) {
    const [text] = (await Promise.race([
      once(running.process.stderr ?? running.process, 'data'),
      running.ended.then(({ stderr }) => Promise.reject(new Error(stderr))),
    ])) as [string];
    said += text;
  }
  return /listens on (\S+)/.exec(said)?.[1] ?? '';
}

describe('the image', () => {
  it('serves by the name it is given, says that it does, and ends in order', async () => {
    const simulator = await provider();
    const where = new Project({
      'secrets/openai_api_key': 'key-one',
      'secrets/openai_api_key_2': 'key-two',
      'secrets/gateway_tokens': `agent=${TOKEN}\n`,
    });
    const secrets = where.path('secrets');
    const config = configured('keymux.config.yaml', simulator, { '/run/secrets': secrets });
    writeFileSync(where.path('keymux.config.yaml'), config);
    mkdirSync(where.path('node_modules'));
    symlinkSync(root, where.path('node_modules/keymux'));

    expect([command[0], healthCheck[0]]).toEqual(['node', 'node']);
    const args = command.slice(1).map((word) => word.replace('/run/secrets', secrets));
    const env = { KEYMUX_CONFIG: where.path('keymux.config.yaml') };
    const running = where.startProgram(process.execPath, [...args, '--port', '0'], env);
    const { port } = new URL(await listening(running));
    const isHealthy = async (): Promise<boolean> => {
      const probe = healthCheck.slice(1).map((word) => word.replace('4800', port));
      return (await where.startProgram(process.execPath, probe).ended).code === 0;
    };

    expect(await isHealthy()).toBe(true);
    const headers = { host: 'keymux:4800', authorization: `Bearer ${TOKEN}` };
    const request = http.get(`http://127.0.0.1:${port}/openai/v1/models`, { headers });
    const [answer] = (await once(request, 'response')) as [http.IncomingMessage];
    answer.resume();
    expect(answer.statusCode).toBe(200);
    expect(simulator.requests.map(({ key }) => key)).toEqual(['one', 'two']);

    running.process.kill('SIGTERM');
    expect((await running.ended).code).toBe(0);
    expect(await isHealthy()).toBe(false);
  });

  it('gets from compose what it needs, and time to end', () => {
    const { services, secrets, volumes } = parse(fileOf('compose.yaml'));
    const { keymux, agent } = services;
    const needed = [...(fileOf('keymux.config.yaml') + command.join(' ')).matchAll(/\/run\/secrets\/(\w+)/g)];
    expect(needed.map(([, name]) => name).toSorted()).toEqual(keymux.secrets.toSorted());
    expect(keymux.secrets.toSorted()).toEqual(Object.keys(secrets).toSorted());
    expect(keymux.volumes).toEqual([`${Object.keys(volumes)[0]}:${instruction('VOLUME')}`]);
    expect(agent.environment.OPENAI_BASE_URL).toBe(`http://keymux:${instruction('EXPOSE')}/openai/v1`);
    expect(command).toContain(new URL(agent.environment.OPENAI_BASE_URL).hostname);
    expect(agent.depends_on).toEqual({ keymux: { condition: 'service_healthy' } });
    expect(Number.parseInt(keymux.stop_grace_period, 10)).toBeGreaterThan(graceSeconds);
  });

  it('gets from Kubernetes what it needs, and time to end', () => {
    const [deployment, service] = parseAllDocuments(fileOf('kubernetes.yaml')).map((part) => part.toJS());
    const { spec } = deployment.spec.template;
    const [container] = spec.containers;
    const port = Number(instruction('EXPOSE'));
    expect(container.readinessProbe.httpGet).toEqual({ path: '/-/health', port });
    expect(service.spec.ports).toEqual([{ port }]);
    expect(service.spec.selector).toEqual(deployment.spec.template.metadata.labels);
    const sleepSeconds = Number(container.lifecycle.preStop.exec.command[1]);
    expect(spec.terminationGracePeriodSeconds).toBeGreaterThan(graceSeconds + sleepSeconds);
    const mounted = container.volumeMounts.map(({ name }: { name: string }) => name);
    expect(mounted).toEqual(spec.volumes.map(({ name }: { name: string }) => name));
    const places = container.volumeMounts.map(({ mountPath }: { mountPath: string }) => mountPath);
    expect(places).toEqual(expect.arrayContaining(['/run/secrets', instruction('VOLUME')]));
  });
});

describe('the unit', () => {
  const unit = fileOf('keymux.service');
  const setting = (name: string): string =>
    new RegExp(`^${name}=(.*)$`, 'm').exec(unit)?.[1] ?? `no ${name} in the unit`;

  it('opens its vault with a credential of systemd', async () => {
    const [name, source] = setting('LoadCredential').split(':');
    const stateDir = `/var/lib/${setting('StateDirectory')}`;
    expect(source).toMatch(/^\/etc\//);
    expect(unit).toContain(`Environment=KEYMUX_STATE_DIR=${stateDir}\n`);

    const simulator = await provider();
    const where = new Project({ [`credentials/${name}`]: await generateIdentity() });
    const vault = {
      path: where.path('state/keymux.vault'),
      key: `exec:cat ${where.path(`credentials/${name}`)}`,
    };
    mkdirSync(where.path('state'), { mode: 0o700 });
    const access = { ...vault, env: where.env };
    await createVault(access);
    await changeVault((draft) => {
      draft.set('openai/main', 'key-one');
      draft.set('openai/spare', 'key-two');
    }, access);
    // As systemd has it: an access list for the user of the service, which shows as rights of the group.
    chmodSync(where.path(`credentials/${name}`), 0o440);
    const config = configured('keymux-vault.config.yaml', simulator, {
      '/run/credentials/keymux.service': where.path('credentials'),
      [stateDir]: where.path('state'),
    });
    writeFileSync(where.path('keymux.config.yaml'), config);
    const env = { ...where.env, KEYMUX_CONFIG: where.path('keymux.config.yaml') };
    const manager = new KeyManager({ cwd: where.folder, env });
    onTestFinished(() => manager.shutdown());
    expect((await manager.fetch('openai', '/v1/models')).status).toBe(200);
    expect(simulator.requests.map(({ key }) => key)).toEqual(['one', 'two']);
    await expect(
      readVault({ ...access, key: vault.key.replace('exec:cat ', 'file:') }),
    ).rejects.toMatchObject({ code: 'KEYMUX_VAULT_LOCKED' });
  });

  it('gives requests under way their time, and is as systemd wants it', () => {
    const exec = setting('ExecStart');
    expect(exec).toMatch(/^\/usr\/bin\/node \/opt\/keymux\/node_modules\/keymux\/dist\/bin\.js serve /);
    expect(Number(setting('TimeoutStopSec'))).toBeGreaterThan(Number(/--grace (\d+)/.exec(exec)?.[1]));

    const where = new Project({
      'keymux.service': unit
        .replace('/usr/bin/node', process.execPath)
        .replace('/opt/keymux/node_modules/keymux', root.replace(/\/$/, '')),
    });
    for (const args of [['verify'], ['security', '--offline=true', '--no-pager', '--threshold=20']]) {
      const checked = spawnSync('systemd-analyze', [...args, where.path('keymux.service')], {
        encoding: 'utf8',
      });
      // Not every system has it; what it says where it is there counts.
      if (checked.error !== undefined) return;
      expect([checked.status, checked.stderr], args[0]).toEqual([0, '']);
    }
  });
});
