/** How the simulated providers of one test are started, and made known to its manager. */
import type { FileContent, FileKey, FileProvider } from '../config/file-content.js';
import { defaultEnvName } from '../config/provider-definition.js';
import { catalogue } from '../providers/catalogue.js';
import type { FakeClock } from './fake-clock.js';
import { startProviderSimulator } from './provider-simulator.js';
import type { Simulator, SimulatorOptions } from './simulator-api.js';
import { FLAVOURS } from './simulator-flavours.js';
import { startSimulator } from './simulator.js';

/** A simulated provider of a test: what `startSimulator` takes. */
export type TestProvider = Omit<SimulatorOptions, 'clock'>;

type TestProviders = Readonly<Record<string, TestProvider>>;

/** Starts them one by one into `started`, so that those before a faulty one can be closed. */
export async function startProviders(
  providers: TestProviders,
  clock: FakeClock | undefined,
  started: Map<string, Simulator>,
): Promise<void> {
  for (const [id, provider] of Object.entries(providers)) {
    const options = {
      ...provider,
      ...(clock === undefined ? {} : { clock: clock.now }),
      ...(provider.keys === undefined ? {} : { keys: namedKeys(provider) }),
    };
    started.set(
      id,
      isOfCatalogue(id, provider) ? await startProviderSimulator(id, options) : await startSimulator(options),
    );
  }
}

/** The variables that hold the keys: the name that is usual for the provider, then `…_2`, `…_3`. */
export function variablesOf(providers: TestProviders, config: FileContent = {}): Record<string, string> {
  const variables: Record<string, string> = {};
  for (const [id, { keys = {} }] of Object.entries(providers)) {
    for (const [index, text] of Object.keys(keys).entries())
      variables[variableOf(id, config.providers?.[id], index)] = text;
  }
  return variables;
}

/** The configuration with the addresses and keys of the simulators. */
export function configured(
  providers: TestProviders,
  config: FileContent = {},
  simulators: ReadonlyMap<string, Simulator>,
): FileContent {
  const stated: Record<string, FileProvider> = { ...config.providers };
  for (const [id, provider] of Object.entries(providers)) {
    stated[id] = {
      baseUrl: simulators.get(id)?.origin,
      ...(isOfCatalogue(id, provider) ? {} : { auth: authOf(provider) }),
      keys: keysOf(id, provider, config.providers?.[id]),
      ...config.providers?.[id],
    };
  }
  return { ...config, providers: stated };
}

function isOfCatalogue(id: string, { flavour, auth }: TestProvider): boolean {
  return catalogue.has(id) && flavour === undefined && auth === undefined;
}

function authOf({ flavour = 'generic', auth }: TestProvider): FileProvider['auth'] {
  const [first] = [auth ?? (typeof flavour === 'string' ? FLAVOURS[flavour] : flavour).auth].flat();
  return first;
}

function namedKeys({ keys = {} }: TestProvider): NonNullable<SimulatorOptions['keys']> {
  return Object.fromEntries(
    Object.entries(keys).map(([text, script], index) => [
      text,
      { ...script, name: script.name ?? `key-${index + 1}` },
    ]),
  );
}

function keysOf(id: string, provider: TestProvider, stated: FileProvider | undefined): FileKey[] {
  return Object.values(namedKeys(provider)).map(({ name = '' }, index) => ({
    id: name,
    value: `env:${variableOf(id, stated, index)}`,
  }));
}

/** The variable that holds the key at this place of the list. */
export function variableOf(id: string, stated: FileProvider | undefined, index: number): string {
  const name = stated?.env?.[0] ?? catalogue.get(id)?.env[0] ?? defaultEnvName(id);
  return index === 0 ? name : `${name}_${index + 1}`;
}
