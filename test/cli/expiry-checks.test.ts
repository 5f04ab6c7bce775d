import { expect, it } from 'vitest';
import type { Configuration } from '#keymux/config/configuration.js';
import { expiryChecks } from '#keymux/cli/doctor/expiry-checks.js';

const DAY_MS = 86_400_000;
const NOW = Date.UTC(2027, 0, 1);

function checksOf(...ends: (number | undefined)[]) {
  const credentials = ends.map((expiresAt, index) => ({
    provider: 'acme',
    id: String(index),
    ...(expiresAt === undefined ? {} : { expiresAt }),
  }));
  return expiryChecks({ credentials } as unknown as Configuration, NOW);
}

it('warns of keys that have expired, or will within fourteen days', () => {
  expect(checksOf(undefined, NOW + 15 * DAY_MS)).toEqual([]);
  const checks = checksOf(NOW, NOW + 14 * DAY_MS);
  expect(checks.map(({ status, message }) => [status, message])).toEqual([
    ['warn', 'acme/0 expired 2027-01-01T00:00:00.000Z'],
    ['warn', 'acme/1 expires 2027-01-15T00:00:00.000Z'],
  ]);
  expect(checks[0]?.fix).toContain('keymux keys rotate acme/0');
});
