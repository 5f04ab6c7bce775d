/** A timer that fires later than this was kept waiting by our own thread. */
const LATE_MS = 5;
/** What an answer gets in addition, once, where our own thread was blocked: even the question may not have left yet. */
const GRACE_MS = 20;

/**
 * The answer, or a rejection with what `onLate` makes once `deadlineMs` have passed. Keeps the program alive until then,
 * unless `isIdle`.
 */
export function within<T>(
  answer: Promise<T>,
  deadlineMs: number,
  onLate: () => Error,
  isIdle = false,
): Promise<T> {
  return new Promise((resolve, reject) => {
    let timer: NodeJS.Timeout | undefined;
    const wait = (ms: number, onTime: (lateMs: number) => void): void => {
      const startedAt = performance.now();
      timer = setTimeout(() => onTime(performance.now() - startedAt - ms), ms);
      if (isIdle) timer.unref();
    };
    // Answers that lie in the socket are read between this timer and the next turn of setImmediate.
    const giveUp = (): void => void setImmediate(() => reject(onLate()));
    wait(deadlineMs, (lateMs) => {
      if (lateMs > LATE_MS) wait(Math.min(GRACE_MS, deadlineMs), giveUp);
      else giveUp();
    });
    void answer.then(resolve, reject).finally(() => clearTimeout(timer));
  });
}
