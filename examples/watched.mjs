// What people and machines are told: alerts, unusual use, and spans of OpenTelemetry. No key is in any of it.
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import {
  BasicTracerProvider,
  InMemorySpanExporter,
  SimpleSpanProcessor,
} from '@opentelemetry/sdk-trace-base';
import { createKeyManager } from 'keymux';
import { startAlerts, watchAnomalies } from 'keymux/alerts';
import { instrumentOpenTelemetry } from 'keymux/metrics';
import { refuse, startSimulator } from 'keymux/testing';

const provider = await startSimulator({
  keys: { 'key-one': { name: 'one', always: refuse(401) }, 'key-two': { name: 'two' } },
});
const webhook = createServer().listen(0, '127.0.0.1');
await once(webhook, 'listening');
const folder = mkdtempSync(join(tmpdir(), 'keymux-example-'));

const manager = createKeyManager({
  env: { ACME_API_KEYS: 'key-one,key-two' },
  config: {
    store: { type: 'memory' },
    providers: { acme: { baseUrl: provider.origin, env: ['ACME_API_KEY'] } },
    alerts: [{ when: 'rejected', webhook: `http://127.0.0.1:${webhook.address().port}/` }],
  },
});
const spans = new InMemorySpanExporter();
const tracing = new BasicTracerProvider({ spanProcessors: [new SimpleSpanProcessor(spans)] });
const stopTracing = instrumentOpenTelemetry(manager, { tracer: tracing.getTracer('example') });
const detection = watchAnomalies(manager, { path: join(folder, 'usual.json') });
const alerts = startAlerts(manager);

const called = once(webhook, 'request');
await (await manager.fetch('acme', '/quote/IBM')).text();
const [request, response] = await called;
console.log('the webhook was told:', JSON.parse(await text(request)).message);
response.end();
for (const { name, attributes } of spans.getFinishedSpans())
  console.log('span:', name, attributes['keymux.key'], attributes['keymux.outcome'] ?? '');

stopTracing();
await detection.stop();
await alerts.stop();
await manager.shutdown();
webhook.close();
webhook.closeAllConnections();
await provider.close();
rmSync(folder, { recursive: true });
