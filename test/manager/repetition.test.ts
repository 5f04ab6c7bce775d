import type { Protocol, ProviderDefinition } from '#keymux/core/provider.js';
import { DEFAULT_RETRY } from '#keymux/core/provider.js';
import { isRepeatable } from '#keymux/manager/repetition.js';
import { describe, expect, it } from 'vitest';
import { acmeManager } from './acme.js';

function provider(
  pathPrefix: string | undefined,
  repeatable: string[] = [],
  name = 'openai',
): ProviderDefinition {
  const { protocol, ...plain } = acmeManager().poolOf('acme').contenders[0]!.member.provider;
  expect(protocol).toBeUndefined();
  const spoken: { protocol?: Protocol } = pathPrefix === undefined ? {} : { protocol: { name, pathPrefix } };
  return { ...plain, ...spoken, retry: { ...DEFAULT_RETRY, repeatable } };
}

function request(method: string, path: string, hasIdempotencyKey = false) {
  return { method, path, hasIdempotencyKey, canReplay: () => true };
}

describe('a request that may have been carried out', () => {
  it('is repeated where its method or its key makes that safe', () => {
    const plain = provider(undefined);
    for (const method of ['GET', 'HEAD', 'OPTIONS'])
      expect(isRepeatable(request(method, '/x'), plain, [])).toBe(true);
    expect(isRepeatable(request('POST', '/x', true), plain, [])).toBe(true);
    expect(isRepeatable(request('POST', '/x'), plain, [])).toBe(false);
  });

  it('is repeated where the configuration marks its route, whatever the query', () => {
    const marked = provider(undefined, ['POST /search', 'PUT /free/*']);
    expect(isRepeatable(request('POST', '/search?q=1'), marked, [marked])).toBe(true);
    expect(isRepeatable(request('POST', '/search/more'), marked, [marked])).toBe(false);
    expect(isRepeatable(request('PUT', '/free/x/y'), marked, [marked])).toBe(true);
    expect(isRepeatable(request('POST', '/free/x'), marked, [marked])).toBe(false);
  });

  it('is repeated where a step of its path may be any', () => {
    const marked = provider(undefined, ['POST /models/*:generate', 'POST /users/*/search/*']);
    const is = (path: string): boolean => isRepeatable(request('POST', path), marked, [marked]);
    expect(['/models/a:generate', '/models/:generate:generate', '/users/7/search/x/y'].map(is)).toEqual([
      ...[true, true, true],
    ]);
    expect(
      ['/models/a/b:generate', '/models/a:generateMore', '/users/7/8/search/', '/users'].map(is),
    ).toEqual([...[false, false, false, false]]);
  });

  it('is known by the route that it has at the provider in hand, though made for another one', () => {
    const second = provider('/openai/v1', ['POST /openai/v1/chat']);
    const others = [provider('/w', [], 'maps'), provider(''), provider('/v1'), second];
    expect(isRepeatable(request('POST', '/v1/chat'), second, others)).toBe(true);
    expect(isRepeatable(request('POST', '/chat'), second, others)).toBe(true);
    expect(isRepeatable(request('POST', '/openai/v1/chat'), second, others)).toBe(true);
    expect(isRepeatable(request('POST', '/w/chat'), second, others)).toBe(false);
    expect(isRepeatable(request('POST', '/v2/chat'), second, [provider('/v1')])).toBe(false);
  });
});
