import { createHash } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { catalogue } from '#keymux/providers/catalogue.js';
import { isTemplateValue } from '#keymux/providers/key-shape.js';

describe('isTemplateValue', () => {
  it.each([
    '',
    '   ',
    '\t\n',
    'your-api-key',
    'your_api_key_here',
    'YOUR_OPENAI_KEY',
    'yourapikey',
    'sk-your-key',
    'sk-proj-YOUR_API_KEY',
    'paste your key',
    '<key>',
    '<YOUR KEY>',
    '${OPENAI_API_KEY}',
    '$OPENAI_API_KEY',
    '$(cat key)',
    '{{ key }}',
    '%OPENAI_API_KEY%',
    '[key]',
    '__API_KEY__',
    'changeme',
    'change-me',
    'CHANGE_ME',
    'change me',
    'xxx',
    'XXXXXXXXXXXX',
    'sk-xxxxxxxxxxxxxxxx',
    'sk-ant-api03-xxxxxx',
    'sk-...',
    'sk-…',
    'sk-****',
    'replace-me',
    'replace_with_your_key',
    'insert-key-here',
    'enter key',
    'TODO',
    'todo: ask Ann',
    'example',
    'example_key',
    'dummy',
    'dummy-api-key',
    'fake_token',
    'placeholder',
    'null',
    'undefined',
    'demo',
    'Demo',
  ])('tells the template %j', (value) => {
    expect(isTemplateValue(value)).toBe(true);
  });

  it.each([
    'sk-proj-4fJ2mQx7LxXxbP0aZ',
    'sk-ant-api03-Todo9xxxA-example7',
    'sk_test_51MabcDEF',
    'AIzaSyD3-xxKxJ9demo',
    'ghp_16C7e42F292c6912E7710c838347Ae178B4a',
    'c0ffee00c0ffee00c0ffee00c0ffee00',
    '00000000000000000000000000000001',
    'Z3DM5O2QYOUR9K1L',
    'replaceable8K2',
    'todoist-4711',
    'insertion9',
    'examples-are-keys',
    'fake-key-1',
    'key-1',
    'demo2',
    'a.b.c',
    '-----BEGIN EC PRIVATE KEY-----',
    'tvly-dev-abcYourselfX1',
  ])('spares %j', (value) => {
    expect(isTemplateValue(value)).toBe(false);
  });

  it('spares arbitrary keys of every usual alphabet', () => {
    for (let round = 0; round < 5_000; round += 1) {
      const random = createHash('sha256').update(String(round)).digest();
      for (const key of [
        random.toString('hex'),
        random.toString('base64'),
        random.toString('base64url'),
        `sk-${random.toString('base64url')}`,
      ]) {
        expect(isTemplateValue(key), key).toBe(false);
      }
    }
  });

  it('lets the demo key of a provider that answers to it pass, and no other', () => {
    const demoKeys = catalogue.get('alpha_vantage')?.demoKeys;
    expect(isTemplateValue('demo', demoKeys)).toBe(false);
    expect(isTemplateValue('example', demoKeys)).toBe(true);
    expect(isTemplateValue('demo', catalogue.get('openai')?.demoKeys)).toBe(true);
  });
});
