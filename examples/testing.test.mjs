import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createKeyManager } from 'keymux';
import { refuse, startSimulator } from 'keymux/testing';

test('the agent survives a revoked key', async (context) => {
  const provider = await startSimulator({
    keys: { bad: { name: 'bad', always: refuse(401) }, good: { name: 'good' } },
  });
  context.after(() => provider.close());
  const manager = createKeyManager({
    env: { ACME_API_KEY: 'bad', ACME_API_KEY_2: 'good' },
    config: {
      store: { type: 'memory' },
      providers: { acme: { baseUrl: provider.origin, env: ['ACME_API_KEY'] } },
    },
  });
  context.after(() => manager.shutdown());
  const response = await manager.fetch('acme', '/quote');
  assert.equal(response.status, 200);
  await response.text();
  assert.deepEqual(
    provider.requests.map(({ key, status }) => [key, status]),
    [
      ['bad', 401],
      ['good', 200],
    ],
  );
});
