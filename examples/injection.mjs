// Everything that a key manager is made of, handed to it: environment, configuration, store, clock, chance, logger, HTTP
// client. Nothing global is read or changed.
import { createKeyManager, createMemoryStore } from 'keymux';
import { createFakeClock, refuse, seededRandom, startSimulator } from 'keymux/testing';

const provider = await startSimulator({
  keys: {
    'key-one': { name: 'one', first: [refuse(429, { retryAfterSeconds: 60 })] },
    'key-two': { name: 'two' },
  },
});

const clock = createFakeClock(Date.now());
const logger = {
  warn: (message) => console.log(`warning: ${message}`),
  info: () => {},
};
const paths = [];

const manager = createKeyManager({
  name: 'billing',
  env: { ACME_API_KEY: 'key-one', ACME_API_KEY_2: 'key-two' },
  config: {
    providers: { acme: { baseUrl: provider.origin, env: ['ACME_API_KEY'] } },
  },
  store: createMemoryStore({ now: clock.now, onNotice: ({ message }) => logger.warn(message) }),
  clock: clock.now,
  random: seededRandom(1),
  logger,
  fetch(input, init) {
    paths.push(new URL(input instanceof Request ? input.url : input).pathname);
    return fetch(input, init);
  },
});

/** Your own code gets the manager as an argument, and knows nothing of where it comes from. */
async function priceOf(symbol, keys) {
  const response = await keys.fetch('acme', `/quote/${symbol}`);
  return (await response.json()).key;
}

console.log('answered with key', await priceOf('IBM', manager));
console.log('within the minute that it rests the best key is', manager.resolve('acme').keyId);
clock.advance(120_000);
console.log('after it, answered with key', await priceOf('IBM', manager));
console.log('the own client sent', paths.length, 'requests to', paths[0]);
await manager.shutdown();
await provider.close();
