import { KeymuxError } from '../core/errors.js';
import { messageOf } from './events.js';
import { emitWarning, redactCause, redactKnown } from './process-redaction.js';

/** The six phases of initialization, in order. */
export const PHASES = [
  'data structures',
  'external dependencies',
  'provider discovery',
  'state recovery',
  'background services',
  'integration',
] as const;

/** One of `PHASES`. */
export type PhaseName = (typeof PHASES)[number];

/** Takes back what a phase did. */
export type Undo = () => void | Promise<void>;

/**
 * Runs phases one after the other and remembers how to undo them. A phase that fails undoes those before it, in
 * reverse, and says which it was; the caller may start anew.
 */
export class PhaseRunner {
  #undos: Step[] = [];

  run<T>(phase: PhaseName, work: () => T): T {
    try {
      return work();
    } catch (error) {
      void this.undoAll();
      throw failureOf(phase, error);
    }
  }

  onUndo(phase: PhaseName, undo: Undo): void {
    this.#undos.push({ phase, undo });
  }

  /** Undoes one phase alone, before the rest. */
  async undo(wanted: PhaseName): Promise<void> {
    const chosen = this.#undos.filter(({ phase }) => phase === wanted);
    this.#undos = this.#undos.filter(({ phase }) => phase !== wanted);
    await undoInReverse(chosen);
  }

  /**
   * Undoes everything, the latest first; one that fails does not keep the others from being undone. What is
   * synchronous at the head of the list is undone before this returns, so that no patched global is left behind.
   */
  async undoAll(): Promise<void> {
    const all = this.#undos;
    this.#undos = [];
    await undoInReverse(all);
  }
}

interface Step {
  readonly phase: PhaseName;
  readonly undo: Undo;
}

async function undoInReverse(steps: readonly Step[]): Promise<void> {
  for (const { phase, undo } of steps.toReversed()) {
    try {
      const result = undo();
      if (result instanceof Promise) await result;
    } catch (error) {
      emitWarning(`keymux: undoing "${phase}" failed: ${messageOf(error)}`);
    }
  }
}

function failureOf(phase: PhaseName, cause: unknown): KeymuxError {
  const fix =
    cause instanceof KeymuxError ? cause.fix : 'Mend the cause and call again; nothing was left behind.';
  return new KeymuxError(
    'KEYMUX_INIT_FAILED',
    `keymux could not start: ${phase} failed: ${redactKnown(messageOf(cause))}`,
    { fix, cause: redactCause(cause) },
  );
}
