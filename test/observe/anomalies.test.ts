import { spawn } from 'node:child_process';
import { channel } from 'node:diagnostics_channel';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { createServer, get } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { newBaselines } from '#keymux/core/anomaly-baselines.js';
import { SLOT_MS } from '#keymux/core/anomaly-history.js';
import { meetName, newNames } from '#keymux/core/anomaly-newcomers.js';
import type { AnomalyEvent } from '#keymux/manager/events.js';
import { watchAnomalies } from '#keymux/observe/anomalies.js';
import { AnomalyFile } from '#keymux/observe/anomaly-file.js';
import { routeOf } from '#keymux/observe/anomaly-routes.js';
import { AnomalyWatch, programName } from '#keymux/observe/anomaly-watch.js';
import { createMetrics } from '#keymux/observe/metrics.js';
import { createSqliteStore } from '#keymux/stores/sqlite/store.js';
import { describe, expect, it, onTestFinished } from 'vitest';
import { createVault } from '#keymux/config/vault-write.js';
import { vaultPlace } from '../config/vault-place.js';
import { acmeConfig, acmeManager } from '../manager/acme.js';
import type { AcmeOptions } from '../manager/acme.js';
import { startReceiver, told, watched } from './alert-receiver.js';

const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;
const START = Date.UTC(2027, 0, 4);
/** So long between two looks counts as watched. */
const LOOK_SLOTS = 3;
const soon = { timeout: 15_000, interval: 10 };

function ownFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'keymux-anomalies-'));
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

/** A watch over a manager, that has learnt for three weeks: ten requests of the first key every quarter of an hour by day. */
function learnt(acme: AcmeOptions = {}) {
  const manager = acmeManager(acme);
  const watch = new AnomalyWatch(manager, newBaselines(), 'program jobs/a.js on here');
  onTestFinished(() => watch.close());
  let at = START;
  const use = (key: string, requests: number): void => {
    for (let count = 0; count < requests; count += 1) manager.report(key, 'success');
  };
  watch.look(at, undefined);
  for (; at < START + 21 * DAY_MS; at += LOOK_SLOTS * SLOT_MS) {
    const hour = (at % DAY_MS) / HOUR_MS;
    if (hour >= 8 && hour < 18) use('acme/main', 10);
    expect(watch.look(at, undefined)).toEqual([]);
  }
  return { manager, watch, use, at };
}

const briefly = (found: readonly AnomalyEvent[]): string[] =>
  found.map(({ kind, subject }) => `${kind} ${subject}`);

