// A manager for `acme` over the state of KEYMUX_STATE_DIR, as each of these processes has one.
import { createKeyManager } from '../../../dist/manager/registry.js';

export async function sharedManager(env, provider = {}) {
  const manager = createKeyManager({
    env,
    cwd: process.env.KEYMUX_STATE_DIR,
    config: {
      providers: {
        acme: {
          baseUrl: 'http://127.0.0.1:9',
          auth: { in: 'header', name: 'x-api-key' },
          env: ['ACME_API_KEY'],
          ...provider,
        },
      },
    },
  });
  await manager.ready;
  return manager;
}
