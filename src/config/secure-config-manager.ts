import { KeymuxError } from '../core/errors.js';
import type { Clock, Random } from '../core/ports.js';
import type { Secret } from '../core/secret.js';
import type { TemplateTest, VaultDefinition } from './configuration.js';
import { readEnvironment } from './environment.js';
import { HeldSecret } from './held-secret.js';
import {
  type ReadKey,
  readReference,
  readReferenceLater,
  type ReferenceContext,
  unreadableKey,
} from './reference.js';
import { readFromSource, type SecretSource, sourcesByScheme } from './secret-source.js';

const DEFAULT_STALE_MS = 3_600_000;
const DEFAULT_REFRESH_MS = 300_000;
const DEFAULT_TIMEOUT_MS = 10_000;

/** What a `SecureConfigManager` reads from, and how long it trusts what it read. */
export interface SecureConfigOptions {
  /** For references that keymux cannot read by itself. */
  readonly sources?: readonly SecretSource[];
  /** Default: `process.env`, with `.env` of `cwd`. */
  readonly env?: Readonly<Record<string, string | undefined>>;
  /** Where relative paths start. Default: the working directory. */
  readonly cwd?: string;
  /** Default: `keymux.vault` in `cwd`, with the key in `KEYMUX_VAULT_KEY`. */
  readonly vault?: VaultDefinition;
  /** How long the last good value is served once its source fails. Milliseconds. Default: 3,600,000. */
  readonly staleMs?: number;
  /** How often a source is asked that states no `expiresAt`. Milliseconds. Default: 300,000. */
  readonly refreshMs?: number;
  /** How long a source may take. Milliseconds. Default: 10,000. */
  readonly timeoutMs?: number;
  readonly isTemplateValue?: TemplateTest;
  readonly now?: Clock;
  readonly random?: Random;
  /** A value is another one than before, came, or is given up. Told once for what happens at one time. */
  readonly onChange?: () => void;
  /** A source began to fail, or has failed for too long. Names the reference and the key, never a value. */
  readonly onTrouble?: (error: KeymuxError) => void;
}

/**
 * What the resolution of a configuration needs of a `SecureConfigManager`.
 * @internal
 */
export interface SecretReader {
  readonly schemes: readonly string[];
  /** @throws `KEYMUX_SECRET_UNREADABLE`, `KEYMUX_VAULT_LOCKED`, `KEYMUX_VAULT_DAMAGED` */
  readKey(reference: string, context: ReferenceContext): ReadKey;
}

/**
 * Resolves the references of secrets and keeps what it resolved fresh: `env:`, `file:`, `vault:` and `exec:`, and those
 * of registered sources. A value whose source says how long it is good is renewed before that; one whose source fails
 * is served for a bounded time. Nothing it throws or tells holds a secret.
 */
export class SecureConfigManager implements SecretReader, Disposable {
  readonly #options: SecureConfigOptions;
  readonly #sources: ReadonlyMap<string, SecretSource>;
  readonly #now: Clock;
  readonly #held = new Map<string, HeldSecret>();
  readonly #closing = new AbortController();
  #inUse: Set<HeldSecret> | undefined;
  #announcement: Promise<void> | undefined;

  /** @throws `KEYMUX_USAGE` for sources whose schemes cannot be */
  constructor(options: SecureConfigOptions = {}) {
    this.#options = options;
    this.#sources = sourcesByScheme(options.sources ?? []);
    this.#now = options.now ?? Date.now;
  }

