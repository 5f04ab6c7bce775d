import {
  BasicTracerProvider,
  InMemorySpanExporter,
  SimpleSpanProcessor,
} from '@opentelemetry/sdk-trace-base';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import { applicationOf } from '#keymux/config/virtual-key.js';
import { Secret } from '#keymux/core/secret.js';
import { KeyManager } from '#keymux/manager/key-manager.js';
import type { KeyManagerOptions } from '#keymux/manager/options.js';
import { startAlerts } from '#keymux/observe/alerts.js';
import { verifyAudit } from '#keymux/observe/audit-verify.js';
import { startAudit } from '#keymux/observe/audit.js';
import { createMetrics } from '#keymux/observe/metrics.js';
import { createObservation } from '#keymux/observe/observation.js';
import { instrumentOpenTelemetry } from '#keymux/observe/otel.js';
import { makeCanary } from './canary.js';
import type { Canary } from './canary.js';
import { Sinks } from './sinks.js';
import { refusing, startProvider, temporaryFolder } from './stage.js';

const PLACEMENTS = {
  header: { in: 'header', name: 'x-api-key' },
  bearer: { in: 'header', name: 'authorization', scheme: 'Bearer' },
  query: { in: 'query', name: 'apikey' },
  path: { in: 'path' },
  basic: { in: 'basic', field: 'username' },
} as const;

type Config = NonNullable<Exclude<KeyManagerOptions['config'], false>>;

interface Started {
  readonly manager: KeyManager;
  readonly sinks: Sinks;
  readonly folder: string;
}

/** A manager under SQLite whose log, events and channels are followed. */
function start(canaries: readonly Canary[], config: Config, options: KeyManagerOptions = {}): Started {
  const sinks = new Sinks();
  const folder = temporaryFolder();
  const note = (message: string): void => sinks.add('log', message);
  const manager = new KeyManager({
    env: {
      HOME: folder,
      KEYMUX_STATE_DIR: join(folder, 'state'),
      KEYMUX_DECISIONS: join(folder, 'decisions'),
      ACME_API_KEYS: '',
      ...Object.fromEntries(
        canaries.map(({ text }, index) => [`ACME_API_KEY${index === 0 ? '' : `_${index + 1}`}`, text]),
      ),
    },
    cwd: folder,
    config: { store: { type: 'sqlite', path: join(folder, 'store/state.db') }, ...config },
    logger: { warn: note, info: note },
    random: () => 0,
    drainMs: 1,
    ...options,
  });
  onTestFinished(() => manager.shutdown());
  sinks.follow('manager', manager);
  return { manager, sinks, folder };
}

/** All that a program may ask a manager. */
function look(sinks: Sinks, manager: KeyManager, service: string): void {
  sinks.addValue('manager', manager);
  sinks.addValue('inspect()', manager.inspect());
  sinks.addValue('explain()', manager.explain(service));
  sinks.addValue('decisions()', manager.decisions());
  for (const { requestId } of manager.decisions()) sinks.addValue('why()', manager.why(requestId));
  sinks.addValue('exportDecisions()', manager.exportDecisions());
  sinks.addValue('configuration', manager.configuration);
  sinks.addValue('table', manager.table);
  sinks.addValue('store', manager.store);
  sinks.addValue('origins', manager.origins);
  sinks.addValue('pool', manager.poolOf(service));
  sinks.addValue('retiring', manager.retiring);
  sinks.addValue('application', applicationOf(manager.configuration));
}

