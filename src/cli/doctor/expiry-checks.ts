import type { Configuration } from '../../config/configuration.js';
import { keyIdOf } from '../../core/credential.js';
import { warningAt } from '../../core/key-expiry.js';
import { warned } from './check.js';
import type { Check } from './check.js';

/** Keys that have expired as planned, or will before long. */
export function expiryChecks({ credentials }: Configuration, now: number): Check[] {
  return credentials.flatMap((credential) => {
    const { expiresAt } = credential;
    if (expiresAt === undefined || (now < expiresAt && warningAt(expiresAt, now) === undefined)) return [];
    const id = keyIdOf(credential);
    const text = `${id} ${now < expiresAt ? 'expires' : 'expired'} ${new Date(expiresAt).toISOString()}`;
    return [warned('expiry', text, `Replace it: \`keymux keys rotate ${id}\`, and state its new end.`)];
  });
}
