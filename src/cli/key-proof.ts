/** Proves a new key with its provider before anything depends on it. */
import type { Credential } from '../core/credential.js';
import { keyIdOf } from '../core/credential.js';
import { KeymuxError } from '../core/errors.js';
import type { ProviderDefinition } from '../core/provider.js';
import { Member } from '../manager/members.js';
import { sendProbe } from '../manager/probe.js';
import { StateTable } from '../state/table.js';

/**
 * Asks the provider's probe endpoint with the key; false where it has none that tells of a key.
 * @throws `KEYMUX_NO_USABLE_KEY` where the provider does not take it, `KEYMUX_PROVIDER_UNREACHABLE` where it does not say
 */
export async function proveKey(credential: Credential, provider: ProviderDefinition): Promise<boolean> {
  const { probe } = provider;
  if (probe === undefined || !probe.authenticated) return false;
  const member = new Member(credential, provider, StateTable.create(), () => new Uint8Array(32));
  const { signal } = new AbortController();
  const { kind } = await sendProbe(member, probe, { fetch, now: Date.now, signal });
  if (kind === 'success') return true;
  const id = keyIdOf(credential);
  const fix = 'Nothing was changed. `--no-check` goes on without asking the provider.';
  if (kind === 'rejected' || kind === 'restricted') {
    throw new KeymuxError(
      'KEYMUX_NO_USABLE_KEY',
      `${provider.id} does not take the new key ${id}: ${kind}.`,
      {
        fix,
      },
    );
  }
  throw new KeymuxError(
    'KEYMUX_PROVIDER_UNREACHABLE',
    `The new key ${id} could not be proven: ${provider.id} answered with "${kind}".`,
    { fix },
  );
}
