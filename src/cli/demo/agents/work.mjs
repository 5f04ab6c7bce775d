// The loop of every agent: so many pieces of work, with a pause after each, and a line of JSON about each on stdout.
import { setTimeout as pause } from 'node:timers/promises';

/**
 * `piece(id)` does one piece of work and throws if it fails; nothing is tried twice here. `atOnce` of them run side by
 * side.
 */
export async function work({ agent, pieces, pauseMs, atOnce = 1 }, piece) {
  let ok = 0;
  let lost = 0;
  const tell = (news) => console.log(JSON.stringify({ agent, of: pieces, ok, lost, ...news }));
  const run = async (id) => {
    try {
      await piece(id);
      ok += 1;
      tell({ id });
    } catch (error) {
      lost += 1;
      const because = error.cause?.message === undefined ? '' : ` (${error.cause.message})`;
      tell({ id, error: `${error.message ?? error}${because}` });
    }
  };
  tell({});
  for (let n = 1; n <= pieces; n += atOnce) {
    const count = Math.min(atOnce, pieces - n + 1);
    await Promise.all(Array.from({ length: count }, (_, index) => run(`${agent}-${n + index}`)));
    await pause(pauseMs);
  }
}

/** The answer is not what it should be. */
export function expect(condition, what, answer) {
  if (!condition) throw new Error(`${what}: ${JSON.stringify(answer)}`);
}
