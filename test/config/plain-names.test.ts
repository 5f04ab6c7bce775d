import { describe, expect, it } from 'vitest';
import { nearestName, readsLikeName, suggestion } from '#keymux/config/plain-names.js';

describe('readsLikeName', () => {
  it.each([
    'limts',
    'baseURL',
    'ACME_API_KEY',
    'healthCheckIntervalMs',
    'acme-2',
    'alpha_vantage',
    'failover_threshold',
  ])('takes %s for a name', (name) => {
    expect(readsLikeName(name)).toBe(true);
  });

  it.each([
    'sk-proj-4fGh8Kl2Mn9Pq3Rs',
    'QX7Z1K9ABCDE1234',
    'c0q8h2v48v6tb9i0',
    'AIzaSyDkQwErTyUiOpAsDfGhJkL',
    'with blank',
    '',
    'a'.repeat(41),
    '-x',
  ])('does not take %s for a name', (text) => {
    expect(readsLikeName(text)).toBe(false);
  });
});

describe('nearestName', () => {
  const options = ['limits', 'baseUrl', 'env', 'errors', 'keys'];

  it.each([
    ['limts', 'limits'],
    ['limtis', 'limits'],
    ['Limits', 'limits'],
    ['base_url', 'baseUrl'],
    ['evn', 'env'],
    ['key', 'keys'],
    ['error', 'errors'],
  ])('finds %s to mean %s', (typed, meant) => {
    expect(nearestName(typed, options)).toBe(meant);
  });

  it.each(['colour', 'xyz', '', 'x'.repeat(50)])('finds nothing near %j', (typed) => {
    expect(nearestName(typed, options)).toBeUndefined();
    expect(suggestion(typed, options)).toBe('');
  });

  it('prefers the nearest, and of equals the first', () => {
    expect(nearestName('finnhubb', ['finhub', 'finnhub'])).toBe('finnhub');
    expect(nearestName('cat', ['bat', 'hat'])).toBe('bat');
  });
});
