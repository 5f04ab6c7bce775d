/**
 * How the threads of a process pass their configuration on: keys and the address of the store in the open, since a
 * clone carries no `Secret`, but for the keys of virtual providers, which each thread reads from their source.
 */
import { BroadcastChannel, threadId } from 'node:worker_threads';
import type { AlertDefinition } from '../config/alert-definition.js';
import type {
  Configuration,
  RedisDefinition,
  StoreDefinition,
  VaultDefinition,
} from '../config/configuration.js';
import { readEnvironment } from '../config/environment.js';
import { readReference } from '../config/reference.js';
import type { Credential, KeySource } from '../core/credential.js';
import { keyIdOf } from '../core/credential.js';
import { KeymuxError } from '../core/errors.js';
import { Secret } from '../core/secret.js';
import { isTemplateValue } from '../providers/key-shape.js';

const CHANNEL = 'keymux:configuration';
const QUESTIONS = 'keymux:configuration-questions';

type PortableCredential = Omit<Credential, 'secret'> & { readonly secret: string | KeySource };

type PortableStore =
  | Exclude<StoreDefinition, RedisDefinition>
  | (Omit<RedisDefinition, 'url' | 'secret'> & { readonly url: string; readonly secret?: string });

export type PortableConfiguration = Omit<Configuration, 'credentials' | 'store'> & {
  readonly credentials: readonly PortableCredential[];
  readonly store: PortableStore;
};

export function toPortable(configuration: Configuration): PortableConfiguration {
  const credentials = configuration.credentials.map((credential) => ({
    ...credential,
    secret: credential.source ?? credential.secret.reveal(),
  }));
  const { alerts, ...rest } = configuration;
  return {
    ...rest,
    credentials,
    store: toPortableStore(configuration.store),
    ...(alerts === undefined ? {} : { alerts: alerts.map(withoutWebhook) }),
  };
}

/** Other threads tell the main one what happens, and nobody else. */
function withoutWebhook({ webhook: _webhook, ...alert }: AlertDefinition): AlertDefinition {
  return alert;
}

function toPortableStore(store: StoreDefinition): PortableStore {
  if (store.type !== 'redis') return store;
  const { url, secret, ...open } = store;
  return { ...open, url: url.reveal(), ...(secret === undefined ? {} : { secret: secret.reveal() }) };
}

/** A key that cannot be read here is left out, with a note. */
export function fromPortable(portable: PortableConfiguration): Configuration {
  const notes = [...portable.notes];
  const credentials = portable.credentials.flatMap((credential): Credential[] => {
    try {
      return [{ ...credential, secret: secretOf(credential, portable.vault) }];
    } catch (error) {
      if (!(error instanceof KeymuxError)) throw error;
      notes.push(`${error.message} ${error.fix}`);
      return [];
    }
  });
  return { ...portable, credentials, notes, store: fromPortableStore(portable.store) };
}

function fromPortableStore(store: PortableStore): StoreDefinition {
  if (store.type !== 'redis') return store;
  const { url, secret, ...open } = store;
  return { ...open, url: new Secret(url), ...(secret === undefined ? {} : { secret: new Secret(secret) }) };
}

function secretOf(credential: PortableCredential, vault: VaultDefinition | undefined): Secret {
  const { secret } = credential;
  if (typeof secret === 'string') return new Secret(secret);
  const environment = readEnvironment(process.env, process.cwd());
  const { reference, folder } = secret;
  const keyId = keyIdOf(credential);
  return readReference(reference, { environment, folder, vault, keyId, isTemplateValue }).secret;
}

/** What threads say on `QUESTIONS`. */
type Word =
  | { readonly kind: 'question'; readonly from: number }
  | { readonly kind: 'answer'; readonly to: number; readonly portable: PortableConfiguration }
  /** What others told before counts no more. */
  | { readonly kind: 'told' };

/** What this thread was the last to tell, for threads that were starting just then. */
let told: Configuration | undefined;
let questions: BroadcastChannel | undefined;

/**
 * Tells the threads that run already; those to come find the configuration where they find the table. One that is
 * between the two asks for it.
 */
export function tellThreads(configuration: Configuration): void {
  const open = (questions ??= openChannel(QUESTIONS, (word) => answer(word as Word)));
  told = configuration;
  open.postMessage({ kind: 'told' } satisfies Word);
  const channel = new BroadcastChannel(CHANNEL);
  channel.postMessage(toPortable(configuration));
  channel.close();
}

function answer(word: Word): void {
  if (word.kind === 'told') told = undefined;
  if (word.kind !== 'question' || told === undefined) return;
  questions?.postMessage({ kind: 'answer', to: word.from, portable: toPortable(told) } satisfies Word);
}

/** What was told is forgotten: no thread that starts from now on belongs to it. */
export function stopTelling(): void {
  told = undefined;
  questions?.close();
  questions = undefined;
}

/**
 * Follows what another thread of this process tells, also what was told after this one was started and before it
 * could hear; does not keep the thread alive.
 */
export function hearThreads(onNews: (configuration: Configuration) => void): () => void {
  let hasNews = false;
  const news = openChannel(CHANNEL, (portable) => {
    hasNews = true;
    onNews(fromPortable(portable as PortableConfiguration));
  });
  const asking = openChannel(QUESTIONS, (message) => {
    const word = message as Word;
    // An answer may arrive after news that are later.
    if (word.kind === 'answer' && word.to === threadId && !hasNews) onNews(fromPortable(word.portable));
  });
  asking.postMessage({ kind: 'question', from: threadId } satisfies Word);
  return () => {
    news.close();
    asking.close();
  };
}

/** Does not keep the thread alive. */
function openChannel(name: string, onMessage: (data: unknown) => void): BroadcastChannel {
  const channel = new BroadcastChannel(name);
  channel.onmessage = (event: unknown) => onMessage((event as { data: unknown }).data);
  // The types do not know it; Node has it since 15.4.
  (channel as BroadcastChannel & { unref(): void }).unref();
  return channel;
}
