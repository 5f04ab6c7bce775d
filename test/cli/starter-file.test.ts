import { readFileSync, writeFileSync } from 'node:fs';
import { findProviders, starterFile } from '#keymux/cli/starter-file.js';
import { readConfigurationFile } from '#keymux/config/lazy-file.js';
import { catalogue } from '#keymux/providers/catalogue.js';
import { describe, expect, it } from 'vitest';
import { CANARY, Project } from './keymux-process.js';

const KEY = `${CANARY}-key`;

function starter(
  env: Record<string, string>,
  files: Record<string, string> = {},
): { text: string; path: string } {
  const project = new Project(files);
  const path = project.path('keymux.config.yaml');
  const text = starterFile(findProviders(env, project.folder));
  writeFileSync(path, text);
  expect(text).not.toContain(CANARY);
  return { text, path };
}

const contentOf = (path: string) => readConfigurationFile(path, catalogue).content;

describe('starterFile', () => {
  it('is valid for every provider of the catalogue at once', () => {
    const env = Object.fromEntries(
      [...catalogue.values()].flatMap((entry) =>
        entry.env.slice(0, 1).flatMap((name) => [
          [name, `${KEY}-${entry.id}`],
          [`${name}_2`, `${KEY}-${entry.id}-2`],
        ]),
      ),
    );
    const { path } = starter(env);
    const named = Object.keys(contentOf(path).providers ?? {});
    const expected = [...catalogue.values()].filter(
      ({ env, originPattern }) => env.length > 0 && originPattern === undefined,
    );
    expect(named).toEqual(expected.map(({ id }) => id));
  });

  it('offers keys of one account that are valid once they are taken', () => {
    const { path, text } = starter({ OPENAI_API_KEY: KEY, OPENAI_API_KEY_2: `${KEY}2` });
    writeFileSync(path, text.replace('openai: {}', 'openai:').replaceAll(/^ {2}# {3}/gm, '    '));
    const keys = contentOf(path).providers?.['openai']?.keys;
    expect(keys?.map(({ value, bucket }) => [value, bucket])).toEqual([
      ['env:OPENAI_API_KEY', 'organization-1'],
      ['env:OPENAI_API_KEY_2', 'organization-1'],
    ]);
  });

  it('offers known limits that are valid once one is taken', () => {
    const { path, text } = starter({ ALPHAVANTAGE_API_KEY: KEY });
    const offers = [...text.matchAll(/^ {2}# {3}limits: .*$/gm)].map(([line]) => line);
    expect(offers.length).toBeGreaterThan(1);
    for (const offer of offers) {
      const taken = text
        .replace('alpha_vantage: {}', 'alpha_vantage:')
        .replace(offer, offer.replace('#', ' '));
      writeFileSync(path, taken);
      expect(contentOf(path).providers?.['alpha_vantage']?.limits).toHaveLength(1);
    }
  });

  it('offers a service that is valid once it is taken', () => {
    const { path, text } = starter({ OPENAI_API_KEY: KEY, FINNHUB_API_KEY: KEY });
    writeFileSync(path, text.replaceAll(/^# (services:| {2}my_service)/gm, '$1'));
    expect(contentOf(path).services).toEqual({
      my_service: { providers: ['finnhub', 'openai'], strategy: 'priority' },
    });
  });

  it('finds keys in .env, and names in example files', () => {
    const { path, text } = starter(
      {},
      { '.env': `OPENAI_API_KEY=${KEY}`, '.env.example': 'FINNHUB_API_KEY=your-key', '.env.sample/x': '' },
    );
    expect(Object.keys(contentOf(path).providers ?? {})).toEqual(['openai']);
    expect(text).toContain('# finnhub: {}');
    expect(text).toContain('set FINNHUB_API_KEY');
  });

  it('comments out what needs an address first', () => {
    const { path, text } = starter({ AZURE_OPENAI_API_KEY: KEY });
    expect(contentOf(path).providers).toEqual({});
    expect(text).toContain('# azure_openai: { baseUrl: "https://YOUR-NAME.openai.azure.com" }');
  });

  it('is valid where nothing was found', () => {
    const { path } = starter({});
    expect(contentOf(path).providers).toEqual({});
    expect(readFileSync(path, 'utf8')).toContain('store: { type: sqlite }');
  });
});
