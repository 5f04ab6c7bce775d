import { AsyncLocalStorage } from 'node:async_hooks';
import { context, metrics, ROOT_CONTEXT, SpanKind, SpanStatusCode, trace } from '@opentelemetry/api';
import type { Context, ContextManager } from '@opentelemetry/api';
import {
  AggregationTemporality,
  InMemoryMetricExporter,
  MeterProvider,
  PeriodicExportingMetricReader,
} from '@opentelemetry/sdk-metrics';
import type { MetricData } from '@opentelemetry/sdk-metrics';
import {
  BasicTracerProvider,
  InMemorySpanExporter,
  SimpleSpanProcessor,
} from '@opentelemetry/sdk-trace-base';
import type { ReadableSpan } from '@opentelemetry/sdk-trace-base';
import { SUCCESS } from '#keymux/core/outcome.js';
import { METRICS } from '#keymux/observe/metric-definitions.js';
import { instrumentOpenTelemetry } from '#keymux/observe/otel.js';
import { ok, refuse } from '#keymux/testing/script.js';
import type { KeyScript } from '#keymux/testing/script-key.js';
import type { Simulator } from '#keymux/testing/simulator-api.js';
import { startSimulator } from '#keymux/testing/simulator.js';
import { describe, expect, it, onTestFinished, vi } from 'vitest';
import { acmeManager } from '../manager/acme.js';

const AUTH = { in: 'header', name: 'x-api-key' } as const;
const CANARY = 'sk-canary-5up3rs3cr3t';

/** As the SDK for Node carries contexts through asynchronous code. */
class Contexts implements ContextManager {
  readonly #storage = new AsyncLocalStorage<Context>();
  active(): Context {
    return this.#storage.getStore() ?? ROOT_CONTEXT;
  }
  with<A extends unknown[], F extends (...args: A) => ReturnType<F>>(
    scope: Context,
    work: F,
    thisArg?: ThisParameterType<F>,
    ...args: A
  ): ReturnType<F> {
    return this.#storage.run(scope, () => work.call(thisArg as never, ...args));
  }
  bind<T>(_scope: Context, target: T): T {
    return target;
  }
  enable(): this {
    return this;
  }
  disable(): this {
    return this;
  }
}

function tracing() {
  const exporter = new InMemorySpanExporter();
  const provider = new BasicTracerProvider({ spanProcessors: [new SimpleSpanProcessor(exporter)] });
  context.setGlobalContextManager(new Contexts());
  onTestFinished(async () => {
    context.disable();
    await provider.shutdown();
  });
  const spans = (name: string): ReadableSpan[] =>
    exporter.getFinishedSpans().filter((span) => span.name === name);
  return { exporter, provider, tracer: provider.getTracer('test'), spans };
}

function metering() {
  const exporter = new InMemoryMetricExporter(AggregationTemporality.CUMULATIVE);
  const reader = new PeriodicExportingMetricReader({ exporter, exportIntervalMillis: 3_600_000 });
  const provider = new MeterProvider({ readers: [reader] });
  onTestFinished(() => provider.shutdown());
  const collect = async (): Promise<ReadonlyMap<string, MetricData>> => {
    exporter.reset();
    await provider.forceFlush();
    const data = exporter
      .getMetrics()
      .flatMap(({ scopeMetrics }) => scopeMetrics.flatMap(({ metrics: each }) => each));
    return new Map(data.map((metric) => [metric.descriptor.name, metric]));
  };
  return { provider, meter: provider.getMeter('test'), collect };
}

async function simulate(keys: Readonly<Record<string, KeyScript>>): Promise<Simulator> {
  const simulator = await startSimulator({ auth: AUTH, keys });
  onTestFinished(() => simulator.close());
  return simulator;
}

const BAD_AND_GOOD = {
  [CANARY]: { name: 'bad', always: refuse(401) },
  'key-two': { name: 'good', always: ok() },
} as const;

async function managed(scripts: Readonly<Record<string, KeyScript>>) {
  const simulator = await simulate(scripts);
  const manager = acmeManager({ keys: Object.keys(scripts), baseUrl: simulator.origin });
  const get = async (): Promise<number> => {
    const response = await manager.fetch('acme', '/quote?symbol=ABC');
    await response.text();
    return response.status;
  };
  return { simulator, manager, get };
}

function idOf(span: ReadableSpan | undefined): string | undefined {
  return span?.spanContext().spanId;
}

