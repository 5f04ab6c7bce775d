import { createGateway } from '#keymux/gateway.js';
import { startSimulator } from '#keymux/testing/simulator.js';
import { expect, it } from 'vitest';
import { CANARY, TOKENS, testManager } from './door.js';

it('answers within a program of its own, to the tokens it was given', async () => {
  await using simulator = await startSimulator({
    auth: { in: 'header', name: 'x-key' },
    keys: { [`${CANARY}-1`]: { name: 'one' } },
  });
  const manager = testManager({
    store: { type: 'memory' },
    providers: {
      acme: {
        baseUrl: simulator.origin,
        auth: { in: 'header', name: 'x-key' },
        keys: [{ id: 'main', value: 'env:ACME' }],
      },
    },
  });
  await using gateway = createGateway({ manager, port: 0, tokens: [TOKENS.use] });
  const { origin } = await gateway.listen();
  const status = async (token: string): Promise<number> =>
    (await fetch(`${origin}/acme/x`, { headers: { 'x-key': token } })).status;
  expect(await status(TOKENS.use)).toBe(200);
  expect(await status(TOKENS.read)).toBe(401);
  expect(simulator.requests.map(({ key }) => key)).toEqual(['one']);
  expect(() => createGateway({ manager, tokens: ['none'] })).toThrow(
    '`tokens` holds something else than a token',
  );
  expect(() => createGateway({ manager, tokens: [TOKENS.use], host: '0.0.0.0' })).toThrow('without TLS');
});