describe('the watch over the use of keys', () => {
  it('finds a rate that is unusual for a key, and names it', () => {
    const { watch, use, at } = learnt();
    use('acme/main', 400);
    const found = watch.look(at + 10 * HOUR_MS, undefined);
    expect(briefly(found)).toEqual(['rate acme/main']);
    expect(found[0]).toMatchObject({ value: 400, threshold: 30, at: at + 10 * HOUR_MS });
  });

  it('finds it for a declared service, and does not tell it of its key once more', () => {
    const { watch, use, at } = learnt({ services: { quotes: { providers: ['acme'] } } });
    use('acme/main', 400);
    expect(briefly(watch.look(at + 10 * HOUR_MS, undefined))).toEqual(['rate quotes']);
  });

  it('takes requests that moved to another key for usual', () => {
    const { watch, use, at } = learnt();
    // The first key rests, and the second one takes all that it did.
    use('acme/main', 20);
    watch.look(at + 10 * HOUR_MS, undefined);
    let found: readonly AnomalyEvent[] = [];
    for (let slot = 1; slot < 6; slot += 1) {
      use('acme/2', 10);
      found = [...found, ...watch.look(at + 10 * HOUR_MS + slot * SLOT_MS, undefined)];
    }
    expect(found).toEqual([]);
  });

  it('finds use in the night', () => {
    const { watch, use, at } = learnt();
    use('acme/main', 6);
    expect(briefly(watch.look(at + 2 * HOUR_MS, undefined))).toEqual(['hours acme/main']);
  });

  it('finds another program, another module, and another token', () => {
    const { manager, watch, use, at } = learnt();
    const morning = at + 9 * HOUR_MS;
    const note = (by?: string): void =>
      manager.accesses.note(by === undefined ? 'library' : 'request', 'acme', 'acme/main', by);
    note();
    const found = watch.look(morning, undefined);
    expect(briefly(found)).toEqual(['new-caller acme/main']);
    expect(found[0]?.evidence).toContain('used by module ');
    note('gateway token ci');
    expect(watch.look(morning + 1_000, undefined)).toEqual([]);
    note('gateway token other');
    const [other] = watch.look(morning + 2 * HOUR_MS, undefined);
    expect(other?.evidence).toBe('It is used by gateway token other for the first time; 3 others are known.');
    use('acme/main', 1);
    expect(watch.look(morning + 3 * HOUR_MS, undefined)).toEqual([]);
  });

  it('finds a token that sends far more than it did', () => {
    const manager = acmeManager();
    const watch = new AnomalyWatch(manager, newBaselines());
    onTestFinished(() => watch.close());
    const note = (times: number): void => {
      for (let count = 0; count < times; count += 1)
        manager.accesses.note('request', 'acme', 'acme/main', 'gateway token ci');
    };
    for (let slot = 0; slot < 8 * 288; slot += LOOK_SLOTS) {
      note((slot / LOOK_SLOTS) % 3);
      expect(watch.look(START + slot * SLOT_MS, undefined)).toEqual([]);
    }
    note(200);
    const found = watch.look(START + 8 * DAY_MS, undefined);
    expect(briefly(found)).toEqual(['rate acme']);
    expect(found[0]?.evidence).toMatch(/^gateway token ci: 200 requests/);
  });

  it('finds a route that requests never took, for both clients, and shows no key', async () => {
    const server = createServer((_, response) => void response.end('ok'));
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    onTestFinished(() => void server.close());
    const baseUrl = `http://127.0.0.1:${String((server.address() as AddressInfo).port)}`;
    const manager = acmeManager({ baseUrl, keys: ['canaryabc'] });
    const baselines = newBaselines();
    const known = newNames(START);
    for (let day = 0; day < 7; day += 1) meetName(known, `${baseUrl}/v1/chat`, 10, START + day * DAY_MS);
    baselines.routes.set('acme', known);
    const watch = new AnomalyWatch(manager, baselines);
    onTestFinished(() => watch.close());
    const at = START + 8 * DAY_MS;
    await (await manager.fetch('acme', '/v1/chat/x?key=1')).text();
    expect(briefly(watch.look(at, undefined))).toEqual([]);
    await (await manager.fetch('acme', '/v1/files/one')).text();
    await (await manager.fetch('acme', '/v1/files/two')).text();
    const [found] = watch.look(at + 1_000, undefined);
    expect(found).toMatchObject({ kind: 'new-origin', subject: 'acme' });
    expect(found?.evidence).toBe(
      `Requests go to ${baseUrl}/v1/files for the first time; 1 other routes are known.`,
    );
    const request = get(`${baseUrl}/canaryabc/admin`, { agent: false });
    const [response] = (await once(request, 'response')) as [NodeJS.ReadableStream];
    response.resume();
    const [second] = watch.look(at + 2 * HOUR_MS, undefined);
    expect(second?.evidence).toContain(`${baseUrl}/*/admin`);
    await fetch(`${baseUrl.replace('127.0.0.1', 'localhost')}/elsewhere`).catch(() => {});
    expect(watch.look(at + 4 * HOUR_MS, undefined)).toEqual([]);
  });

  it('tells of a key that was to go elsewhere, once an hour', () => {
    const watch = new AnomalyWatch(acmeManager(), newBaselines());
    onTestFinished(() => watch.close());
    const at = START;
    const refused = channel('keymux:origin-refused');
    refused.publish({ provider: 'acme', origin: 'https://evil.test' });
    refused.publish({ provider: 'acme', origin: 'https://evil.test' });
    refused.publish({ provider: 'acme' });
    const found = watch.look(at, undefined);
    expect(found.map(({ evidence }) => evidence)).toEqual([
      'A key of acme was to go to https://evil.test; the request was refused and not sent.',
      'A key of acme was to go to a destination that cannot be seen; the request was refused and not sent.',
    ]);
    refused.publish({ provider: 'acme', origin: 'https://evil.test' });
    expect(watch.look(at + 1_000, undefined)).toEqual([]);
    refused.publish({ provider: 'acme', origin: 'https://evil.test' });
    expect(briefly(watch.look(at + HOUR_MS, undefined))).toEqual(['new-origin acme']);
  });

  it('remembers 500 refused origins, and not one more', () => {
    const watch = new AnomalyWatch(acmeManager(), newBaselines());
    onTestFinished(() => watch.close());
    const at = START;
    const refused = channel('keymux:origin-refused');
    const tell = (from: number, to: number): number => {
      for (let count = from; count < to; count += 1)
        refused.publish({ provider: 'acme', origin: `https://${'long'.repeat(40)}.${count}.test` });
      return watch.look(at, undefined).length;
    };
    // Their beginnings are the same.
    expect(tell(0, 3)).toBe(1);
    for (let count = 0; count < 499; count += 1)
      refused.publish({ provider: 'acme', origin: `https://${count}.test` });
    expect(watch.look(at, undefined)).toHaveLength(499);
    expect(tell(0, 1)).toBe(0);
    refused.publish({ provider: 'acme', origin: 'https://500.test' });
    expect(watch.look(at, undefined)).toHaveLength(1);
    expect(tell(0, 1)).toBe(1);
  });

  it('calls a program by its folder and file', () => {
    expect(programName('/srv/app/jobs/nightly.js', 'worker-3')).toMatch(
      /^program jobs\/nightly\.js.* on worker-3$/,
    );
    expect(programName(undefined, 'h')).toMatch(/^program node.* on h$/);
    const { title } = process;
    onTestFinished(() => void (process.title = title));
    process.title = 'billing --password=x';
    expect(programName('/srv/app/a.js', 'h')).toBe('program app/a.js (billing) on h');
    process.title = 'node a.js';
    expect(programName('/srv/app/a.js', 'h')).toBe('program app/a.js on h');
  });

  it.each([
    ['/v1/chat/completions', '/v1/chat'],
    ['/v1beta/models/gemini:generate?key=x', '/v1beta/models'],
    ['/bot123:abc/send', '/*/send'],
    ['/users/8f3a9c21', '/users/*'],
    ['/', ''],
  ])('reads the route of %s as "%s"', (path, route) => {
    expect(routeOf(path, () => false)).toBe(route);
  });
});

