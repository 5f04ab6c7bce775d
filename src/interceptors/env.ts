import type { Accesses } from '../manager/accesses.js';
import type { KeyManager } from '../manager/key-manager.js';
import { messageOf } from '../manager/events.js';
import type { Member } from '../manager/members.js';
import type { Undo } from '../manager/phases.js';
import type { Pool } from '../manager/pool.js';
import { emitWarning } from '../manager/process-redaction.js';
import { virtualKeysOf } from '../manager/virtual-keys.js';
import { catalogue } from '../providers/catalogue.js';
import { createEnvProxy } from './env-proxy.js';
import type { ManagedName } from './env-proxy.js';
import { patch } from './patches.js';
import { baseName } from './variable-names.js';
import { VirtualVariables } from './virtual-variables.js';

/**
 * Answers managed names of `process.env` with the best key of the moment. Names that the application sets later on
 * (by hand, by dotenv, by `process.loadEnvFile`) are learnt. Names of virtual providers hold their virtual key, in the
 * real environment too.
 */
export function installEnv(manager: KeyManager): Undo {
  const answers = new EnvAnswers(manager, process.env);
  const proxy = createEnvProxy(process.env, answers);
  const undoEnv = patch(process, 'env', () => proxy);
  const undoLoad = patch(process, 'loadEnvFile', (original) => (path?: string | URL | Buffer) => {
    if (path === undefined) original.call(process);
    else original.call(process, path);
    answers.learnSoon();
  });
  return () => {
    answers.stop();
    undoLoad();
    undoEnv();
  };
}

class EnvAnswers {
  readonly names = new Map<string | symbol, Answer>();
  readonly #manager: KeyManager;
  readonly #real: NodeJS.ProcessEnv;
  readonly #virtual: VirtualVariables;
  readonly #stopFollowing: () => void;
  /** As in a plain environment, a deleted name is gone until it is set again; its keys stay in the pool. */
  readonly #deleted = new Set<string>();
  #isBehind = false;

  constructor(manager: KeyManager, real: NodeJS.ProcessEnv) {
    this.#manager = manager;
    this.#real = real;
    this.#virtual = new VirtualVariables(real, virtualKeysOf(manager), (message) =>
      emitWarning(`keymux: ${message} Take the real key out of the environment and of .env.`),
    );
    this.#adopt();
    this.#stopFollowing = manager.on('reloaded', () => this.#adopt());
  }

  fixed(name: string): string | undefined {
    return this.#virtual.keyOf(name)?.text;
  }

  onSet(name: string, value: string): void {
    this.#deleted.delete(name);
    const key = this.#virtual.keyOf(name);
    if (key !== undefined) {
      this.#virtual.onSet(name, key, value);
      this.names.set(name, new FixedName(key.text));
      return;
    }
    if (this.#isKeyName(name)) this.learnSoon();
  }

  onDelete(name: string): void {
    this.#deleted.add(name);
    this.names.delete(name);
  }

  /** Reads the configuration anew: once for many names that were set, and before any managed name is read. */
  learnSoon(): void {
    if (this.#isBehind) return;
    this.#isBehind = true;
    for (const answered of this.names.values()) answered.forget();
    queueMicrotask(() => this.#learn());
  }

  stop(): void {
    this.#stopFollowing();
    this.#virtual.restoreAll();
  }

  /** Takes up what the program set meanwhile; what a name then holds, where there was something. */
  caughtUp(name: string): { readonly value: string | undefined } | undefined {
    if (!this.#isBehind) return undefined;
    this.#learn();
    return { value: this.names.get(name)?.read() ?? this.#real[name] };
  }

  /** The key of a name whose cached one is stale. */
  memberOf(pool: Pool): Member | undefined {
    void this.#manager.recovered();
    return pool.best() ?? pool.leastBad();
  }

  get accesses(): Accesses {
    return this.#manager.accesses;
  }

  get generation(): number {
    return this.#manager.table.generation;
  }

  #learn(): void {
    if (!this.#isBehind) return;
    this.#isBehind = false;
    if (this.#manager.closed) return;
    try {
      this.#manager.reload({ by: 'environment' });
    } catch (error) {
      emitWarning(`keymux: keys set in process.env could not be read: ${messageOf(error)}`);
    }
  }

  #adopt(): void {
    const { configuration } = this.#manager;
    this.names.clear();
    for (const [name, { text }] of this.#virtual.adopt(configuration, this.#deleted))
      this.names.set(name, new FixedName(text));
    for (const { id, env, signed, mode } of configuration.providers.values()) {
      if (mode === 'virtual') continue;
      const pool = this.#manager.poolOfProvider(id);
      if (signed || pool === undefined || pool.contenders.length === 0) continue;
      for (const [index, name] of env.entries()) {
        // The most conventional name also answers for keys that came from a file; the others only where they are set.
        if (this.#deleted.has(name) || (index > 0 && !(name in this.#real))) continue;
        this.names.set(name, new AnsweredName(name, pool, this));
      }
    }
  }

  #isKeyName(name: string): boolean {
    const base = baseName(name);
    for (const providers of [this.#manager.configuration.providers, catalogue]) {
      for (const { env } of providers.values()) if (env.includes(name) || env.includes(base)) return true;
    }
    return false;
  }
}

interface Answer extends ManagedName {
  /** Looks the value up again before the next answer. */
  forget(): void;
}

class FixedName implements Answer {
  readonly #text: string;

  constructor(text: string) {
    this.#text = text;
  }

  read(): string {
    return this.#text;
  }

  isSet(): boolean {
    return true;
  }

  forget(): void {}
}

/** A name that a provider answers; looked up again only when the table says that something changed. */
class AnsweredName implements Answer {
  readonly #name: string;
  readonly #pool: Pool;
  readonly #answers: EnvAnswers;
  readonly #accesses: Accesses;
  #generation: number | undefined;
  #value: string | undefined;
  #keyId: string | undefined;

  constructor(name: string, pool: Pool, answers: EnvAnswers) {
    this.#name = name;
    this.#pool = pool;
    this.#answers = answers;
    this.#accesses = answers.accesses;
  }

  read(): string | undefined {
    const value = this.#current();
    if (!this.#accesses.isActive || value === undefined) return value;
    if (this.#accesses.refusal !== undefined) return undefined;
    if (this.#keyId !== undefined) this.#accesses.note('environment', this.#pool.service, this.#keyId);
    return value;
  }

  isSet(): boolean {
    return this.#current() !== undefined && this.#accesses.refusal === undefined;
  }

  forget(): void {
    this.#generation = undefined;
  }

  #current(): string | undefined {
    const { generation } = this.#answers;
    if (generation !== this.#generation) {
      this.#lookUp();
      this.#generation = generation;
    }
    return this.#value;
  }

  #lookUp(): void {
    const caughtUp = this.#answers.caughtUp(this.#name);
    const member = caughtUp === undefined ? this.#answers.memberOf(this.#pool) : undefined;
    this.#keyId = member?.keyId;
    this.#value = caughtUp === undefined ? member?.credential.secret.reveal() : caughtUp.value;
  }
}
