// A provider that no catalogue knows: its key goes into the query, and it hides refusals in a 200.
import { createKeyManager } from 'keymux';
import { ok, softError, startSimulator } from 'keymux/testing';

const provider = await startSimulator({
  auth: { in: 'query', name: 'token' },
  flavour: 'alpha_vantage',
  keys: {
    'key-one': { name: 'one', always: softError() },
    'key-two': { name: 'two', always: ok({ body: { price: 7 } }) },
  },
});

const manager = createKeyManager({
  env: { QUOTES_API_KEY: 'key-one', QUOTES_API_KEY_2: 'key-two' },
  config: {
    store: { type: 'memory' },
    services: { prices: { providers: ['quotes'], strategy: 'priority' } },
    providers: {
      quotes: {
        baseUrl: provider.origin,
        auth: { in: 'query', name: 'token' },
        env: ['QUOTES_API_KEY'],
        limits: [
          { requests: 5, per: 'second' },
          { requests: 500, per: 'day', resetsAt: '00:00', timeZone: 'UTC' },
        ],
        errors: [
          { status: 200, match: 'call frequency|rate limit', outcome: 'rate-limited', window: 'minute' },
        ],
      },
    },
  },
});

const response = await manager.fetch('prices', '/query?symbol=IBM');
console.log(await response.json());
console.log(provider.requests.map(({ key }) => key).join(' -> '));
await manager.shutdown();
await provider.close();
