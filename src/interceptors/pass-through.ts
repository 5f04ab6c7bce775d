/** Whatever goes wrong inside keymux, the application's request goes on as if keymux were not there. */
import type { MaybePromise } from '../core/ports.js';
import type { Step } from '../manager/attempt.js';
import { messageOf } from '../manager/events.js';
import { emitWarning } from '../manager/process-redaction.js';

let isReported = false;

/** Tells of an error of our own, once per process. */
export function reportOwnError(error: unknown): void {
  if (isReported) return;
  isReported = true;
  emitWarning(`keymux left a request as it was after an error of its own: ${messageOf(error)}`, {
    code: 'KEYMUX_INTERNAL',
  });
}

/** Goes on at once where the value is there, so that the usual path stays within the running turn. */
export function whenSettled<T>(
  value: MaybePromise<T>,
  onValue: (value: T) => void,
  onError: (error: unknown) => void,
): void {
  if (value instanceof Promise) value.then(onValue, onError).catch(reportOwnError);
  else onValue(value);
}

/** What the engine says; where it fails, the application gets what there is. */
export function orDeliver(judge: () => MaybePromise<Step>): MaybePromise<Step> {
  try {
    return judge();
  } catch (error) {
    reportOwnError(error);
    return { do: 'deliver' };
  }
}
