import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { checkContent, readConfigurationFile } from '#keymux/config/file.js';
import { ALERT_KINDS } from '#keymux/core/alert-rules.js';
import { strategies } from '#keymux/core/select.js';
import { catalogue } from '#keymux/providers/catalogue.js';
import { errorOf, folderWith } from './sample.js';

const page = readFileSync(new URL('../../docs/configuration.md', import.meta.url), 'utf8');

/** What the schema itself lists as known where an unknown option stands in each of its objects. */
function optionsOfSchema(): string[] {
  const x = { '?': 1 };
  const acme = (options: object): object => ({
    providers: { acme: { baseUrl: 'https://a.example', ...options } },
  });
  const contents = [
    { ...x, store: { ...x, type: 'sqlite' }, services: { s: { ...x, rewrite: x } } },
    { store: { ...x, type: 'redis', url: 'rediss://host', tls: x } },
    { api_management: { ...x, providers: { s: x } } },
    acme({ ...x, retry: x, stream: x, protocol: x, keys: [x], limits: [x] }),
    acme({ errors: [{ ...x, header: x }] }),
    acme({ auth: { ...x, in: 'header' } }),
    acme({ auth: { ...x, in: 'basic' } }),
    { alerts: ALERT_KINDS.map((when) => ({ ...x, when })) },
  ];
  const lists = contents.flatMap((content) => {
    const { message } = errorOf(() => checkContent(content, { name: 'x', folder: '/', catalogue }));
    return [...message.matchAll(/known here: (.*)$/gm)].map(([, list = '']) => list.split(', '));
  });
  expect(lists).toHaveLength(18 + ALERT_KINDS.length);
  return [...new Set(lists.flat())];
}

describe('docs/configuration.md', () => {
  it('explains every option', () => {
    const missing = optionsOfSchema().filter((option) => !new RegExp(`\\b${option}\\b`).test(page));
    expect(missing).toEqual([]);
  });

  it('explains every kind of alert', () => {
    const missing = ALERT_KINDS.filter((kind) => !page.includes(`\n| \`${kind}\` `));
    expect(missing).toEqual([]);
  });

  it('explains every strategy', () => {
    const missing = Object.keys(strategies).filter((name) => !page.includes(`\n| \`${name}\` `));
    expect(missing).toEqual([]);
  });

  it('shows examples that are valid', () => {
    const examples = [...page.matchAll(/```yaml\n([^]*?)```/g)].map(([, example = '']) => example);
    expect(examples.length).toBeGreaterThan(1);
    for (const example of examples) {
      const path = join(folderWith({ 'keymux.config.yaml': example }), 'keymux.config.yaml');
      expect(Object.keys(readConfigurationFile(path, catalogue).content)).not.toEqual([]);
    }
  });
});
