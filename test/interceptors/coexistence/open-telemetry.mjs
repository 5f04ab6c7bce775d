/** argv: order. */
import { inEveryWay, inOrder, report, requireClient } from './order.mjs';

const { context, trace } = requireClient('@opentelemetry/api');
const { AsyncLocalStorageContextManager } = requireClient('@opentelemetry/context-async-hooks');
const { BasicTracerProvider, InMemorySpanExporter, SimpleSpanProcessor } = requireClient(
  '@opentelemetry/sdk-trace-base',
);
const exporter = new InMemorySpanExporter();

await inOrder(async () => {
  const { registerInstrumentations } = requireClient('@opentelemetry/instrumentation');
  const { HttpInstrumentation } = requireClient('@opentelemetry/instrumentation-http');
  const { UndiciInstrumentation } = requireClient('@opentelemetry/instrumentation-undici');
  context.setGlobalContextManager(new AsyncLocalStorageContextManager().enable());
  const provider = new BasicTracerProvider({ spanProcessors: [new SimpleSpanProcessor(exporter)] });
  trace.setGlobalTracerProvider(provider);
  registerInstrumentations({ instrumentations: [new HttpInstrumentation(), new UndiciInstrumentation()] });
  // Patched as soon as somebody requires it.
  requireClient('node:http');
});

const tracer = trace.getTracer('test');
async function traced(ask) {
  exporter.reset();
  const outer = await tracer.startActiveSpan('outer', async (span) => {
    const answer = await ask('/quote');
    const isKept = trace.getActiveSpan() === span;
    span.end();
    return { answer, isKept, id: span.spanContext().spanId, trace: span.spanContext().traceId };
  });
  const spans = exporter.getFinishedSpans().filter(({ name }) => name !== 'outer');
  return {
    answer: outer.answer,
    isKept: outer.isKept,
    spans: spans.map(({ attributes }) => attributes['http.response.status_code']),
    haveParent: spans.every(
      (span) =>
        (span.parentSpanContext?.spanId ?? span.parentSpanId) === outer.id &&
        span.spanContext().traceId === outer.trace,
    ),
    text: JSON.stringify(
      spans.map(({ name, attributes, events, status }) => ({ name, attributes, events, status })),
    ),
  };
}

report(await inEveryWay(traced));