describe.each(Object.entries(PLACEMENTS))('a key in the place "%s"', (_place, auth) => {
  it.each([401, 403, 429, 402, 503])(
    'is seen at its provider alone, which repeats it in a %i',
    async (status) => {
      const canaries = [makeCanary('bad'), makeCanary('good')] as const;
      const provider = await startProvider(refusing(canaries[0], status));
      const hook = await startProvider((_, response) => void response.writeHead(204).end());
      const { manager, sinks, folder } = start(canaries, {
        services: { data: { providers: ['acme'] } },
        providers: {
          acme: {
            baseUrl: provider.origin,
            auth,
            limits: [{ requests: 50, per: 'hour' }],
            errors: [
              {
                status,
                json: '$.error.message',
                match: 'Incorrect API key provided: (.*)',
                outcome: 'rejected',
              },
            ],
          },
        },
        alerts: [
          { when: 'failover', webhook: hook.origin },
          { when: 'rejected', webhook: hook.origin },
          { when: 'health', below: 0.9, webhook: hook.origin },
        ] as NonNullable<Config['alerts']>,
      });
      const audit = startAudit(manager, { path: join(folder, 'audit'), stateFolder: folder });
      const exporter = new InMemorySpanExporter();
      const tracing = new BasicTracerProvider({ spanProcessors: [new SimpleSpanProcessor(exporter)] });
      const metrics = createMetrics(manager);
      const observation = createObservation(manager);
      const note = (message: string): void => sinks.add('log of alerts', message);
      const alerts = startAlerts(manager, {
        lookEveryMs: 10,
        firstPauseMs: 10,
        logger: { warn: note, info: note },
      });
      onTestFinished(async () => {
        observation.close();
        await tracing.shutdown();
      });
      onTestFinished(instrumentOpenTelemetry(manager, { tracer: tracing.getTracer('test') }));
      await manager.ready;

      const response = await manager.fetch('data', auth.in === 'path' ? '/{key}/v1/x' : '/v1/x');
      await response.text();
      await expect.poll(() => hook.arrivals.length).toBeGreaterThan(0);
      await alerts.stop();
      sinks.addValue('answer', [response.url, [...response.headers], response]);
      look(sinks, manager, 'data');
      sinks.add('metrics', await metrics.text());
      sinks.addValue('events kept', observation.events());
      sinks.addValue('series', observation.series());
      for (const span of exporter.getFinishedSpans())
        sinks.addValue('span', [span.name, span.attributes, span.events, span.status, span.links]);
      for (const { head, body } of hook.arrivals) sinks.add('webhook', head + body);
      audit.flush();
      sinks.addFiles('running', folder);
      audit.stop();
      sinks.addValue('audit', audit);
      const verdict = await verifyAudit(audit.folder, { stateFolder: join(folder, 'state') });
      sinks.addValue('verdict of the audit', verdict);
      await manager.shutdown();
      sinks.addFiles('ended', folder);
      sinks.addValue('manager, ended', manager);

      expect(provider.seen(canaries)).toEqual(expect.arrayContaining(['bad']));
      sinks.expectNone(
        canaries,
        'manager: event attempt',
        'manager: event request',
        'why()',
        'metrics',
        'span',
        'webhook',
        'running: store/state.db-wal',
        /^running: audit\/[^:]+$/,
        'ended: store/state.db',
        /^ended: .*decisions/,
      );
    },
  );
});

