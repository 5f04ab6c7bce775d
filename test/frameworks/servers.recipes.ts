import { transform } from 'esbuild';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { refuse } from '#keymux/testing.js';
import type { Simulator } from '#keymux/testing.js';
import { freePort, provider, Recipe, seenBy } from './recipe.js';
import type { Program } from './recipe.js';

const FIRST_TWO_REFUSED = ['first 429', 'second 401', 'third 200'];

interface Site {
  readonly simulator: Simulator;
  readonly recipe: Recipe;
  readonly port: number;
  readonly env: Readonly<Record<string, string>>;
}

async function site(heading: string): Promise<Site> {
  const simulator = await provider();
  const port = await freePort();
  const env = {
    PORT: String(port),
    ACME_URL: simulator.origin,
    ACME_API_KEY: 'key-that-ran-out',
    ACME_API_KEY_2: 'key-that-was-revoked',
    ACME_API_KEY_BACKUP: 'key-that-works',
  };
  const recipe = new Recipe(heading, env);
  const providers = { acme: { baseUrl: simulator.origin, env: ['ACME_API_KEY'] } };
  recipe.write('keymux.config.json', JSON.stringify({ providers }));
  return { simulator, recipe, port, env };
}

/** Asks the running server three times, at first side by side with nobody. */
async function askThrice({ simulator, port }: Site, program: Program, path = '/ask'): Promise<void> {
  await program.listens(port);
  for (let i = 0; i < 3; i++) {
    const response = await fetch(`http://127.0.0.1:${port}${path}`);
    expect(response.status).toBe(200);
    expect(await response.json()).toMatchObject({ key: 'third' });
  }
  expect(seenBy(simulator)).toEqual([...FIRST_TWO_REFUSED, 'third 200', 'third 200']);
}

async function getJson(port: number, path: string): Promise<unknown> {
  return (await fetch(`http://127.0.0.1:${port}${path}`)).json();
}

const KEYS_AFTERWARDS = [
  { key: 'acme/main', because: expect.stringMatching(/rate-limited/) },
  { key: 'acme/2', because: expect.stringMatching(/rejected/) },
  { key: 'acme/backup', because: expect.stringMatching(/chosen/) },
];

describe('the recipes for servers', () => {
  it('serves with Fastify, and closes the manager with it', async () => {
    const fastify = await site('Fastify');
    const program = fastify.recipe.start(['server.mjs']);
    await askThrice(fastify, program);
    expect(await getJson(fastify.port, '/keys')).toEqual(KEYS_AFTERWARDS);
    expect(await program.stop()).toMatch(/^keymux was shut down: true\n$/);
  });

  it('serves with Fastify without the preload, too', async () => {
    const fastify = await site('Fastify');
    const program = fastify.recipe.startBare(['server.mjs']);
    await askThrice(fastify, program);
    expect(await program.stop()).toBe('');
  });

  it('serves with Express, says when it can serve again, and closes the manager', async () => {
    const express = await site('Express');
    const program = express.recipe.start(['server.mjs']);
    await askThrice(express, program, '/quote/IBM');
    expect(await (await fetch(`http://127.0.0.1:${express.port}/ask`)).json()).toMatchObject({
      key: 'third',
    });
    express.simulator.key('third').behave(refuse(429, { retryAfterSeconds: 60 }));
    // The refusal of the last key is the provider's own; from then on nobody is asked.
    expect((await fetch(`http://127.0.0.1:${express.port}/quote/IBM`)).status).toBe(429);
    const asked = express.simulator.requests.length;
    const refused = await fetch(`http://127.0.0.1:${express.port}/quote/IBM`);
    expect(refused.status).toBe(503);
    expect(express.simulator.requests).toHaveLength(asked);
    expect(await refused.json()).toEqual({ code: 'KEYMUX_NO_USABLE_KEY' });
    expect(Number(refused.headers.get('retry-after'))).toBeGreaterThan(0);
    expect(await program.stop()).toMatch(/keymux was shut down: true\n$/);
  });

  it('serves with Next.js, built and started', async () => {
    const next = await site('Next.js');
    const bin = fileURLToPath(new URL('installed/node_modules/next/dist/bin/next', import.meta.url));
    const env = { NEXT_TELEMETRY_DISABLED: '1' };
    await next.recipe.startBare([bin, 'build'], env).ended;
    expect(seenBy(next.simulator)).toEqual([]);
    const program = next.recipe.startBare([bin, 'start', '--port', String(next.port)], env);
    await askThrice(next, program, '/api/ask');
    await expect(program.stop()).rejects.toThrow(/^It ended with 143:/);
  });

  it('serves with NestJS, and closes the manager with its module', async () => {
    const nest = await site('NestJS');
    const source = readFileSync(join(nest.recipe.folder, 'main.ts'), 'utf8');
    const { code } = await transform(source, {
      loader: 'ts',
      target: 'es2022',
      tsconfigRaw: { compilerOptions: { experimentalDecorators: true } },
    });
    nest.recipe.write('main.mjs', code);
    const program = nest.recipe.start(['main.mjs']);
    await askThrice(nest, program);
    expect(await getJson(nest.port, '/keys')).toEqual(KEYS_AFTERWARDS);
    expect(await program.stop()).toMatch(/^keymux was shut down: true\n$/);
  });
});