function millisecondsOf([seconds, nanoseconds]: readonly [number, number]): number {
  return seconds * 1_000 + nanoseconds / 1e6;
}

describe('spans', () => {
  it('tell of a request below the span of its caller, and of its attempts below the request', async () => {
    const { tracer, spans, exporter } = tracing();
    const { simulator, manager, get } = await managed(BAD_AND_GOOD);
    onTestFinished(instrumentOpenTelemetry(manager, { tracer }));
    const startedAt = manager.now();
    await tracer.startActiveSpan('agent', async (span) => {
      expect(await get()).toBe(200);
      span.end();
    });
    expect(simulator.requests.map(({ key, status }) => [key, status])).toEqual([
      ['bad', 401],
      ['good', 200],
    ]);
    const [agent] = spans('agent');
    const [request, ...more] = spans('keymux acme');
    const attempts = spans('keymux attempt acme');
    expect(more).toEqual([]);
    expect(request?.parentSpanContext?.spanId).toBe(idOf(agent));
    expect(attempts.map((span) => span.parentSpanContext?.spanId)).toEqual([idOf(request), idOf(request)]);
    expect(new Set(exporter.getFinishedSpans().map((span) => span.spanContext().traceId)).size).toBe(1);
    expect(request?.kind).toBe(SpanKind.INTERNAL);
    expect(request?.status.code).toBe(SpanStatusCode.UNSET);
    expect(request?.attributes).toEqual({
      'keymux.request_id': expect.any(String),
      'keymux.service': 'acme',
      'keymux.end': 'answered',
      'keymux.provider': 'acme',
      'keymux.key': 'acme/2',
      'keymux.attempts': 2,
      'keymux.waited': 0,
    });
    expect(request?.events.map(({ name, attributes }) => [name, attributes])).toEqual([
      [
        'keymux.failover',
        { 'keymux.from': 'acme/main', 'keymux.to': 'acme/2', 'keymux.outcome': 'rejected' },
      ],
    ]);
    const common = {
      'keymux.service': 'acme',
      'keymux.provider': 'acme',
      'server.address': '127.0.0.1',
      'server.port': simulator.port,
    };
    expect(attempts.map(({ kind, status, attributes }) => ({ kind, code: status.code, attributes }))).toEqual(
      [
        {
          kind: SpanKind.CLIENT,
          code: SpanStatusCode.ERROR,
          attributes: {
            ...common,
            'keymux.key': 'acme/main',
            'keymux.outcome': 'rejected',
            'keymux.evidence': expect.stringContaining('401'),
            'http.response.status_code': 401,
            'error.type': '401',
          },
        },
        {
          kind: SpanKind.CLIENT,
          code: SpanStatusCode.UNSET,
          attributes: {
            ...common,
            'keymux.key': 'acme/2',
            'keymux.outcome': 'success',
            'keymux.evidence': expect.any(String),
            'http.response.status_code': 200,
            'http.request.resend_count': 1,
          },
        },
      ],
    );
    for (const span of [...attempts, request!]) {
      expect(millisecondsOf(span.startTime)).toBeGreaterThanOrEqual(startedAt - 1);
      expect(millisecondsOf(span.endTime)).toBeLessThanOrEqual(manager.now() + 1);
      expect(millisecondsOf(span.duration)).toBeGreaterThan(0);
    }
    const everything = exporter
      .getFinishedSpans()
      .map(({ name, attributes, events, status }) => JSON.stringify([name, attributes, events, status]));
    expect(everything.join()).not.toContain(CANARY);
  });

  it('keep requests apart that share a connection', async () => {
    const { tracer, spans } = tracing();
    const { manager, get } = await managed({ 'key-one': { name: 'one', always: ok() } });
    onTestFinished(instrumentOpenTelemetry(manager, { tracer }));
    for (let i = 0; i < 8; i++) {
      await tracer.startActiveSpan(`agent ${i}`, async (span) => {
        await get();
        span.end();
      });
    }
    const parents = spans('keymux acme').map((span) => span.parentSpanContext?.spanId);
    expect(parents).toEqual(Array.from({ length: 8 }, (_, i) => idOf(spans(`agent ${i}`)[0])));
  });

  it('tell of a request that failed, and of one that was refused', async () => {
    const { tracer, spans } = tracing();
    const { manager, get } = await managed({
      'key-one': { name: 'one', always: refuse(429, { retryAfterSeconds: 60 }) },
    });
    onTestFinished(instrumentOpenTelemetry(manager, { tracer }));
    expect(await get()).toBe(429);
    expect(await get()).toBe(429);
    expect(spans('keymux acme').map(({ status, attributes }) => [status, attributes['keymux.end']])).toEqual([
      [{ code: SpanStatusCode.ERROR, message: 'the request was failed' }, 'failed'],
      [{ code: SpanStatusCode.ERROR, message: 'the request was refused' }, 'refused'],
    ]);
    expect(spans('keymux attempt acme')).toHaveLength(1);
  });

  it('tell of leases that the program holds itself', async () => {
    const { tracer, spans } = tracing();
    const manager = acmeManager();
    onTestFinished(instrumentOpenTelemetry(manager, { tracer }));
    const lease = await manager.acquire('acme');
    tracer.startActiveSpan('agent', (span) => {
      lease.report(SUCCESS);
      span.end();
    });
    lease.end();
    const [attempt] = spans('keymux attempt acme');
    expect(attempt?.parentSpanContext?.spanId).toBe(idOf(spans('agent')[0]));
    expect(attempt?.attributes).not.toHaveProperty('http.response.status_code');
  });

  it('name the server of a provider by its base URL, as long as it is configured', () => {
    const { tracer, spans } = tracing();
    const config = {
      providers: {
        secure: { baseUrl: 'https://api.example/v1', env: ['A_API_KEY'] },
        plain: { baseUrl: 'http://127.0.0.1', env: ['B_API_KEY'] },
      },
    } as NonNullable<NonNullable<Parameters<typeof acmeManager>[0]>['options']>['config'];
    const env = { A_API_KEY: 'key-a', B_API_KEY: 'key-b' };
    const manager = acmeManager({ options: { env, ...(config === undefined ? {} : { config }) } });
    onTestFinished(instrumentOpenTelemetry(manager, { tracer }));
    for (const provider of ['secure', 'plain', 'gone']) {
      const facts = { service: provider, provider, key: `${provider}/main`, latencyMs: 1, at: manager.now() };
      manager.events.emit('attempt', { ...facts, outcome: 'network' });
    }
    const attributes = ['secure', 'plain', 'gone'].map((id) => spans(`keymux attempt ${id}`)[0]?.attributes);
    expect(attributes).toMatchObject([
      { 'server.address': 'api.example', 'server.port': 443, 'error.type': 'network' },
      { 'server.address': '127.0.0.1', 'server.port': 80 },
      { 'keymux.provider': 'gone' },
    ]);
    expect(attributes[2]).not.toHaveProperty('server.address');
    expect(spans('keymux attempt gone')[0]?.status).toEqual({
      code: SpanStatusCode.ERROR,
      message: 'network',
    });
  });

  it('are not made for requests that began before', async () => {
    const { tracer, exporter } = tracing();
    const { simulator, manager } = await managed(BAD_AND_GOOD);
    const stop: (() => void)[] = [];
    onTestFinished(() => stop.forEach((each) => each()));
    const facts = { method: 'GET', path: '/', hasIdempotencyKey: false, canReplay: () => true };
    const exchange = manager.exchange(manager.poolOf('acme'), facts);
    stop.push(instrumentOpenTelemetry(manager, { tracer }));
    const lease = await exchange.first();
    if (!('report' in lease)) return expect.unreachable('a key was to be had');
    const step = await exchange.afterError(lease, 'ECONNREFUSED', 'unsent');
    lease.end();
    if (step.do !== 'retry') return expect.unreachable(step.do);
    exchange.aborted(step.lease);
    expect(exporter.getFinishedSpans()).toEqual([]);
    expect(simulator.requests).toEqual([]);
  });

  it('end with the instrumentation, which leaves nothing behind', async () => {
    const { tracer, exporter } = tracing();
    const { manager, get } = await managed({ 'key-one': { name: 'one', always: ok() } });
    const stop = instrumentOpenTelemetry(manager, { tracer });
    expect(manager.events.isHeard('request')).toBe(true);
    stop();
    stop();
    await get();
    expect(exporter.getFinishedSpans()).toEqual([]);
    expect(manager.events.isHeard('request')).toBe(false);
  });

  it('are left out for requests of which there are too many at once', async () => {
    const { tracer, spans } = tracing();
    const { manager, get } = await managed({ 'key-one': { name: 'one', always: ok() } });
    onTestFinished(instrumentOpenTelemetry(manager, { tracer }));
    const facts = { method: 'GET', path: '/', hasIdempotencyKey: false, canReplay: () => true };
    const exchange = manager.exchange(manager.poolOf('acme'), facts);
    for (let i = 0; i < 10_000; i++) manager.exchange(manager.poolOf('acme'), facts);
    const lease = await exchange.first();
    if ('report' in lease) exchange.aborted(lease);
    expect(spans('keymux acme')).toEqual([]);
    await get();
    expect(spans('keymux acme')).toHaveLength(1);
  });
});

