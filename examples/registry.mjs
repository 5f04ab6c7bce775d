// Named managers in one process: each tenant has keys, configuration and state of its own.
import { KeymuxError, getApiManager, keyManagers } from 'keymux';
import { startSimulator } from 'keymux/testing';

const provider = await startSimulator({
  keys: { 'key-of-ann': { name: 'ann' }, 'key-of-bob': { name: 'bob' } },
});

for (const tenant of ['ann', 'bob']) {
  keyManagers.create(tenant, {
    env: { ACME_API_KEY: `key-of-${tenant}` },
    config: {
      store: { type: 'memory' },
      providers: { acme: { baseUrl: provider.origin, env: ['ACME_API_KEY'] } },
    },
  });
}

// Elsewhere in the program:
for (const tenant of ['ann', 'bob']) {
  const response = await getApiManager(tenant).fetch('acme', '/quote');
  console.log(`${tenant} was charged for ${(await response.json()).key}`);
}

try {
  getApiManager('eve');
} catch (error) {
  if (error instanceof KeymuxError) console.log(`${error.code}: ${error.message} ${error.fix}`);
}
await Promise.all(['ann', 'bob'].map((tenant) => keyManagers.get(tenant).shutdown()));
console.log('ann is there after the shutdown:', keyManagers.has('ann'));
await provider.close();
