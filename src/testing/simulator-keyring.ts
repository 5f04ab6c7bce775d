import { KeymuxError } from '../core/errors.js';
import type { Allowance, KeyScript } from './script-key.js';
import type { KeyNames } from './simulator-identity.js';
import { KeyState } from './simulator-key.js';
import { Meter } from './simulator-meter.js';

/** The keys that the provider knows, by text and by name, and the buckets that they share. */
export class KeyRing {
  readonly #byText = new Map<string, KeyState>();
  readonly #byName = new Map<string, KeyState>();
  readonly #buckets: ReadonlyMap<string, Meter>;
  readonly #startedAt: number;
  #names: KeyNames = new Map();

  constructor(buckets: Readonly<Record<string, Allowance>>, startedAt: number) {
    this.#startedAt = startedAt;
    this.#buckets = new Map(
      Object.entries(buckets).map(([name, allowance]) => [
        name,
        new Meter(`bucket ${name}`, allowance, startedAt),
      ]),
    );
  }

  add(text: string, script: KeyScript, onChange: ConstructorParameters<typeof KeyState>[4]): KeyState {
    const name = script.name ?? `key-${this.#byText.size + 1}`;
    const usage = (problem: string, fix: string): KeymuxError =>
      new KeymuxError('KEYMUX_USAGE', problem, { fix });
    if (text === '')
      throw usage(`The simulated key ${name} has an empty text`, 'Give each key a text of its own.');
    if (this.#byText.has(text)) {
      throw usage(
        `The simulated key ${name} has the same text as another`,
        'Give each key a text of its own.',
      );
    }
    if (this.#byName.has(name)) {
      throw usage(`Two simulated keys are called ${name}`, "Give each key a 'name' of its own.");
    }
    const bucket = script.bucket === undefined ? undefined : this.#buckets.get(script.bucket);
    if (script.bucket !== undefined && bucket === undefined) {
      throw usage(
        `The simulated key ${name} names a bucket ${script.bucket} that does not exist`,
        "Declare it in the simulator's 'buckets'.",
      );
    }
    const key = new KeyState(name, script, bucket, this.#startedAt, onChange);
    this.#byText.set(text, key);
    this.#byName.set(name, key);
    this.#names = new Map([...this.#names, [text, name] as const].sort(([a], [b]) => b.length - a.length));
    return key;
  }

  get names(): KeyNames {
    return this.#names;
  }

  byText(text: string | undefined): KeyState | undefined {
    return text === undefined ? undefined : this.#byText.get(text);
  }

  byName(name: string): KeyState {
    const key = this.#byName.get(name);
    if (key !== undefined) return key;
    const known = [...this.#byName.keys()].join(', ');
    throw new KeymuxError('KEYMUX_UNKNOWN_KEY', `The simulator has no key called ${name}`, {
      fix: known === '' ? 'Give it one: startSimulator({ keys: … }).' : `It has ${known}.`,
    });
  }

  all(): KeyState[] {
    return [...this.#byName.values()];
  }
}
