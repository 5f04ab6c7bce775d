import { targetOf } from '#keymux/gateway/target.js';
import { describe, expect, it } from 'vitest';
import { testManager } from './door.js';

describe('the path of a request', () => {
  it.each([
    ['/acme/v1/x', 'acme', '/v1/x'],
    ['/acme', 'acme', '/'],
    ['/acme?a=1', 'acme', '/?a=1'],
    ['/acme/', 'acme', '/'],
    ['/data/x?to=http://a//b/../c#'.slice(0, -1), 'data', '/x?to=http://a//b/../c'],
    ['/acme/files/a%2Fb', 'acme', '/files/a%2Fb'],
    ['/acme/a//b', 'acme', '/a//b'],
    ['/acme/.well-known/..x/v1...', 'acme', '/.well-known/..x/v1...'],
    ['/acme/{key}/x:go@1', 'acme', '/{key}/x:go@1'],
    ['/ac%6De/x', 'ac%6De', '/x'],
  ])('%s goes to %s with %s', (url, name, path) => {
    expect(targetOf(testManager(), url)).toMatchObject({ kind: 'forward', name, path });
  });

  it('names a service before a provider, and the keys of either', () => {
    const manager = testManager();
    const providersOf = (url: string): string[] => {
      const target = targetOf(manager, url);
      if (target.kind !== 'forward') throw new Error(target.kind);
      return target.pool.contenders.map(({ member }) => member.provider.id);
    };
    expect(providersOf('/data/x')).toEqual(['acme', 'other']);
    expect(providersOf('/other/x')).toEqual(['other']);
  });

  it.each([
    ['/-/api/keys/a%2Fb?x=1&y=2', '/api/keys/a%2Fb', 'x=1&y=2'],
    ['/-', '/', ''],
    ['/-/', '/', ''],
  ])('%s is our own', (url, path, query) => {
    const target = targetOf(testManager(), url);
    expect(target).toMatchObject({ kind: 'own', path });
    expect(target.kind === 'own' && target.query.toString()).toBe(query);
  });

  it.each(['/', '/nothing/x', '/Acme/x', '/acme;a/x', '/constructor/x'])('%s names nothing', (url) => {
    expect(targetOf(testManager(), url)).toEqual({ kind: 'unknown' });
  });

  it('is not repeated where it is odd', () => {
    const target = targetOf(testManager(), '/acme/../canary');
    expect(target).toEqual({ kind: 'odd', why: 'holds `.` or `..` as a part' });
  });
});
