import { describe, expect, it } from 'vitest';
import { catalogue } from '#keymux/providers/catalogue.js';
import { providerContract } from '#keymux/testing/contracts/provider.js';
import type { ProviderContractOptions } from '#keymux/testing/contracts/provider.js';
import { REFUSALS } from '../providers/refusals.js';

/** Those whose customers have hosts of their own. */
const BASE_URLS: Readonly<Record<string, string>> = {
  azure_openai: 'https://mine.openai.azure.com',
  rapidapi: 'https://mine.p.rapidapi.com',
};

for (const { id } of catalogue.values()) {
  const answers = REFUSALS.filter(({ provider }) => provider === id).map(
    ({ status, headers, body, kind, scope, waitMs }) => ({
      status,
      ...(headers === undefined ? {} : { headers }),
      body,
      outcome: kind,
      ...(scope === undefined ? {} : { scope }),
      waitMs,
    }),
  );
  const baseUrl = BASE_URLS[id];
  providerContract({ describe, it }, id, {
    answers,
    ...(baseUrl === undefined ? {} : { config: { baseUrl } }),
  });
}

/** What the suite says of a definition: the titles that fail, with their messages. */
async function failuresOf(id: string, options: ProviderContractOptions): Promise<Record<string, string>> {
  const failures: Record<string, string> = {};
  const cases: [string, () => Promise<void>][] = [];
  const harness = {
    describe: (_title: string, body: () => void) => body(),
    it: (title: string, body: () => Promise<void>) => void cases.push([title, body]),
  };
  providerContract(harness, id, options);
  for (const [title, body] of cases) {
    try {
      await body();
    } catch (error) {
      failures[title] = (error as Error).message;
    }
  }
  return failures;
}

const LIMITED = {
  status: 420,
  headers: { 'Retry-After': '7', 'X-RateLimit-Remaining': '0', 'X-RateLimit-Limit': '5' },
  body: { note: 'slow down' },
  outcome: 'rate-limited',
} as const;

describe('providerContract', () => {
  const config = {
    baseUrl: 'https://api.acme.example/v2',
    auth: { in: 'query', name: 'token' },
    errors: [
      { status: 420, outcome: 'rate-limited' },
      { status: 200, json: '$.error.code', match: '^QUOTA$', outcome: 'quota-exhausted' },
    ],
  } as const;

  it('is content with a definition that keeps what it claims', async () => {
    const answers = [
      {
        ...LIMITED,
        title: 'too fast',
        scope: 'key',
        waitMs: 7_000,
        limits: [{ unit: 'requests', limit: 5, remaining: 0 }],
      },
      { status: 200, headers: { 'content-type': 'text/plain' }, body: 'fine', outcome: 'success' },
    ] as const;
    expect(await failuresOf('acme', { config, answers })).toEqual({});
    const inPath = { ...config, auth: { in: 'path' }, stream: { endMark: '\\[DONE\\]' } } as const;
    expect(await failuresOf('acme', { config: inPath })).toEqual({});
    expect(await failuresOf('acme', { config: { ...config, signed: true } })).toEqual({});
  });

  it('says how a recorded answer is read otherwise', async () => {
    const [first, ...others] = [
      { ...LIMITED, outcome: 'rejected' },
      { ...LIMITED, scope: 'provider' },
      { ...LIMITED, waitMs: undefined },
      { ...LIMITED, waitMs: 8_000 },
      { ...LIMITED, limits: [] },
      { ...LIMITED, limits: [{ limit: 6 }] },
      { status: 500, outcome: 'overloaded', waitMs: 1 },
    ] as const;
    const failures = Object.values(await failuresOf('acme', { config, answers: [first, ...others] }));
    expect(failures).toHaveLength(7);
    expect(failures[0]).toContain('it is read as rate-limited (status 420');
    expect(failures[1]).toContain('it blames key');
    expect(failures[2]).toContain('it says to wait 7000');
    expect(failures[4]).toContain('windows: [{');
    expect(failures[6]).toContain('it says to wait for no time');
  });

  it('finds a rule that another one hides, and one that only a recorded answer can reach', async () => {
    const hidden = {
      ...config,
      errors: [...config.errors, { status: 420, match: 'daily', outcome: 'quota-exhausted' }],
    } as const;
    const failures = await failuresOf('acme', { config: hidden });
    expect(failures['reaches each of its rules']).toContain(
      'No answer reaches the rule "status 420, body like "daily"". An answer made for it is taken by: status 420.',
    );
    const odd = { ...config, errors: [{ status: 430, match: '(a)\\1', outcome: 'rate-limited' }] } as const;
    expect((await failuresOf('acme', { config: odd }))['reaches each of its rules']).toContain('No answer');
    const answers = [{ status: 430, body: 'aa', outcome: 'rate-limited' }] as const;
    expect(await failuresOf('acme', { config: odd, answers })).toEqual({});
  });

  it('finds a rule that takes good answers for refusals', async () => {
    const blind = { ...config, errors: [{ status: 200, match: 'data', outcome: 'rejected' }] } as const;
    expect((await failuresOf('acme', { config: blind }))['takes a good answer for one']).toMatch(
      /200 with .*data.* is read as rejected/,
    );
  });

  it('refuses a definition that the configuration would refuse, and one that is nowhere', async () => {
    const wrong = { ...config, baseUrl: 'not an address' };
    expect(Object.keys(await failuresOf('acme', { config: wrong }))).toHaveLength(4);
  });
});
