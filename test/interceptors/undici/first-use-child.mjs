/** Uses a global for the first time under keymux, and prints what came of it. argv: origin, what to use. */
import { KeyManager } from '#keymux/manager/key-manager.js';
import { createMemoryStore } from '#keymux/stores/memory.js';
import { installHttp } from '#keymux/interceptors/http.js';
import { installUndici } from '#keymux/interceptors/undici.js';

const [, , origin, what] = process.argv;

const manager = new KeyManager(
  {
    env: { ACME_API_KEYS: 'key-limited,key-good' },
    cwd: '/nonexistent',
    store: createMemoryStore({ now: Date.now, onNotice: () => {} }),
    drainMs: 1,
    config: {
      providers: { acme: { baseUrl: origin, env: ['ACME_API_KEY'], auth: { in: 'query', name: 'k' } } },
    },
  },
  {
    integrate: (instance) => {
      const undos = [installHttp(instance), installUndici(instance)];
      return () => undos.reverse().forEach((undo) => undo());
    },
  },
);

const isLoadedBefore = Reflect.has(globalThis, Symbol.for('undici.globalDispatcher.1'));
const uses = {
  fetch: async () => (await fetch(`${origin}/?k=key-limited`)).status,
  capturedFetch: async () => {
    const { fetch: captured } = globalThis;
    await captured('data:,');
    return (await captured(`${origin}/?k=key-limited`)).status;
  },
  WebSocket: () =>
    new Promise((resolve, reject) => {
      const socket = new WebSocket(`${origin.replace('http', 'ws')}/?k=key-limited`);
      socket.onopen = () => resolve('open');
      socket.onerror = () => reject(new Error('The WebSocket did not open.'));
    }),
  nothing: () => Promise.resolve('nothing'),
};
const result = await uses[what]();
const isLoadedAfter = Reflect.has(globalThis, Symbol.for('undici.globalDispatcher.1'));
await manager.shutdown();
const descriptor = Object.getOwnPropertyDescriptor(globalThis, 'fetch');
process.stdout.write(
  `${JSON.stringify({ result, isLoadedBefore, isLoadedAfter, source: String(descriptor?.value) })}\n`,
  () => process.exit(0),
);
