// Loaded into the gateway's process by its soak: tells what the process looks like when it is asked.
import { existsSync, readdirSync } from 'node:fs';
import { setImmediate as nextTurn } from 'node:timers/promises';

/** Linux only. */
const FILES = '/proc/self/fd';

const warnings = new Set();
process.on('warning', ({ name, message }) => name === 'MaxListenersExceededWarning' && warnings.add(message));

process.on('message', async ({ collect }) => {
  for (let time = 0; collect && time < 4; time += 1) {
    globalThis.gc();
    await nextTurn();
  }
  const { rss, heapUsed, external, arrayBuffers } = process.memoryUsage();
  const resources = process.getActiveResourcesInfo();
  const count = (pattern) => resources.filter((name) => pattern.test(name)).length;
  process.send({
    rssBytes: rss,
    heapBytes: heapUsed,
    bufferBytes: external + arrayBuffers,
    files: existsSync(FILES) ? readdirSync(FILES).length : 0,
    sockets: count(/TCPSocketWrap|TLSWrap/),
    timers: count(/Timeout|Immediate/),
    processListeners: process.eventNames().reduce((sum, name) => sum + process.listenerCount(name), 0),
    warnings: [...warnings],
  });
});
// The gateway ends when it is done, whoever might still ask.
process.channel.unref();
