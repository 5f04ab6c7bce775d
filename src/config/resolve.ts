import { homedir } from 'node:os';
import { join } from 'node:path';
import { KeymuxError } from '../core/errors.js';
import { DEFAULT_HEALTH_CHECK_INTERVAL_MS, type ProviderDefinition } from '../core/provider.js';
import { alertProblems, defineAlerts } from './alert-definition.js';
import {
  type EnvironmentSettings,
  type ManagedSettings,
  readEnvironmentSettings,
  translateApiManagement,
} from './api-management.js';
import { auditOf } from './audit-definition.js';
import type { Catalogue, Configuration, ServiceDefinition, TemplateTest } from './configuration.js';
import { collectCredentials, withheldNames } from './credentials.js';
import { KeyFinder } from './discovery.js';
import { type Environment, readEnvironment } from './environment.js';
import type {
  ConfigurationFile,
  ConfigurationFileReader,
  FileProvider,
  FileService,
} from './file-content.js';
import { locateConfigurationFile } from './file-search.js';
import { notAllowed } from './not-allowed.js';
import { invalidFile } from './problems.js';
import { probeProblems } from './probe-problems.js';
import { defineProvider } from './provider-definition.js';
import { rewriteProblems } from './rewrite-problems.js';
import type { SecretReader } from './secure-config-manager.js';
import { defineStore } from './store-definition.js';
import { secretFiles, vaultOf, withoutVaultKey } from './vault-definition.js';

export interface ConfigurationInput {
  /** The environment before anything was intercepted. */
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Where `.env` is read and the search for a configuration file begins. */
  readonly cwd: string;
  readonly catalogue: Catalogue;
  readonly isTemplateValue: TemplateTest;
  /** `readConfigurationFile` of `file.ts`. Called only if there is a file, so that it may load its parsers then. */
  readonly readFile?: ConfigurationFileReader;
  /** Content that was validated already (`checkContent` of `file.ts`), or `false` for none; absent, it is searched. */
  readonly file?: ConfigurationFile | false;
  /** Where the search ends. Default: the user's home directory. */
  readonly home?: string;
  /** Where the user's state is kept; absolute. Default: the place that Linux has for it. */
  readonly stateFolder?: string;
  /** Whether the user has allowed a file that was found, with this content (`AllowedFiles`). Default: none is. */
  readonly isAllowed?: (path: string, digest: string) => boolean;
  /** Reads keys. Default: each is read anew, and there are no registered sources. */
  readonly secrets?: SecretReader;
}

/**
 * The whole configuration, from the environment, `.env`, the configuration file and the catalogue. Synchronous; loads
 * no parser by itself. A key that cannot be read is left out with a note, so that the others still work.
 * @throws `KEYMUX_CONFIG_INVALID`, `KEYMUX_CONFIG_UNREADABLE`, `KEYMUX_CONFIG_NOT_ALLOWED`; `KEYMUX_USAGE` if a file was
 * found and `readFile` is absent
 */
export function resolveConfiguration(input: ConfigurationInput): Configuration {
  const environment = readEnvironment(input.env, input.cwd);
  const { file, notes: searchNotes } = configurationFileOf(input, environment);
  const stated = new Map(Object.entries(file?.content.providers ?? {}));
  const known = new Set([...input.catalogue.keys(), ...stated.keys()]);
  const settings = readEnvironmentSettings(environment, known);
  const managed = translateApiManagement(file?.content.api_management ?? {});
  const { declared, notes: serviceNotes } = declaredServices(file, managed, settings);
  const definitions = defineProviders(input.catalogue, stated, managed.withoutProbes);
  const problems = [
    ...rewriteProblems(declared, definitions),
    ...probeProblems(stated, input.catalogue, managed.withoutProbes),
    ...alertProblems(file?.content.alerts ?? [], {
      services: [...declared.keys(), ...known],
      providers: known,
    }),
  ];
  if (file !== undefined && problems.length > 0)
    throw invalidFile(file.path ?? file.name, problems, file.positionOf);
  const vault = vaultOf(file);
  const finder = new KeyFinder(withoutVaultKey(environment, vault), definitions.values());
  const wanted = new Set([
    ...stated.keys(),
    ...[...declared.values()].flatMap((service) => service.providers),
  ]);
  const { credentials, notes: keyNotes } = collectCredentials({
    definitions,
    wanted,
    file,
    stated,
    environment,
    finder,
    isTemplateValue: input.isTemplateValue,
    catalogue: input.catalogue,
    vault,
    secrets: input.secrets,
  });
  const withheld = withheldNames({ definitions, finder });
  const { store, notes: storeNotes } = defineStore({
    file,
    managed,
    environment,
    cwd: input.cwd,
    withheld,
    vault,
  });
  const { alerts, notes: alertNotes } = defineAlerts({ file, environment });
  const used = new Set([...wanted, ...credentials.map((credential) => credential.provider)]);
  const providers = new Map([...definitions].filter(([id]) => used.has(id)));
  return {
    services: withImplicitServices(declared, providers, stated, settings),
    providers,
    credentials,
    store,
    ...(alerts.length === 0 ? {} : { alerts }),
    ...(vault === undefined ? {} : { vault }),
    ...auditOf(file, input.stateFolder ?? join(homedir(), '.local', 'state', 'keymux')),
    healthCheckIntervalMs:
      settings.healthCheckIntervalMs ??
      file?.content.healthCheckIntervalMs ??
      managed.healthCheckIntervalMs ??
      DEFAULT_HEALTH_CHECK_INTERVAL_MS,
    sources: [
      ...new Set([
        ...environment.sources,
        ...(file?.path === undefined ? [] : [file.path]),
        ...secretFiles(file, vault),
      ]),
    ],
    notes: [
      ...environment.notes,
      ...searchNotes,
      ...settings.notes,
      ...managed.notes,
      ...serviceNotes,
      ...storeNotes,
      ...alertNotes,
      ...addressNotes(providers, input.catalogue, stated),
      ...keyNotes,
    ],
  };
}

