/** Programs that know nothing of keymux, preloaded with it, in a project that has alerts. */
import { fileURLToPath } from 'node:url';
import { refuse } from '#keymux/testing/script.js';
import { startSimulator } from '#keymux/testing/simulator.js';
import { describe, expect, it, onTestFinished } from 'vitest';
import { CANARY, Project } from '../cli/keymux-process.js';
import { CANARY_PATH, startReceiver } from './alert-receiver.js';

const REGISTER = new URL('../../dist/register.js', import.meta.url).href;
/** Stays until it is ended, as a server does. */
const ASK = `
const answer = await fetch(process.env.PROVIDER + '/v1/things', {
  headers: { 'x-api-key': process.env.ACME_API_KEY },
});
console.log('status', answer.status);
`;
const PROGRAMS = {
  'main.mjs': `${ASK}\nprocess.stdin.resume();\n`,
  'worker.mjs': ASK,
  'threads.mjs': `
import { Worker } from 'node:worker_threads';
new Worker(new URL('./worker.mjs', import.meta.url));
process.stdin.resume();
`,
};

describe('a program into which keymux was preloaded', () => {
  it.each([
    ['its main thread', 'main.mjs'],
    ['a worker', 'threads.mjs'],
  ])('tells a webhook of what happened in %s', async (_, program) => {
    const simulator = await startSimulator({
      auth: { in: 'header', name: 'x-api-key' },
      keys: { [`${CANARY}-one`]: { always: refuse('rejected') }, [`${CANARY}-two`]: {} },
    });
    onTestFinished(() => simulator.close());
    const receiver = await startReceiver();
    const config = `
providers:
  acme: { baseUrl: ${simulator.origin}, auth: { in: header, name: x-api-key } }
store: { type: sqlite, path: ./store/state.db }
alerts: [{ when: failover, above: 0, webhook: env:HOOK }]
`;
    const project = new Project(
      { 'keymux.config.yaml': config, ...PROGRAMS },
      {
        ACME_API_KEY: `${CANARY}-one`,
        ACME_API_KEY_2: `${CANARY}-two`,
        HOOK: receiver.url,
        PROVIDER: simulator.origin,
      },
    );
    const running = project.startProgram(process.execPath, ['--import', REGISTER, project.path(program)]);
    await running.saw('status 200');
    await expect.poll(() => receiver.alerts.length, { timeout: 20_000, interval: 20 }).toBe(1);
    expect(receiver.alerts[0]).toMatchObject({ when: 'failover', state: 'raised', subject: 'acme' });
    expect(receiver.received[0]?.body).not.toContain(CANARY);
    running.process.kill('SIGTERM');
    const { stdout, stderr } = await running.ended;
    expect(stdout + stderr).not.toContain(CANARY_PATH);
    expect(stdout + stderr).not.toContain(CANARY);
  });
});

describe('the entries for programs that make their managers themselves', () => {
  it('work as they are imported', async () => {
    const receiver = await startReceiver();
    const project = new Project({}, { ACME_API_KEYS: `${CANARY}-one,${CANARY}-two`, HOOK: receiver.url });
    const program = `
import { createKeyManager } from 'keymux';
import { startAlerts } from 'keymux/alerts';
import { createMetrics } from 'keymux/metrics';
import { createSqliteStore } from 'keymux/sqlite';

const store = createSqliteStore({ path: ${JSON.stringify(project.path('own.db'))} });
const manager = createKeyManager({
  cwd: ${JSON.stringify(project.folder)},
  store,
  config: {
    providers: { acme: { baseUrl: 'http://127.0.0.1:9', env: ['ACME_API_KEY'] } },
    alerts: [{ when: 'rejected', webhook: 'env:HOOK' }],
  },
});
const metrics = createMetrics(manager);
const watch = startAlerts(manager);
await manager.ready;
manager.report('acme/keys-1', 'rejected');
for await (const text of process.stdin) {
  if (!String(text).includes('end')) continue;
  console.log(await metrics.text());
  break;
}
await watch.stop();
await manager.shutdown();
process.exit();
`;
    const root = fileURLToPath(new URL('../../', import.meta.url));
    const args = ['--input-type=module', '-e', program];
    const running = project.startProgram(process.execPath, args, {}, root);
    await expect.poll(() => receiver.alerts.length, { timeout: 20_000, interval: 20 }).toBe(1);
    running.process.stdin?.write('end\n');
    const { code, stdout, stderr } = await running.ended;
    expect([code, stderr]).toEqual([0, '']);
    expect(stdout).toMatch(/keymux_\w+\{[^}]*acme/);
    expect(stdout).not.toContain(CANARY);
  });
});
