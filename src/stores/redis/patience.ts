import { Silence } from '../../core/silence.js';
import { hrtimeMs } from './client.js';
import { within } from './client-deadline.js';

/**
 * Waits for an answer as long as the server is heard at all: while replies to others come in on the connection it is
 * load, and no loss. Rejects with `Silence` where nothing was heard for `patienceMs`.
 */
export async function patiently<T>(
  answer: Promise<T>,
  lastHeardMs: () => number,
  patienceMs: number,
): Promise<T> {
  let late: Silence | undefined;
  // Made only when it is needed: an error costs as much as the rest of this.
  const onLate = (): Silence => (late = new Silence(patienceMs));
  let quietSinceMs = hrtimeMs();
  for (;;) {
    try {
      return await within(answer, Math.max(1, quietSinceMs + patienceMs - hrtimeMs()), onLate);
    } catch (error) {
      if (error !== late || lastHeardMs() <= quietSinceMs) throw error;
      quietSinceMs = lastHeardMs();
    }
  }
}