describe('failures', () => {
  const canaries = [makeCanary('one'), makeCanary('two')];
  const nobody = {
    providers: { acme: { baseUrl: 'http://127.0.0.1:9' } },
    services: { data: { providers: ['acme'] } },
  };

  it('of every call hold no key, whatever the call was given', async () => {
    const provider = await startProvider((_request, response) => void response.destroy());
    const { manager, sinks } = start(canaries, {
      ...nobody,
      providers: { acme: { baseUrl: provider.origin } },
    });
    const [one] = canaries;
    const { text } = one!;
    await manager.ready;
    const calls: Readonly<Record<string, () => unknown>> = {
      'getApiKey of a key': () => manager.getApiKey(text),
      'resolve of a key': () => manager.resolve(text),
      'acquire of a key': () => manager.acquire(text),
      'acquire aborted': () => manager.acquire('data', { signal: AbortSignal.abort() }),
      'explain of a key': () => manager.explain(text),
      'disable of a key': () => manager.disable(text),
      'disable of a key of a provider': () => manager.disable(`acme/${text}`),
      'enable of a key': () => manager.enable(text),
      'reset of a key': () => manager.reset(text),
      'report of a key': () => manager.report(text, 'success'),
      'retire of a key': () => manager.retireKey(`acme/${text}`),
      'subject of a key': () => manager.subjectOf(text),
      'addKey with a key as its id': () => manager.addKey({ provider: 'acme', id: text }),
      'addKey with a key as its provider': () => manager.addKey({ provider: text, id: 'x' }),
      'addKey with a key as its reference': () => manager.addKey({ provider: 'acme', id: 'x', value: text }),
      'addKey with a key as a reference to the environment': () =>
        manager.addKey({ provider: 'acme', id: 'x', value: `env:${text}` }),
      'fetch of a key': () => manager.fetch(text, '/x'),
      'fetch with a key as address': () => manager.fetch('data', `https://${text}`),
      'fetch that breaks off': () => manager.fetch('data', '/x', { method: 'POST', body: 'x' }),
      'fetch with a header that is none': () => manager.fetch('data', '/x', { headers: { 'x y': text } }),
      'run that throws': () => manager.run('data', () => Promise.reject(new Error('mine'))),
      'run with adapters of nobody': () => manager.run('data', { [text]: () => Promise.resolve(1) }),
    };
    for (const [name, call] of Object.entries(calls)) {
      try {
        await call();
      } catch (error) {
        sinks.addValue(name, error);
      }
    }
    manager.disable('acme/main');
    manager.disable('acme/2');
    await sinks.addFailure('getApiKey of nobody', () => manager.getApiKey('data'));
    await sinks.addFailure('acquire of nobody', () => manager.acquire('data', { timeoutMs: 5 }));
    await sinks.addFailure('run of nobody', () => manager.run('data', () => Promise.resolve(1)));
    sinks.addValue('refusal of nobody', await (await manager.fetch('data', '/x')).text());
    look(sinks, manager, 'data');
    await manager.shutdown();
    await sinks.addFailure('getApiKey when closed', () => manager.getApiKey('data'));
    expect(provider.seen(canaries)).not.toEqual([]);
    sinks.expectNone(
      canaries,
      'getApiKey of a key',
      'disable of a key',
      'addKey with a key as its id',
      'getApiKey of nobody',
    );
  });

  it('of leases, and what is reported by hand, hold no key', async () => {
    const { manager, sinks } = start(canaries, nobody);
    const lease = await manager.acquire('data');
    expect(canaries.map(({ text }) => text)).toContain(lease.apiKey);
    sinks.addValue('lease without its key', { ...lease });
    // What the program throws is its own, and comes back to it as it is.
    const own = ({ apiKey }: { apiKey: string }): Promise<never> =>
      Promise.reject(Object.assign(new Error(`refused ${apiKey}`), { status: 401 }));
    await expect(manager.run('data', own)).rejects.toThrow('refused');
    lease.cancel();
    manager.report('acme/main', {
      kind: 'rejected',
      scope: 'key',
      executed: 'no',
    });
    look(sinks, manager, 'data');
    sinks.expectNone(canaries, 'lease', 'manager: event rejected');
  });

  it('of a store whose address holds a password tell it to nobody', async () => {
    const password = makeCanary('password');
    const { manager, sinks } = start(canaries, {
      ...nobody,
      store: { type: 'redis', url: `redis://user:${encodeURIComponent(password.text)}@127.0.0.1:9/0` },
    });
    await manager.ready;
    await expect
      .poll(() => sinks.places.some((place) => place.startsWith('manager: event degraded')))
      .toBe(true);
    look(sinks, manager, 'data');
    await manager.shutdown();
    sinks.expectNone([...canaries, password], 'manager: event degraded', 'store, inspected');
  });
});

it('a reload that adds, changes and breaks keys says none of them', async () => {
  const canaries = [makeCanary('first'), makeCanary('second')] as const;
  const late = makeCanary('late');
  const added = makeCanary('added');
  const { manager, sinks, folder } = start(canaries, {
    providers: { acme: { baseUrl: 'http://127.0.0.1:9', env: ['ACME_API_KEY'] } },
  });
  const reloaded = new Promise<void>((resolve) => void manager.on('reloaded', () => resolve()));
  writeFileSync(join(folder, '.env'), `ACME_API_KEY_9='${late.text}'\nACME_API_KEYS="${late.text}x\n`);
  manager.reload();
  await reloaded;
  manager.addKey({ provider: 'acme', id: 'hand', secret: new Secret(added.text) });
  manager.retireKey('acme/main');
  look(sinks, manager, 'acme');
  await manager.shutdown();
  sinks.expectNone([...canaries, late, added], 'manager: event reloaded', 'retiring');
});
