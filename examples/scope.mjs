// A manager for one scope: code below `runWithKeyManager` finds it with `getApiManager()`, however deep and however often it
// waits, and two scopes that run at the same time never see each other's.
import { createKeyManager, getApiManager, runWithKeyManager } from 'keymux';
import { startSimulator } from 'keymux/testing';

const provider = await startSimulator({
  keys: { 'key-of-ann': { name: 'ann' }, 'key-of-bob': { name: 'bob' } },
});

/** Far below, without an argument for it. */
async function quote() {
  await new Promise(setImmediate);
  const response = await getApiManager().fetch('acme', '/quote');
  return (await response.json()).key;
}

async function handle(tenant) {
  const manager = createKeyManager({
    env: { ACME_API_KEY: `key-of-${tenant}` },
    config: {
      store: { type: 'memory' },
      providers: { acme: { baseUrl: provider.origin, env: ['ACME_API_KEY'] } },
    },
  });
  // With TypeScript, or Node 24 and newer: `await using manager = createKeyManager(…)`, without try and finally.
  try {
    return await runWithKeyManager(manager, quote);
  } finally {
    await manager[Symbol.asyncDispose]();
    console.log(`${tenant}: closed: ${manager.closed}`);
  }
}

const [ann, bob] = await Promise.all([handle('ann'), handle('bob')]);
console.log(`ann's request took the key of ${ann}, bob's the key of ${bob}`);
await provider.close();