describe('instruments', () => {
  it('carry every metric under the names of OpenTelemetry', async () => {
    const { meter, collect } = metering();
    const { simulator, manager, get } = await managed(BAD_AND_GOOD);
    onTestFinished(instrumentOpenTelemetry(manager, { meter }));
    for (let i = 0; i < 3; i++) expect(await get()).toBe(200);
    const data = await collect();
    const known = new Map(METRICS.map((definition) => [definition.name, definition]));
    expect([...data.keys()].filter((name) => !known.has(name))).toEqual([]);
    for (const [name, { descriptor }] of data) {
      expect([name, descriptor.unit, descriptor.description]).toEqual([
        name,
        known.get(name)?.unit,
        known.get(name)?.help,
      ]);
    }
    const points = (name: string) =>
      data.get(name)?.dataPoints.map(({ attributes, value }) => [attributes, value] as const);
    expect(points('keymux.attempts')).toEqual([
      [
        {
          'keymux.service': 'acme',
          'keymux.provider': 'acme',
          'keymux.key': 'acme/main',
          'keymux.outcome': 'rejected',
        },
        1,
      ],
      [
        {
          'keymux.service': 'acme',
          'keymux.provider': 'acme',
          'keymux.key': 'acme/2',
          'keymux.outcome': 'success',
        },
        3,
      ],
    ]);
    expect(simulator.requests.map(({ key }) => key)).toEqual(['bad', 'good', 'good', 'good']);
    expect(points('keymux.requests')).toEqual([[{ 'keymux.service': 'acme', 'keymux.end': 'answered' }, 3]]);
    expect(points('keymux.rescue.duration')?.[0]?.[1]).toMatchObject({ count: 1 });
    expect(points('keymux.key.usable')).toEqual([
      [{ 'keymux.provider': 'acme', 'keymux.key': 'acme/main' }, 0],
      [{ 'keymux.provider': 'acme', 'keymux.key': 'acme/2' }, 1],
    ]);
    expect(JSON.stringify([...data])).not.toContain(CANARY);
  });

  it('end with the instrumentation', async () => {
    const { meter, collect } = metering();
    const manager = acmeManager();
    const stop = instrumentOpenTelemetry(manager, { meter });
    expect((await collect()).get('keymux.key.usable')?.dataPoints).toHaveLength(2);
    stop();
    manager.events.emit('recovered', { subject: 'acme', at: 0 });
    expect((await collect()).get('keymux.recoveries')?.dataPoints ?? []).toEqual([]);
    expect(manager.events.isHeard('attempt')).toBe(false);
  });
});

describe('the SDK', () => {
  it('is found where it is registered', async () => {
    const { provider: traces, spans } = tracing();
    const { provider: meters, collect } = metering();
    trace.setGlobalTracerProvider(traces);
    metrics.setGlobalMeterProvider(meters);
    onTestFinished(() => {
      trace.disable();
      metrics.disable();
    });
    const { manager, get } = await managed({ 'key-one': { name: 'one', always: ok() } });
    onTestFinished(instrumentOpenTelemetry(manager));
    await get();
    expect(spans('keymux acme')).toHaveLength(1);
    expect((await collect()).get('keymux.requests')?.dataPoints).toHaveLength(1);
  });

  it('costs nothing where there is none: no event is made', () => {
    const manager = acmeManager();
    const onBegun = vi.spyOn(manager, 'onBegun');
    const stop = instrumentOpenTelemetry(manager);
    expect(manager.events.isHeard('attempt')).toBe(false);
    expect(manager.events.isHeard('request')).toBe(false);
    expect(onBegun).not.toHaveBeenCalled();
    stop();
  });
});
