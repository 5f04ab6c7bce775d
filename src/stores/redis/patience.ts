import { KeymuxError } from '../../core/errors.js';
import { hrtimeMs } from './client.js';
import { within } from './client-deadline.js';

/**
 * Waits for an answer as long as the server is heard at all: while replies to others come in on the connection it is
 * load, and no loss. Rejects with `KEYMUX_TIMEOUT` where nothing was heard for `patienceMs`.
 */
export async function patiently<T>(
  answer: Promise<T>,
  lastHeardMs: () => number,
  patienceMs: number,
): Promise<T> {
  const late = new KeymuxError('KEYMUX_TIMEOUT', `Nothing was heard for ${String(patienceMs)} ms.`, {
    fix: 'See whether the server is frozen, overloaded or cut off.',
  });
  let quietSinceMs = hrtimeMs();
  for (;;) {
    try {
      return await within(answer, Math.max(1, quietSinceMs + patienceMs - hrtimeMs()), () => late);
    } catch (error) {
      if (error !== late || lastHeardMs() <= quietSinceMs) throw error;
      quietSinceMs = lastHeardMs();
    }
  }
}
