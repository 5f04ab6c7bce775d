import { join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import { KeyManager } from '#keymux/manager/key-manager.js';
import type { KeyManagerOptions } from '#keymux/manager/options.js';
import { startAlerts } from '#keymux/observe/alerts.js';
import { createMemoryStore } from '#keymux/stores/memory.js';
import { makeCanary } from './canary.js';
import { clientError } from './foreign.js';
import { Sinks } from './sinks.js';
import { temporaryFolder } from './stage.js';

const NOBODY = 'http://127.0.0.1:9';
const canaries = [makeCanary('one'), makeCanary('two')] as const;
const [one, two] = canaries;

interface Started {
  readonly manager: KeyManager;
  readonly sinks: Sinks;
  readonly folder: string;
}

function start(options: KeyManagerOptions = {}): Started {
  const sinks = new Sinks();
  const folder = temporaryFolder();
  const note = (message: string): void => sinks.add('log', message);
  const warn = (warning: Error): void => sinks.addValue('warning', warning);
  process.on('warning', warn);
  onTestFinished(() => void process.off('warning', warn));
  const manager = new KeyManager({
    env: {
      HOME: folder,
      KEYMUX_STATE_DIR: join(folder, 'state'),
      KEYMUX_DECISIONS: join(folder, 'decisions'),
      ACME_API_KEY: one.text,
      ACME_API_KEY_2: two.text,
    },
    cwd: folder,
    logger: { warn: note, info: note },
    drainMs: 1,
    config: {
      providers: { acme: { baseUrl: NOBODY, auth: { in: 'query', name: 'apikey' } } },
      services: { data: { providers: ['acme'] } },
      alerts: [{ when: 'rejected', webhook: NOBODY }],
      store: { type: 'sqlite', path: join(folder, 'store/state.db') },
    },
    ...options,
  });
  onTestFinished(() => manager.shutdown());
  sinks.follow('manager', manager);
  return { manager, sinks, folder };
}

/** All that is left of it. */
async function look({ manager, sinks, folder }: Started): Promise<void> {
  sinks.addValue('inspect()', manager.inspect());
  sinks.addValue('exportDecisions()', manager.exportDecisions());
  for (const { requestId } of manager.decisions()) sinks.addValue('why()', manager.why(requestId));
  await manager.shutdown();
  sinks.addFiles('ended', folder);
}

describe('an error that quotes keys', () => {
  it('of a client comes back to the program that gave the client, and is kept nowhere', async () => {
    const fetch = (): Promise<never> => Promise.reject(clientError(one, NOBODY));
    const started = start({ fetch });
    const { manager, sinks } = started;
    await expect(manager.fetch('data', '/v1/x')).rejects.toThrow(TypeError);
    const failing = (): Promise<never> => Promise.reject(clientError(two, NOBODY));
    await expect(manager.run('data', failing)).rejects.toThrow(TypeError);
    await look(started);
    sinks.expectNone(
      canaries,
      'manager: event request',
      'why()',
      'ended: store/state.db',
      'ended: decisions',
    );
  });

  it('of a store is told without them', async () => {
    const store = createMemoryStore({ now: Date.now, onNotice: () => {} });
    store.open = () => Promise.reject(clientError(one, NOBODY));
    const started = start({ store });
    const { manager, sinks } = started;
    await manager.ready;
    await look(started);
    sinks.expectNone(canaries, 'manager: event degraded', 'inspect()', 'log');
  });

  it('of who is told of events is a warning without them', async () => {
    const started = start();
    const { manager, sinks } = started;
    manager.on('administered', () => {
      throw clientError(two, NOBODY);
    });
    manager.disable('acme/main');
    await expect.poll(() => sinks.places.some((place) => place.startsWith('warning'))).toBe(true);
    await look(started);
    sinks.expectNone(canaries, 'warning');
  });

  it('of who carries an alert is told without them', async () => {
    const started = start();
    const { manager, sinks } = started;
    const note = (message: string): void => sinks.add('log of alerts', message);
    const alerts = startAlerts(manager, {
      lookEveryMs: 5,
      firstPauseMs: 5,
      logger: { warn: note, info: note },
      fetch: () => Promise.reject(clientError(one, NOBODY)),
    });
    manager.report('acme/main', 'rejected');
    await expect
      .poll(() => sinks.places.filter((place) => place === 'log of alerts').length)
      .toBeGreaterThan(0);
    await alerts.stop();
    await look(started);
    sinks.expectNone(canaries, 'log of alerts');
  });

  it('of a source of secrets is told without them', async () => {
    const source = { scheme: 'mine', read: () => Promise.reject(clientError(one, NOBODY)) };
    const started = start({
      secretSources: [source],
      config: {
        providers: { acme: { baseUrl: NOBODY, keys: [{ id: 'x', value: 'mine:x' }], discover: false } },
      },
    });
    const { manager, sinks } = started;
    await manager.ready;
    await sinks.addFailure('acquire', () => manager.acquire('acme', { timeoutMs: 1 }));
    await look(started);
    sinks.expectNone(canaries, 'acquire', 'inspect()');
  });
});