describe('what is usual', () => {
  const key = new Uint8Array(32).fill(7);
  const baselinesWith = (subject: string) => {
    const baselines = newBaselines();
    baselines.callers.set(subject, newNames(START));
    return baselines;
  };

  it.each([
    ['in clear', undefined],
    ['sealed', key],
  ])('is kept %s, for this user alone, and is added to what others learnt', (_, sealing) => {
    const folder = ownFolder();
    const warnings: string[] = [];
    const file = (): AnomalyFile => new AnomalyFile(folder, 'x', sealing, (text) => void warnings.push(text));
    file().save(baselinesWith('acme/main'));
    file().save(baselinesWith('acme/2'));
    expect([...file().read().callers.keys()]).toEqual(['acme/2', 'acme/main']);
    expect(statSync(file().path).mode & 0o777).toBe(0o600);
    expect(readFileSync(file().path, 'utf8').includes('acme')).toBe(sealing === undefined);
    expect(warnings).toEqual([]);
  });

  it('is taken over once there is a vault', () => {
    const folder = ownFolder();
    new AnomalyFile(folder, 'x', undefined, () => {}).save(baselinesWith('acme/main'));
    expect(new AnomalyFile(folder, 'x', key, () => {}).read().callers.size).toBe(1);
  });

  it.each([
    ['is no JSON', '{'],
    ['has another content', '{"keymux-anomalies":1,"content":{"uses":3}}'],
    ['was sealed with another key', 'sealed'],
    ['is far too large', ' '.repeat(16_777_217)],
  ])('is learnt anew where the file %s, which is set aside', (_, text) => {
    const folder = ownFolder();
    const warnings: string[] = [];
    const file = new AnomalyFile(folder, 'x', undefined, (warning) => void warnings.push(warning));
    if (text === 'sealed') new AnomalyFile(folder, 'x', key, () => {}).save(baselinesWith('a'));
    else {
      mkdirSync(join(folder, 'anomalies'));
      writeFileSync(file.path, text);
    }
    const before = readFileSync(file.path, 'utf8');
    expect(file.read()).toEqual(newBaselines());
    const [aside = ''] = readdirSync(join(folder, 'anomalies'));
    expect(aside).toContain('.damaged-');
    expect(readFileSync(join(folder, 'anomalies', aside), 'utf8')).toBe(before);
    expect(warnings).toHaveLength(1);
  });

  it('is not kept where that cannot be, which is said once', () => {
    const folder = join(ownFolder(), 'file');
    writeFileSync(folder, '');
    const warnings: string[] = [];
    const file = new AnomalyFile(folder, 'x', undefined, (warning) => void warnings.push(warning));
    file.save(newBaselines());
    file.save(newBaselines());
    expect(warnings).toEqual([expect.stringContaining('cannot be written')]);
  });
});

