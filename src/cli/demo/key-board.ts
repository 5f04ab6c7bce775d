/** How the keys fare, as the programs tell on keymux's diagnostics channels. */
import type { DeadlineSource, OutcomeKind } from '../../core/outcome.js';
import type { KeymuxNews } from './agent-programs.js';
import type { StagedProvider } from './bad-day.js';

export type KeyMood = 'ready' | 'resting' | 'dead' | 'out-of-permits';

export interface KeyState {
  readonly id: string;
  readonly mood: KeyMood;
  readonly reason?: string;
  /** When it returns, in epoch milliseconds. */
  readonly until?: number;
}

export interface ProviderState {
  readonly id: string;
  /** The whole provider rests until then, in epoch milliseconds. */
  readonly restsUntil?: number;
  readonly keys: readonly KeyState[];
}

interface Rest {
  readonly mood: KeyMood;
  readonly reason: OutcomeKind | 'limit reached';
  readonly until: number;
  readonly source?: DeadlineSource;
}

export class KeyBoard {
  readonly #providers: readonly StagedProvider[];
  readonly #rests = new Map<string, Rest>();

  constructor(providers: readonly StagedProvider[]) {
    this.#providers = providers;
  }

  apply({ name, event }: KeymuxNews): void {
    switch (name) {
      case 'cooldown':
      case 'rejected': {
        const { subject, reason, until } = event;
        const isDead = reason === 'rejected' || reason === 'quota-exhausted';
        this.#rests.set(subject, { mood: isDead ? 'dead' : 'resting', reason, until });
        return;
      }
      case 'quota':
        if (!this.#rests.has(event.bucket)) {
          this.#rests.set(event.bucket, {
            mood: 'out-of-permits',
            reason: 'limit reached',
            until: event.retryAt,
          });
        }
        return;
      case 'recovered':
        this.#rests.delete(event.subject);
        return;
      default:
    }
  }

  states(now: number): ProviderState[] {
    for (const [subject, { until }] of this.#rests) if (until <= now) this.#rests.delete(subject);
    return this.#providers.map((provider) => {
      const rest = this.#rests.get(provider.id);
      return {
        id: provider.id,
        ...(rest === undefined ? {} : { restsUntil: rest.until }),
        keys: provider.keys.map(({ id, script }) => this.#stateOf(provider.id, id, script.bucket)),
      };
    });
  }

  /** A bucket that no key shares has the name of its key. */
  #stateOf(provider: string, id: string, bucket: string | undefined): KeyState {
    const rest = this.#rests.get(`${provider}/${id}`) ?? this.#rests.get(`${provider}/${bucket}`);
    if (rest === undefined) return { id, mood: 'ready' };
    return { id, mood: rest.mood, reason: rest.reason, until: rest.until };
  }
}
