/** How the threads of a process pass their configuration on: keys in the open, since a clone carries no `Secret`. */
import { BroadcastChannel } from 'node:worker_threads';
import type { Configuration } from '../config/configuration.js';
import type { Credential } from '../core/credential.js';
import { Secret } from '../core/secret.js';

const CHANNEL = 'keymux:configuration';

export type PortableConfiguration = Omit<Configuration, 'credentials'> & {
  readonly credentials: readonly (Omit<Credential, 'secret'> & { readonly secret: string })[];
};

export function toPortable(configuration: Configuration): PortableConfiguration {
  const credentials = configuration.credentials.map((credential) => ({
    ...credential,
    secret: credential.secret.reveal(),
  }));
  return { ...configuration, credentials };
}

export function fromPortable(portable: PortableConfiguration): Configuration {
  const credentials = portable.credentials.map((credential) => ({
    ...credential,
    secret: new Secret(credential.secret),
  }));
  return { ...portable, credentials };
}

/** Tells the threads that run already; those to come find the configuration where they find the table. */
export function tellThreads(configuration: Configuration): void {
  const channel = new BroadcastChannel(CHANNEL);
  channel.postMessage(toPortable(configuration));
  channel.close();
}

/** Follows what another thread of this process tells; does not keep the thread alive. */
export function hearThreads(onNews: (configuration: Configuration) => void): () => void {
  const channel = new BroadcastChannel(CHANNEL);
  channel.onmessage = (event: unknown) =>
    onNews(fromPortable((event as { data: PortableConfiguration }).data));
  // The types do not know it; Node has it since 15.4.
  (channel as BroadcastChannel & { unref(): void }).unref();
  return () => channel.close();
}
