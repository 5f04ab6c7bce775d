/** The virtual keys of a manager's providers: what the application holds in place of their real keys. */
import { applicationOf, isVirtualKey, virtualKeyFor } from '../config/virtual-key.js';
import type { KeyManager } from './key-manager.js';
import { fingerprintKeyFor } from './store-choice.js';

export interface VirtualKey {
  readonly provider: string;
  readonly text: string;
}

export class VirtualKeys {
  readonly #manager: KeyManager;
  /** The own one of each provider with `mode: virtual`. */
  #own = new Map<string, VirtualKey>();
  /** By text. Only ever added to: what the application once held it may still hold. */
  readonly #known = new Map<string, VirtualKey>();
  #all: readonly VirtualKey[] = [];
  #application: string | undefined;

  constructor(manager: KeyManager) {
    this.#manager = manager;
    this.#adopt();
    manager.on('reloaded', () => this.#adopt());
  }

  /** What a provider's variables hold; undefined where its mode is `direct`. */
  of(provider: string): VirtualKey | undefined {
    return this.#own.get(provider);
  }

  /** All that the application may hold, inherited ones too. */
  get all(): readonly VirtualKey[] {
    return this.#all;
  }

  get size(): number {
    return this.#all.length;
  }

  /**
   * Takes up a virtual key of this provider that another application made, such as the program that started this one.
   * Returns whether the text is a virtual key at all.
   */
  accept(provider: string, text: string): boolean {
    if (!isVirtualKey(text)) return false;
    if (!this.#known.has(text)) this.#know({ provider, text });
    return true;
  }

  #adopt(): void {
    const { configuration, store } = this.#manager;
    const virtual = [...configuration.providers.values()].filter(
      ({ mode, signed }) => mode === 'virtual' && !signed,
    );
    const own = new Map<string, VirtualKey>();
    if (virtual.length > 0) {
      const secret = fingerprintKeyFor(store, configuration.store);
      const application = (this.#application ??= applicationOf(configuration));
      for (const { id } of virtual) {
        const key = { provider: id, text: virtualKeyFor(id, application, secret) };
        own.set(id, key);
        this.#know(key);
      }
    }
    this.#own = own;
  }

  #know(key: VirtualKey): void {
    this.#known.set(key.text, key);
    this.#all = [...this.#known.values()];
    this.#manager.origins.addKey(key.provider, key.text);
  }
}

const keys = new WeakMap<KeyManager, VirtualKeys>();

export function virtualKeysOf(manager: KeyManager): VirtualKeys {
  let own = keys.get(manager);
  if (own === undefined) keys.set(manager, (own = new VirtualKeys(manager)));
  return own;
}
