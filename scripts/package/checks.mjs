// Checks with a title each, some at once; all are run, whatever fails.
import { availableParallelism } from 'node:os';

export class Checks {
  failures = 0;

  /** Prints what became of them in their order. */
  async all(checks) {
    const reports = [];
    let next = 0;
    let printed = 0;
    const work = async () => {
      while (next < checks.length) {
        const index = next++;
        reports[index] = await this.#report(checks[index]);
        while (reports[printed] !== undefined) console.log(reports[printed++]);
      }
    };
    await Promise.all(Array.from({ length: Math.min(4, availableParallelism()) }, work));
  }

  async #report([title, check]) {
    try {
      await check();
      return `  ok    ${title}`;
    } catch (error) {
      this.failures += 1;
      return `  FAIL  ${title}\n${String(error.message).trim().replace(/^/gm, '        ')}`;
    }
  }
}