  /** What the references of the registered sources begin with. */
  get schemes(): readonly string[] {
    return [...this.#sources.keys()];
  }

  /**
   * The secret at this moment. A registered source is asked the first time, and its answer is there later on: wait for
   * it with `read`. Throws as `readKey` does. `name`: what to call it in messages.
   */
  resolve(reference: string, name?: string): Secret {
    return this.readKey(reference, this.#contextOf(name)).secret;
  }

  /** Reads it anew, once for all that ask at one time; gives the last good value where the source fails. */
  async read(reference: string, name?: string): Promise<Secret> {
    const context = this.#contextOf(name);
    const held = this.#heldOf(reference, context);
    await this.#refresh(held);
    return this.#current(held).secret;
  }

  /**
   * As `resolve`, for the resolution of a configuration.
   * @internal
   */
  readKey(reference: string, context: ReferenceContext): ReadKey {
    // A variable cannot fail, only go: then it was taken away.
    if (reference.startsWith('env:')) return readReference(reference, context);
    const held = this.#heldOf(reference, context);
    this.#inUse?.add(held);
    if (this.#sources.has(schemeOf(reference))) {
      if (held.value === undefined && held.failure === undefined) void this.#refresh(held);
      return this.#current(held);
    }
    if (held.isGoodAt(this.#now())) return this.#current(held);
    try {
      held.take(readReference(reference, context));
      this.#schedule(held);
    } catch (error) {
      if (!(error instanceof KeymuxError) || held.value === undefined || isTakenAway(reference, error))
        throw this.#forgotten(held, error);
      this.#failed(held, error);
    }
    return this.#current(held);
  }

  /**
   * Runs what reads a whole configuration; what it no longer refers to is forgotten.
   * @internal
   */
  reading<T>(work: () => T): T {
    const inUse = (this.#inUse = new Set<HeldSecret>());
    try {
      const result = work();
      for (const held of this.#held.values()) if (!inUse.has(held)) this.#forgotten(held, undefined);
      return result;
    } finally {
      this.#inUse = undefined;
    }
  }

  /**
   * Resolves when every source that was asked for the first time has answered; undefined where none was.
   * @internal
   */
  settled(): Promise<void> | undefined {
    const flights = [...this.#held.values()].flatMap(({ value, flight }) =>
      value === undefined && flight !== undefined ? [flight] : [],
    );
    if (flights.length === 0 && this.#announcement === undefined) return undefined;
    return Promise.all(flights).then(() => this.#announcement);
  }

  /** Nothing is refreshed any more. */
  close(): void {
    this.#closing.abort();
    for (const { timer } of this.#held.values()) clearTimeout(timer);
    this.#held.clear();
  }

  [Symbol.dispose](): void {
    this.close();
  }

  #contextOf(keyId = 'asked for'): ReferenceContext {
    const { env = process.env, cwd = process.cwd(), vault, isTemplateValue = () => false } = this.#options;
    return { environment: readEnvironment(env, cwd), folder: cwd, vault, keyId, isTemplateValue };
  }

  #heldOf(reference: string, context: ReferenceContext): HeldSecret {
    const place = `${context.folder}\0${reference}`;
    let held = this.#held.get(place);
    if (held === undefined) {
      const { staleMs = DEFAULT_STALE_MS, refreshMs = DEFAULT_REFRESH_MS } = this.#options;
      const isAsked = this.#sources.has(schemeOf(reference));
      held = new HeldSecret(reference, context, { staleMs, refreshMs: isAsked ? refreshMs : undefined });
      this.#held.set(place, held);
    }
    held.context = context;
    return held;
  }

  #current(held: HeldSecret): ReadKey {
    const { value, failure, reference, context } = held;
    if (value === undefined)
      throw failure ?? unreadableKey(reference, context.keyId, 'its source has not answered yet');
    if (failure === undefined) return value;
    return { ...value, notes: [...value.notes, staleError(held, failure).message] };
  }

  /** One reading for all that want one. Never rejects. */
  #refresh(held: HeldSecret): Promise<void> {
    clearTimeout(held.timer);
    held.flight ??= this.#readAnew(held).finally(() => {
      held.flight = undefined;
    });
    return held.flight;
  }

  async #readAnew(held: HeldSecret): Promise<void> {
    const wasFailing = held.failure !== undefined;
    let value: ReadKey;
    try {
      value = await this.#ask(held);
    } catch (error) {
      if (!(error instanceof KeymuxError)) throw error;
      if (!this.#closing.signal.aborted) this.#failed(held, error);
      return;
    }
    if (this.#closing.signal.aborted) return;
    const isOther = held.take(value);
    this.#schedule(held);
    if (isOther || wasFailing) this.#announce();
  }

  #ask({ reference, context }: HeldSecret): Promise<ReadKey> {
    const source = this.#sources.get(schemeOf(reference));
    if (source === undefined) return readReferenceLater(reference, context);
    const { timeoutMs = DEFAULT_TIMEOUT_MS } = this.#options;
    return readFromSource(source, reference, { context, timeoutMs, signal: this.#closing.signal });
  }

  #failed(held: HeldSecret, error: KeymuxError): void {
    const had = held.value !== undefined;
    const which = held.fail(error, this.#now());
    this.#schedule(held);
    if (which === 'again') return;
    this.#options.onTrouble?.(held.value === undefined ? error : staleError(held, error));
    // What the configuration says of it is another thing now.
    if (which === 'given-up' || !had) this.#announce();
  }

  #schedule(held: HeldSecret): void {
    clearTimeout(held.timer);
    if (this.#closing.signal.aborted) return;
    const waitMs = held.waitMs(this.#now(), (this.#options.random ?? Math.random)());
    if (waitMs === undefined) return;
    held.timer = setTimeout(() => void this.#refresh(held), waitMs).unref();
  }

  #announce(): void {
    this.#announcement ??= Promise.resolve().then(() => {
      this.#announcement = undefined;
      if (!this.#closing.signal.aborted) this.#options.onChange?.();
    });
  }

  #forgotten<T>(held: HeldSecret, result: T): T {
    clearTimeout(held.timer);
    this.#held.delete(`${held.context.folder}\0${held.reference}`);
    return result;
  }
}

function schemeOf(reference: string): string {
  return reference.slice(0, reference.indexOf(':'));
}

/** An entry that is no longer in a vault which opens was taken out of it. */
function isTakenAway(reference: string, { code }: KeymuxError): boolean {
  return reference.startsWith('vault:') && code === 'KEYMUX_SECRET_UNREADABLE';
}

function staleError(held: HeldSecret, failure: KeymuxError): KeymuxError {
  const until = new Date(held.staleUntil).toISOString();
  const message = failure.message.replace('is left out:', `stays as it was, until ${until} at most:`);
  return new KeymuxError(failure.code, message, { fix: failure.fix });
}
