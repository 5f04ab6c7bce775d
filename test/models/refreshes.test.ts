import { afterEach, describe, expect, it } from 'vitest';
import { SecureConfigManager } from '#keymux/config/secure-config-manager.js';
import type { SecretSource, SecretValue } from '#keymux/config/secret-source.js';
import { type Run, trySequences } from './sequences.js';

type Step = 'asks' | 'the source answers' | 'the source fails' | 'closes';

/** A source that answers when it is told to, each time with another value. */
class Source implements SecretSource {
  readonly scheme = 'cloud';
  readonly waiting: { resolve: (value: SecretValue) => void; reject: (error: Error) => void }[] = [];
  answers = 0;
  asked = 0;

  read(): Promise<SecretValue> {
    this.asked += 1;
    return new Promise((resolve, reject) => this.waiting.push({ resolve, reject }));
  }
}

const opened: SecureConfigManager[] = [];
afterEach(() => {
  for (const manager of opened.splice(0)) manager.close();
});

/** Callers that want the secret read anew, and the one source of it. */
class World implements Run<Step> {
  readonly #source = new Source();
  readonly #manager = new SecureConfigManager({ sources: [this.#source], env: {}, cwd: '/nonexistent' });
  #fault: string | undefined;
  #asking = 0;
  #askedAtClose: number | undefined;

  constructor() {
    opened.push(this.#manager);
  }

  possible(): readonly Step[] {
    if (this.#askedAtClose !== undefined) return [];
    const answering: Step[] =
      this.#source.waiting.length > 0 ? ['the source answers', 'the source fails'] : [];
    return ['asks', ...answering, 'closes'];
  }

  async take(step: Step): Promise<void> {
    switch (step) {
      case 'asks':
        void this.#ask();
        break;
      case 'the source answers':
        this.#source.answers += 1;
        this.#source.waiting.shift()?.resolve({ value: `value-${this.#source.answers}` });
        break;
      case 'the source fails':
        this.#source.waiting.shift()?.reject(new Error('down'));
        break;
      case 'closes':
        this.#askedAtClose = this.#source.asked;
        this.#manager.close();
    }
    // All that follows from it, but no timer.
    await new Promise(setImmediate);
  }

  fault(): string | undefined {
    if (this.#fault !== undefined) return this.#fault;
    if (this.#askedAtClose !== undefined && this.#source.asked > this.#askedAtClose)
      return 'asked after it was closed';
    if (this.#source.waiting.length > 1) return 'asked twice at one time';
    return this.#asking > 0 && this.#source.waiting.length === 0 ? 'somebody waits for nothing' : undefined;
  }

  async #ask(): Promise<void> {
    const known = this.#source.answers;
    this.#asking += 1;
    try {
      const value = (await this.#manager.read('cloud:a')).reveal();
      if (Number(value.replace('value-', '')) < known) this.#fault = `${value} after value-${known}`;
      if (this.#source.answers === 0) this.#fault = `${value} from nowhere`;
    } catch {
      if (known > 0 && this.#askedAtClose === undefined) this.#fault = 'the last good value is lost';
    } finally {
      this.#asking -= 1;
    }
  }
}

describe('refreshes of one secret, in every order of questions and answers', () => {
  it('are one at a time, never give an older value, and end with the manager', async () => {
    expect(await trySequences(() => new World(), 9)).toBeGreaterThan(500);
  });
});
