/** Where nothing is heard of a store in time, it may be lost, and it may as well only wait for the processor. */

/** Silence that lasts so long is taken for loss. Milliseconds. */
export const SILENCE_MS = 500;

const brand = Symbol.for('keymux.silence');

/**
 * Why a question to a store was given up that may still be answered. It is the `cause` of what a store fails with.
 * `instanceof` works across two copies of the class: some stores are bundled.
 */
export class Silence extends Error {
  readonly [brand] = true;

  constructor(lastedMs: number, options?: ErrorOptions) {
    super(`Nothing was heard for ${String(lastedMs)} ms.`, options);
    this.name = 'Silence';
  }

  static override [Symbol.hasInstance](value: unknown): boolean {
    return typeof value === 'object' && value !== null && brand in value;
  }
}

/** Whether an error of a store leaves open whether the store is lost: silence is its cause, or the cause of that. */
export function isSilence(error: unknown): boolean {
  if (!(error instanceof Error)) return false;
  return error instanceof Silence || isSilence(error.cause);
}
