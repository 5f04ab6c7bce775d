/** Tries every sequence of steps, up to a length, of something that cannot be copied: each is run from the beginning. */

/** One run: which steps are possible now, and what is wrong, if anything. */
export interface Run<Step extends string> {
  readonly possible: () => readonly Step[];
  readonly take: (step: Step) => void | Promise<void>;
  /** Asked after each step. */
  readonly fault: () => string | undefined;
}

/** How many sequences there were. Fails with the first that goes wrong; shorter ones are tried before longer ones. */
export async function trySequences<Step extends string>(
  begin: () => Run<Step>,
  longest: number,
): Promise<number> {
  const queue: { readonly steps: readonly Step[]; readonly possible: readonly Step[] }[] = [
    { steps: [], possible: begin().possible() },
  ];
  // The queue grows while it is read.
  for (const { steps, possible } of queue) {
    if (steps.length === longest) break;
    for (const step of possible) {
      const longer = [...steps, step];
      const run = await replay(begin, longer);
      const fault = run.fault();
      if (fault !== undefined) throw new Error(`${fault}\n  ${longer.join('\n  ')}`);
      queue.push({ steps: longer, possible: run.possible() });
    }
  }
  return queue.length - 1;
}

async function replay<Step extends string>(
  begin: () => Run<Step>,
  sequence: readonly Step[],
): Promise<Run<Step>> {
  const run = begin();
  for (const step of sequence) {
    const taken = run.take(step);
    if (taken !== undefined) await taken;
  }
  return run;
}
