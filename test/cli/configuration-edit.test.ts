import { withKeyAdded, withKeyRemoved } from '#keymux/cli/configuration-edit.js';
import { parse } from 'jsonc-parser';
import { describe, expect, it } from 'vitest';
import { parseDocument } from 'yaml';

const SPARE = { id: 'spare', value: 'env:SPARE_KEY', priority: 2 };

const YAML = `# Who serves what.
services:
  data: { providers: [acme] } # the only one

providers:
  finnhub:
  acme:
    baseUrl: http://127.0.0.1:9
    # Two accounts.
    keys:
      - { id: main, value: env:ONE } # of Ann
      - id: second
        value: file:second.key
`;

const JSONC = `{
  // Who serves what.
  "providers": {
    "acme": {
      "baseUrl": "http://127.0.0.1:9",
      "keys": [
        { "id": "main", "value": "env:ONE" } // of Ann
      ]
    }
  }
}
`;

describe('a key that is added to a file', () => {
  it('follows the others in YAML, and everything else stays', () => {
    const added = withKeyAdded(YAML, 'yaml', { provider: 'acme', keys: 2 }, SPARE);
    expect(added).toBe(`${YAML}      - { id: spare, value: env:SPARE_KEY, priority: 2 }\n`);
  });

  it.each([
    ['a provider that stands alone', YAML, 'finnhub'],
    ['a provider that is not there', YAML, 'openai'],
    ['a file with nothing in it', '# Nothing yet.\n', 'acme'],
    ['an empty list of keys', 'providers:\n  acme:\n    keys: []\n', 'acme'],
  ])('is the first of %s', (_, text, provider) => {
    const added = withKeyAdded(text, 'yaml', { provider, keys: 0 }, SPARE);
    expect(added).toContain(
      `${provider}:\n    keys:\n      - { id: spare, value: env:SPARE_KEY, priority: 2 }\n`,
    );
    for (const line of text.split('\n').filter((one) => one.includes('#'))) expect(added).toContain(line);
  });

  it('is written in the manner of the library where the file is not in lines as it would have them', () => {
    const text = 'providers:\n  acme: { keys: [\n    { id: main,\n      value: "env:ONE" } ] }\n';
    const added = withKeyAdded(text, 'yaml', { provider: 'acme', keys: 1 }, SPARE);
    expect(parseDocument(added).toJS()).toEqual({
      providers: { acme: { keys: [{ id: 'main', value: 'env:ONE' }, SPARE] } },
    });
  });

  it('follows the others in JSON with comments', () => {
    const added = withKeyAdded(JSONC, 'jsonc', { provider: 'acme', keys: 1 }, SPARE);
    expect(added).toContain('// of Ann');
    expect(added).toContain('// Who serves what.');
    const plain = parse(added) as {
      providers: { acme: { keys: unknown[] } };
    };
    expect(plain.providers.acme.keys).toEqual([{ id: 'main', value: 'env:ONE' }, SPARE]);
  });

  it('is the first in JSON', () => {
    const added = withKeyAdded('{}', 'json', { provider: 'openai', keys: 0 }, SPARE);
    expect(JSON.parse(added)).toEqual({ providers: { openai: { keys: [SPARE] } } });
  });
});

describe('a key that is removed from a file', () => {
  it('takes nothing else along', () => {
    const removed = withKeyRemoved(YAML, 'yaml', { provider: 'acme', keys: 2 }, 1);
    expect(removed).toBe(YAML.split('\n').slice(0, -3).join('\n').concat('\n'));
    const json = withKeyRemoved(
      '{"providers":{"acme":{"keys":[{"id":"a"},{"id":"b"}]}}}',
      'json',
      { provider: 'acme', keys: 2 },
      0,
    );
    expect(JSON.parse(json)).toEqual({ providers: { acme: { keys: [{ id: 'b' }] } } });
  });

  it('takes an empty list along', () => {
    const removed = withKeyRemoved(JSONC, 'jsonc', { provider: 'acme', keys: 1 }, 0);
    expect(removed).not.toContain('keys');
    expect(removed).toContain('baseUrl');
  });
});
