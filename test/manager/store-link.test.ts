import { KeymuxError } from '#keymux/core/errors.js';
import { SILENCE_MS, Silence, isSilence } from '#keymux/core/silence.js';
import { StoreLink } from '#keymux/manager/store-link.js';
import { describe, expect, it, onTestFinished } from 'vitest';

const soon = { timeout: 10_000, interval: 5 };

function unavailable(cause: unknown): KeymuxError {
  return new KeymuxError('KEYMUX_STORE_UNAVAILABLE', 'It cannot be used.', { fix: 'Mend it.', cause });
}
const silence = unavailable(new Silence(40));
const refusal = unavailable(new Error('ECONNREFUSED'));

/** A link, what it told, and what the attempts to come back meet with: a promise, or an error. */
function linkTo(rejoin: () => Promise<void>) {
  const told: unknown[] = [];
  const link = new StoreLink({
    now: () => performance.now(),
    random: () => 0,
    onLost: (error) => told.push(error),
    rejoin,
    onBack: (wasLost) => told.push(wasLost ? 'back' : 'heard'),
  });
  onTestFinished(() => link.close());
  const fail = (error: unknown): void => expect(() => link.ask(() => throwIt(error))).toThrow();
  return { link, told, fail };
}

function throwIt(error: unknown): never {
  throw error;
}

describe('a store of which nothing is heard', () => {
  it('is asked again at once, and is not lost where it then answers', async () => {
    let answer: () => void = () => {};
    const { link, told, fail } = linkTo(() => new Promise((resolve) => (answer = resolve)));
    fail(silence);
    expect([link.isLost, link.isInDoubt, told]).toEqual([true, true, []]);
    const since = link.lostAt;
    fail(silence);
    expect(link.lostAt).toBe(since);
    await expect
      .poll(() => {
        answer();
        return told;
      }, soon)
      .toEqual(['heard']);
    expect([link.isLost, link.isInDoubt]).toEqual([false, false]);
  });

  it('is lost when that has lasted, and told of once', async () => {
    let answer: () => void = () => {};
    const { link, told, fail } = linkTo(() => new Promise((resolve) => (answer = resolve)));
    const from = performance.now();
    fail(silence);
    await expect.poll(() => told, soon).toEqual([silence]);
    expect(performance.now() - from).toBeGreaterThan(SILENCE_MS - 5);
    expect([link.isLost, link.isInDoubt]).toEqual([true, false]);
    answer();
    await expect.poll(() => told, soon).toEqual([silence, 'back']);
  });

  it('is lost at once where another question is refused', () => {
    const { link, told, fail } = linkTo(() => new Promise(() => {}));
    fail(silence);
    fail(refusal);
    fail(refusal);
    expect([told, link.isInDoubt]).toEqual([[refusal], false]);
  });

  it('is lost at once where an attempt to reach it is refused', async () => {
    const { told, fail } = linkTo(() => Promise.reject(refusal));
    fail(silence);
    await expect.poll(() => told, soon).toEqual([refusal]);
  });

  it('stays in doubt where the attempt fails for silence, too', async () => {
    let attempts = 0;
    const { link, told, fail } = linkTo(() => {
      attempts += 1;
      return attempts === 1 ? Promise.reject(silence) : Promise.resolve();
    });
    fail(silence);
    await expect.poll(() => told, soon).toEqual(['heard']);
    expect([attempts, link.isLost]).toEqual([2, false]);
  });

  it('is told of no more when the link is closed', () => {
    const { link, told, fail } = linkTo(() => new Promise(() => {}));
    fail(silence);
    link.close();
    fail(refusal);
    expect(told).toEqual([]);
  });
});

describe('silence', () => {
  it('is known by its cause, also across copies of the class', () => {
    expect([isSilence(silence), isSilence(refusal), isSilence('silence'), isSilence(undefined)]).toEqual([
      true,
      false,
      false,
      false,
    ]);
    const copy = Object.assign(new Error('of a bundle'), { [Symbol.for('keymux.silence')]: true });
    expect(isSilence(unavailable(copy))).toBe(true);
  });
});