describe('watchAnomalies', () => {
  it('emits events, counts them, and keeps what it learnt until the next start', async () => {
    const folder = ownFolder();
    const env = { KEYMUX_STATE_DIR: folder };
    const store = createSqliteStore({
      now: () => performance.timeOrigin + performance.now(),
      onNotice: () => {},
      path: join(folder, 'state.db'),
    });
    const manager = acmeManager({ options: { store } });
    await manager.ready;
    const metrics = createMetrics(manager);
    onTestFinished(() => metrics.close());
    const events: AnomalyEvent[] = [];
    manager.on('anomaly', (event) => void events.push(event));
    let now = START;
    const options = { env, lookEveryMs: 5, now: () => now };
    const first = watchAnomalies(manager, options);
    const second = watchAnomalies(manager, options);
    await expect.poll(() => manager.accesses.isActive, soon).toBe(true);
    await second.stop();
    await second.stop();
    expect(manager.accesses.isActive).toBe(true);
    manager.accesses.note('request', 'acme', 'acme/main', 'gateway token ci');
    channel('keymux:origin-refused').publish({ provider: 'acme', origin: 'https://evil.test' });
    await expect.poll(() => briefly(events), soon).toEqual(['new-origin acme']);
    expect(await metrics.text()).toContain('keymux_anomalies_total{kind="new-origin"} 1');
    now += HOUR_MS;
    const saved = () =>
      readdirSync(folder).includes('anomalies') && readdirSync(join(folder, 'anomalies')).length;
    await expect.poll(saved, soon).toBe(1);
    await first.stop();
    expect(manager.accesses.isActive).toBe(false);
    const [name = ''] = readdirSync(join(folder, 'anomalies'));
    expect(readFileSync(join(folder, 'anomalies', name), 'utf8')).toContain('gateway token ci');
  });

  it('seals what it learnt with the vault, and keeps nothing where that is locked', async () => {
    const { folder, definition, access } = await vaultPlace();
    await createVault(access);
    const env = { KEYMUX_STATE_DIR: join(folder, 'state') };
    const learnAndStop = async (key: string): Promise<string[]> => {
      const now = (): number => performance.timeOrigin + performance.now();
      const store = createSqliteStore({ now, onNotice: () => {}, path: join(folder, 'state.db') });
      const config = { ...acmeConfig(), vault: { path: definition.path, key } };
      const manager = acmeManager({ options: { store, config } });
      await manager.ready;
      const warnings: string[] = [];
      const warn = (message: string): void => void warnings.push(message);
      const logger = { warn, info: warn };
      const detection = watchAnomalies(manager, { env, logger });
      manager.accesses.note('request', 'acme', 'acme/main', 'gateway token ci');
      await detection.stop();
      return warnings;
    };
    const kept = join(folder, 'state', 'anomalies');
    const locked = await learnAndStop(`file:${join(folder, 'nothing.key')}`);
    expect(locked).toEqual([expect.stringContaining('could not be looked at')]);
    expect(() => readdirSync(kept)).toThrow('ENOENT');
    expect(await learnAndStop(`file:${join(folder, 'vault.key')}`)).toEqual([]);
    const [name = ''] = readdirSync(kept);
    const text = readFileSync(join(kept, name), 'utf8');
    expect(JSON.parse(text)).toEqual({ 'keymux-anomalies': 1, sealed: expect.any(String) });
    expect(text).not.toContain('gateway');
  });

  it('ends with its manager, and keeps nothing where the store keeps nothing', async () => {
    const folder = ownFolder();
    const manager = acmeManager();
    const detection = watchAnomalies(manager, { env: { KEYMUX_STATE_DIR: folder }, lookEveryMs: 5 });
    await manager.shutdown();
    await expect.poll(() => manager.accesses.isActive, soon).toBe(false);
    await detection.stop();
    expect(readdirSync(folder)).toEqual([]);
  });
});

