import { createKeyManager } from '#keymux/manager/registry.js';
import { createMemoryStore } from '#keymux/stores/memory.js';
import { expect, it } from 'vitest';

it('keeps keys out of the log, in whatever way an error of others quotes them', async () => {
  const key = "canary-key/with'odd'letters";
  const lines: string[] = [];
  const store = createMemoryStore({ now: Date.now, onNotice: () => {} });
  const quoted = [new URLSearchParams({ k: key }).toString(), `p=${encodeURIComponent(key)}`].join('&');
  store.open = () => Promise.reject(new Error(`no answer from https://store.test/?${quoted} for ${key}`));
  const manager = createKeyManager({
    env: { ACME_API_KEY: key, SHORT_API_KEY: 'so' },
    config: {
      providers: {
        acme: { baseUrl: 'http://127.0.0.1:9', env: ['ACME_API_KEY'] },
        short: { baseUrl: 'http://127.0.0.1:9', env: ['SHORT_API_KEY'] },
      },
    },
    store,
    logger: { warn: (line) => void lines.push(line), info: () => {} },
  });
  await manager.ready;
  await manager.shutdown();
  expect(lines.join('\n')).toContain('https://store.test/?k=[keymux:acme/');
  expect(lines.join('\n')).toMatch(/no answer from/);
  expect(lines.join('\n')).not.toMatch(/canary|odd/);
});
