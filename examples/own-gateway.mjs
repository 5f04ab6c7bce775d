// A gateway within your own program: one address for programs in any language, with its metrics beside it.
import { createKeyManager } from 'keymux';
import { createGateway } from 'keymux/gateway';
import { createMetrics } from 'keymux/metrics';
import { refuse, startSimulator } from 'keymux/testing';

const provider = await startSimulator({
  keys: { 'key-one': { name: 'one', always: refuse(401) }, 'key-two': { name: 'two' } },
});
const token = `kmx_use_${'0123456789abcdef'.repeat(2)}`;

const manager = createKeyManager({
  env: { ACME_API_KEYS: 'key-one,key-two' },
  config: {
    store: { type: 'memory' },
    providers: { acme: { baseUrl: provider.origin, env: ['ACME_API_KEY'] } },
  },
});
const metrics = createMetrics(manager);
const gateway = createGateway({ manager, tokens: [token], port: 0 });
const { origin } = await gateway.listen();

const response = await fetch(`${origin}/acme/quote/IBM`, { headers: { authorization: `Bearer ${token}` } });
console.log('the gateway answered', response.status, 'with key', (await response.json()).key);
const stranger = await fetch(`${origin}/acme/quote/IBM`);
console.log('without a token it answers', stranger.status);
await stranger.text();
const counted = (await metrics.text()).match(/^keymux_failovers_total\{.*\} \d+$/m)?.[0];
console.log('counted:', counted);

metrics.close();
await gateway.close();
await manager.shutdown();
await provider.close();
