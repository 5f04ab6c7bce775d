import { describe, expect, it } from 'vitest';
import { errorOf, resolveYaml } from './sample.js';

const PROVIDERS = `
providers:
  one: { baseUrl: https://one.example/v1, protocol: { name: openai } }
  two: { baseUrl: https://two.example, protocol: { name: openai, pathPrefix: /openai/v1 } }
  mirror: { baseUrl: https://mirror.example, protocol: { name: maps } }
  plain: { baseUrl: https://plain.example }
  signer: { baseUrl: https://signer.example, protocol: { name: openai }, signed: true }
`;

function problemsOf(services: string): string[] {
  const { code, message } = errorOf(() => resolveYaml(`services:\n${services}${PROVIDERS}`));
  expect(code).toBe('KEYMUX_CONFIG_INVALID');
  return message.split('\n  ').slice(1);
}

describe('a service with rewrite', () => {
  it('knows its models, and the paths of its providers', () => {
    const { services, providers } = resolveYaml(
      `services:\n  ai: { providers: [one, two], rewrite: { models: [{ one: a, two: b/c }] } }${PROVIDERS}`,
    );
    expect(services.get('ai')?.rewrite).toEqual({ models: [{ one: 'a', two: 'b/c' }] });
    expect(['one', 'two', 'mirror'].map((id) => providers.get(id)?.protocol)).toEqual([
      { name: 'openai', pathPrefix: '/v1' },
      { name: 'openai', pathPrefix: '/openai/v1' },
      { name: 'maps', pathPrefix: '' },
    ]);
  });

  it('may do without models', () => {
    const { services } = resolveYaml(`services:\n  ai: { providers: [one, two], rewrite: {} }${PROVIDERS}`);
    expect(services.get('ai')?.rewrite).toEqual({ models: [] });
  });

  it.each([
    [
      '  ai: { providers: [one, plain], rewrite: {} }',
      'line 2, column 26: services.ai.providers[1] cannot stand beside `rewrite` without `providers.plain.protocol`',
    ],
    [
      '  ai: { providers: [one, mirror], rewrite: {} }',
      'line 2, column 26: services.ai.providers[1] speaks `maps`, and the first one `openai`',
    ],
    [
      '  ai: { providers: [one, signer], rewrite: {} }',
      'line 2, column 26: services.ai.providers[1] signs its requests, so that none of them can be rewritten',
    ],
    [
      '  ai: { providers: [one, two], rewrite: {} }\n  more: { providers: [two], rewrite: {} }',
      'line 3, column 23: services.more.providers[0] stands already in services.ai, which has `rewrite` too',
    ],
    [
      '  one: { providers: [one, two], rewrite: {} }',
      'line 2, column 33: services.one.rewrite needs a service that is not called like a provider',
    ],
    [
      '  ai: { providers: [one, two], rewrite: { models: [{ three: a }] } }',
      'line 2, column 54: services.ai.rewrite.models[0].three is no provider of this service',
    ],
  ])('is refused: %s', (services, problem) => {
    expect(problemsOf(services)).toEqual([problem]);
  });

  it('is checked as the environment leaves it', () => {
    const yaml = `services:\n  ai: { providers: [one, two], rewrite: {} }${PROVIDERS}`;
    const env = { API_PROVIDER_PRIORITIES: '{"ai":["one","plain"]}' };
    expect(errorOf(() => resolveYaml(yaml, env)).message).toContain('services.ai.providers[1] cannot stand');
  });

  it('says nothing against the same providers in services without it', () => {
    const yaml = `services:\n  ai: { providers: [one, plain] }\n  more: { providers: [one, mirror] }${PROVIDERS}`;
    expect([...resolveYaml(yaml).services.keys()]).toContain('more');
  });
});