describe('an alert on anomalies', () => {
  it('is told through the webhook, with what to do, for its kinds only', async () => {
    const receiver = await startReceiver();
    const { manager } = watched({
      alerts: [{ when: 'anomaly', kinds: ['new-origin'], perMs: 1_000, webhook: receiver.url }],
    });
    await expect.poll(() => manager.accesses.isActive, soon).toBe(true);
    const event = { subject: 'acme', evidence: 'Seen.', at: manager.now() };
    manager.events.emit('anomaly', { ...event, kind: 'hours' });
    manager.events.emit('anomaly', { ...event, kind: 'new-origin' });
    await expect
      .poll(() => told(receiver.alerts), soon)
      .toEqual(['anomaly raised acme (new-origin)', 'anomaly recovered acme (new-origin)']);
    expect(receiver.alerts[0]).toMatchObject({ message: 'acme: Seen.', value: 1, threshold: 0 });
    expect(receiver.alerts[0]?.fix).toContain('Look which program asks for it');
    expect(receiver.alerts[1]?.message).toBe('acme (new-origin): nothing unusual was found within 1 second.');
  });

  it('looks for anomalies only while a rule asks for them', async () => {
    const { manager, log } = watched({ alerts: [{ when: 'keys-left', below: 5, log: true }] });
    await expect.poll(() => log, soon).toHaveLength(1);
    expect(manager.accesses.isActive).toBe(false);
  });
});

const SCRIPT = `
import { createServer } from 'node:http';
const server = createServer((_, response) => response.end('x')).listen(0, '127.0.0.1', () => {
  const headers = { 'x-api-key': process.env.ACME_API_KEY };
  const elsewhere = 'http://localhost:' + server.address().port;
  const send = () => fetch(elsewhere, { headers }).then(() => console.log('sent'), () => console.log('refused'));
  setInterval(send, 1_000);
});
process.stdin.resume().on('end', () => process.exit(0));
`;

describe('a program with a virtual key', () => {
  it('is reported where it sends it elsewhere, and keeps what was learnt when it ends', async () => {
    const folder = ownFolder();
    const real = 'CANARY-key-anomaly-7f2c';
    const config = {
      providers: {
        acme: {
          baseUrl: 'http://127.0.0.1:9',
          auth: { in: 'header', name: 'x-api-key' },
          env: ['ACME_API_KEY'],
          mode: 'virtual',
        },
      },
      alerts: [{ when: 'anomaly', log: true }],
    };
    writeFileSync(join(folder, 'program.mjs'), SCRIPT);
    writeFileSync(join(folder, 'keymux.json'), JSON.stringify(config), { mode: 0o600 });
    const preload = new URL('../../dist/register.js', import.meta.url).href;
    const child = spawn(process.execPath, ['--import', preload, 'program.mjs'], {
      cwd: folder,
      env: {
        PATH: process.env['PATH'],
        ACME_API_KEY: real,
        KEYMUX_CONFIG: join(folder, 'keymux.json'),
        KEYMUX_STATE_DIR: join(folder, 'state'),
      },
    });
    onTestFinished(() => void child.kill('SIGKILL'));
    let said = '';
    for (const stream of [child.stdout, child.stderr])
      stream.on('data', (chunk: Buffer) => (said += chunk.toString()));
    await expect.poll(() => said, { ...soon, timeout: 40_000 }).toContain('Alert anomaly raised: acme: ');
    expect(said).toContain('refused');
    child.stdin.end();
    await once(child, 'close');
    expect(readdirSync(join(folder, 'state', 'anomalies'))).toHaveLength(1);
    expect(said).not.toContain(real);
  }, 60_000);
});
