import { createKeyManager, createMemoryStore } from 'keymux';
import { refuse, startSimulator } from 'keymux/testing';

const provider = await startSimulator({
  keys: {
    'key-one': { name: 'one', first: [refuse(429, { retryAfterSeconds: 60 })] },
    'key-two': { name: 'two' },
  },
});

const manager = createKeyManager({
  env: { ACME_API_KEY: 'key-one', ACME_API_KEY_2: 'key-two' },
  config: { providers: { acme: { baseUrl: provider.origin, env: ['ACME_API_KEY'] } } },
  store: createMemoryStore({ now: Date.now, onNotice: (notice) => console.warn(notice.message) }),
});

manager.on('failover', ({ from, to, reason }) => console.log(`failover: ${from} -> ${to} (${reason})`));

console.log('the best key now is number', manager.getApiKey('acme') === 'key-one' ? 1 : 2);

const response = await manager.fetch('acme', '/quote');
console.log('fetch:', response.status, (await response.json()).key);

const answer = await manager.run('acme', async (lease) => {
  const reply = await fetch(`${lease.baseUrl}/quote`, {
    headers: { authorization: `Bearer ${lease.apiKey}` },
  });
  return (await reply.json()).key;
});
console.log('run:', answer);

const lease = await manager.acquire('acme', { timeoutMs: 1_000 });
console.log('acquire:', lease.keyId);
lease.report({ kind: 'success', scope: 'request', executed: 'yes' });
lease.end(); // with TypeScript, or Node 24 and newer: `await using lease = …` does it

for (const { key, because } of manager.explain('acme').candidates) console.log(`explain: ${key}: ${because}`);
await manager.shutdown();
await provider.close();