interface FoundConfiguration {
  readonly file: ConfigurationFile | undefined;
  readonly notes: readonly string[];
}

function configurationFileOf(input: ConfigurationInput, environment: Environment): FoundConfiguration {
  if (input.file !== undefined) return { file: input.file === false ? undefined : input.file, notes: [] };
  const { path, notes, isTrusted } = locateConfigurationFile(environment, input.cwd, input.home ?? homedir());
  if (path === undefined) return { file: undefined, notes };
  if (input.readFile !== undefined) {
    const file = input.readFile(path, input.catalogue, input.secrets?.schemes);
    if (!isTrusted && !isHarmless(file, input)) throw notAllowed(file);
    return { file, notes };
  }
  throw new KeymuxError(
    'KEYMUX_USAGE',
    `${path} was found, and no reader for configuration files was passed in.`,
    {
      fix: 'Pass `readFile`, or `file: false` to do without a configuration file.',
    },
  );
}

function isHarmless(
  { demands, path, digest }: ConfigurationFile,
  { isAllowed }: ConfigurationInput,
): boolean {
  if (demands?.length === 0) return true;
  return path !== undefined && digest !== undefined && isAllowed?.(path, digest) === true;
}

/** The catalogue in its order, then the providers that only the file has. */
function defineProviders(
  catalogue: Catalogue,
  stated: ReadonlyMap<string, FileProvider>,
  withoutProbes: boolean,
): Map<string, ProviderDefinition> {
  const claimed = new Set([...stated.values()].flatMap((provider) => provider.env ?? []));
  const definitions = new Map<string, ProviderDefinition>();
  for (const id of new Set([...catalogue.keys(), ...stated.keys()])) {
    const { probe, ...rest } = defineProvider(id, catalogue.get(id), stated.get(id) ?? {});
    const definition = probe === undefined || withoutProbes ? rest : { ...rest, probe };
    definitions.set(id, stated.has(id) ? definition : withoutNames(definition, claimed));
  }
  return definitions;
}

/** A name that the file gives to one provider no longer belongs to another that only the catalogue knows. */
function withoutNames(definition: ProviderDefinition, claimed: ReadonlySet<string>): ProviderDefinition {
  if (!definition.env.some((name) => claimed.has(name))) return definition;
  return { ...definition, env: definition.env.filter((name) => !claimed.has(name)) };
}

/** The order of providers in the environment wins over the file's, as what is set for one deployment does elsewhere. */
function declaredServices(
  file: ConfigurationFile | undefined,
  managed: ManagedSettings,
  settings: EnvironmentSettings,
): { declared: ReadonlyMap<string, FileService>; notes: readonly string[] } {
  const declared = new Map([...managed.services, ...Object.entries(file?.content.services ?? {})]);
  const notes: string[] = [];
  for (const [name, providers] of settings.priorities) {
    const inFile = declared.get(name);
    if (inFile !== undefined)
      notes.push(`API_PROVIDER_PRIORITIES replaces the providers that the file gives to ${name}`);
    declared.set(name, { ...inFile, providers });
  }
  return { declared, notes };
}

function withImplicitServices(
  declared: ReadonlyMap<string, FileService>,
  providers: ReadonlyMap<string, ProviderDefinition>,
  stated: ReadonlyMap<string, FileProvider>,
  settings: EnvironmentSettings,
): Map<string, ServiceDefinition> {
  const services = new Map<string, ServiceDefinition>();
  for (const [name, service] of declared) services.set(name, serviceOf(name, service, settings, false));
  for (const id of providers.keys()) {
    const strategy = stated.get(id)?.strategy;
    if (!services.has(id)) services.set(id, serviceOf(id, { providers: [id], strategy }, settings, true));
  }
  return services;
}

function serviceOf(
  name: string,
  service: FileService,
  settings: EnvironmentSettings,
  implicit: boolean,
): ServiceDefinition {
  const failoverThreshold = service.failoverThreshold ?? settings.failoverThreshold;
  return {
    name,
    providers: service.providers,
    strategy: service.strategy ?? 'priority',
    ...(failoverThreshold === undefined ? {} : { failoverThreshold }),
    ...(service.rewrite === undefined ? {} : { rewrite: { models: service.rewrite.models ?? [] } }),
    implicit,
  };
}

function addressNotes(
  providers: ReadonlyMap<string, ProviderDefinition>,
  catalogue: Catalogue,
  stated: ReadonlyMap<string, FileProvider>,
): string[] {
  return [...providers.keys()]
    .filter((id) => catalogue.get(id)?.originPattern !== undefined && stated.get(id)?.baseUrl === undefined)
    .map(
      (id) =>
        `${id} cannot be reached yet: each customer has an address of their own; set providers.${id}.baseUrl`,
    );
}
