/** Waits until no request is under way any more with a key that was taken out of use. */
import { setTimeout as sleep } from 'node:timers/promises';
import { KeymuxError } from '../core/errors.js';
import type { RetiringKey } from '../manager/key-desk.js';
import type { GatewayClient } from './gateway-client.js';

/** Default of the commands that wait. Milliseconds. */
export const DRAIN_MS = 30_000;
const LOOK_EVERY_MS = 100;

/** Throws `KEYMUX_TIMEOUT` where requests are still under way after `withinMs`; what was changed stays changed. */
export async function drained(
  gateway: Pick<GatewayClient, 'ask'>,
  id: string,
  withinMs = DRAIN_MS,
): Promise<void> {
  const deadline = performance.now() + withinMs;
  for (;;) {
    const { retiring } = (await gateway.ask('GET', '/state')) as { retiring: readonly RetiringKey[] };
    const inFlight = retiring.filter((key) => key.id === id).reduce((sum, key) => sum + key.inFlight, 0);
    if (inFlight === 0) return;
    if (performance.now() >= deadline) throw notDrained(id, inFlight, withinMs);
    await sleep(LOOK_EVERY_MS);
  }
}

function notDrained(id: string, inFlight: number, withinMs: number): KeymuxError {
  const text = `After ${withinMs / 1_000} s, ${inFlight} requests are still under way with the old ${id}; it gets no new ones.`;
  return new KeymuxError('KEYMUX_TIMEOUT', text, {
    fix: 'They finish by themselves. Revoke it at the provider when `/-/api/state` no longer lists it as retiring.',
  });
}
