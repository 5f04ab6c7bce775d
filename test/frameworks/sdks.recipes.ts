import { describe, expect, it } from 'vitest';
import { refuse, reply, reset } from '#keymux/testing.js';
import { provider, Recipe, seenBy } from './recipe.js';

describe('the recipes for SDKs', () => {
  it.each(['Vercel AI SDK', 'LangChain.js'])(
    'answers and streams through the %s as it is',
    async (heading) => {
      const simulator = await provider({ flavour: 'openai' });
      const recipe = new Recipe(heading, {
        OPENAI_BASE_URL: `${simulator.origin}/v1`,
        OPENAI_API_KEY: 'key-that-ran-out',
        OPENAI_API_KEY_2: 'key-that-was-revoked',
        OPENAI_API_KEY_BACKUP: 'key-that-works',
      });
      const providers = { openai: { baseUrl: simulator.origin, env: ['OPENAI_API_KEY'] } };
      recipe.write('keymux.config.json', JSON.stringify({ providers }));
      const output = await recipe.start(['agent.mjs']).ended;
      expect(output).toMatch(/^text: served by third\na stream, it came in parts: true\n/);
      expect(seenBy(simulator)).toEqual(['first 429', 'second 401', 'third 200', 'third 200']);
    },
  );
});

describe('the recipe for ccxt', () => {
  it('signs with the next pair where one is refused, and sends an order once, whatever became of it', async () => {
    const isOrder = (path: string): boolean => path.endsWith('/AddOrder');
    const balance = reply(200, { body: { error: [], result: {} } });
    const simulator = await provider({
      auth: { in: 'header', name: 'API-Key' },
      keys: {
        'pair-that-was-revoked': { name: 'main', always: refuse(401) },
        'pair-that-works': {
          name: 'spare',
          always: ({ path }) => (isOrder(path) ? reset('before-headers') : balance),
        },
      },
    });
    const secret = Buffer.from('the other half of a pair').toString('base64');
    const recipe = new Recipe('ccxt', {
      KRAKEN_API_KEY: 'pair-that-was-revoked',
      KRAKEN_SECRET: secret,
      KRAKEN_API_KEY_2: 'pair-that-works',
      KRAKEN_SECRET_2: secret,
    });
    recipe.edit('keymux.config.yaml', (text) => text.replace('https://api.kraken.com', simulator.origin));

    const output = await recipe.start(['agent.mjs']).ended;

    expect(output).toMatch(/^balance: answered\norder: \w+, look it up .*\nkeymux was shut down: true\n$/);
    const seen = simulator.requests.map(({ key, path, executed, carries }) => [
      ...[key, isOrder(path), executed],
      ...carries,
    ]);
    expect(seen).toEqual([
      ['main', false, false, 'main'],
      ['spare', false, true, 'spare'],
      ['spare', true, true, 'spare'],
    ]);
  });
});
