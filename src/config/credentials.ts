import type { Credential } from '../core/credential.js';
import { KeymuxError } from '../core/errors.js';
import { expiryOf } from '../core/key-expiry.js';
import type { ProviderDefinition } from '../core/provider.js';
import type { Catalogue, TemplateTest, VaultDefinition } from './configuration.js';
import { defaultBucket, type KeyFinder } from './discovery.js';
import type { Environment } from './environment.js';
import type { ConfigurationFile, FileKey, FileProvider } from './file-content.js';
import { nameText } from './problems.js';
import { windowsOf } from './provider-definition.js';
import { readReference } from './reference.js';
import type { SecretReader } from './secure-config-manager.js';

export interface CredentialInput {
  readonly definitions: ReadonlyMap<string, ProviderDefinition>;
  /** Providers that somebody named, and that should have a key. */
  readonly wanted: ReadonlySet<string>;
  readonly file: ConfigurationFile | undefined;
  /** The providers of the file. */
  readonly stated: ReadonlyMap<string, FileProvider>;
  readonly environment: Environment;
  readonly finder: KeyFinder;
  readonly isTemplateValue: TemplateTest;
  readonly catalogue: Catalogue;
  readonly vault: VaultDefinition | undefined;
  /** Default: each key is read anew. */
  readonly secrets?: SecretReader | undefined;
}

export interface CollectedCredentials {
  readonly credentials: readonly Credential[];
  readonly notes: readonly string[];
}

/**
 * The keys of all providers: those of the file first, then the discovered ones unless the provider says
 * `discover: false`. With `mode: virtual` nothing is discovered.
 */
export function collectCredentials(input: CredentialInput): CollectedCredentials {
  const credentials: Credential[] = [];
  const notes: string[] = [];
  for (const definition of input.definitions.values()) {
    const own = keysOfFile(definition, input, notes);
    const isVirtual = definition.mode === 'virtual';
    const discovers = !isVirtual && input.stated.get(definition.id)?.discover !== false;
    if (isVirtual) notes.push(...unusedKeys(definition, input));
    if (discovers) addDiscovered(definition, own, input, notes);
    if (own.length === 0 && input.wanted.has(definition.id)) notes.push(noKey(definition, discovers));
    credentials.push(...own.sort((a, b) => a.priority - b.priority));
  }
  return { credentials, notes };
}

function keysOfFile(definition: ProviderDefinition, input: CredentialInput, notes: string[]): Credential[] {
  const credentials: Credential[] = [];
  const { file } = input;
  const keys = input.stated.get(definition.id)?.keys ?? [];
  for (const [index, key] of keys.entries()) {
    const credential = file === undefined ? undefined : readKey(key, index, definition, file, input, notes);
    if (credential === undefined) continue;
    const twin = credentials.find((other) => other.secret.equals(credential.secret));
    if (twin === undefined) credentials.push(credential);
    else
      notes.push(
        `${definition.id}/${twin.id} and ${definition.id}/${key.id} hold the same key; it counts once`,
      );
  }
  return credentials;
}

function readKey(
  key: FileKey,
  index: number,
  definition: ProviderDefinition,
  file: ConfigurationFile,
  input: CredentialInput,
  notes: string[],
): Credential | undefined {
  const keyId = `${definition.id}/${key.id}`;
  try {
    const { environment, vault, secrets } = input;
    const context = {
      environment,
      vault,
      folder: file.folder,
      keyId,
      isTemplateValue: templateTest(definition, input),
      withheld: withheldNames(input),
    };
    const read =
      secrets === undefined ? readReference(key.value, context) : secrets.readKey(key.value, context);
    notes.push(...read.notes);
    const line = file.positionOf(['providers', definition.id, 'keys', index])?.line;
    return {
      id: key.id,
      provider: definition.id,
      secret: read.secret,
      priority: key.priority ?? index + 1,
      weight: key.weight ?? 1,
      bucket: key.bucket ?? defaultBucket(definition.bucketScope, key.id),
      ...(key.bucket === undefined ? {} : { bucketDeclared: true }),
      ...(key.limits === undefined ? {} : { limits: windowsOf(key.limits) }),
      ...(key.expires === undefined ? {} : { expiresAt: expiryOf(key.expires) }),
      origin: `${file.name}${line === undefined ? '' : `:${line}`}`,
      ...(definition.mode === 'virtual' ? { source: { reference: key.value, folder: file.folder } } : {}),
    };
  } catch (error) {
    if (!(error instanceof KeymuxError)) throw error;
    notes.push(`${error.message} ${error.fix}`);
    return undefined;
  }
}

/** What a program could read by name is kept from commands as well. */
export function withheldNames({
  definitions,
  finder,
}: Pick<CredentialInput, 'definitions' | 'finder'>): Set<string> {
  const virtual = [...definitions.values()].filter(({ mode }) => mode === 'virtual');
  return new Set(virtual.flatMap((definition) => finder.namesOf(definition)));
}

function unusedKeys(definition: ProviderDefinition, input: CredentialInput): string[] {
  const { keys } = input.finder.keysOf(definition, templateTest(definition, input));
  return keys.map(
    ({ origin }) =>
      `${origin} holds a key that is not used: with \`mode: virtual\` the keys of ${definition.id} come from \`file:\`, \`vault:\` or \`exec:\`; take it out of there`,
  );
}

/** Discovered keys come after those of the file; one that the file gave already is the same key, not another. */
function addDiscovered(
  definition: ProviderDefinition,
  credentials: Credential[],
  input: CredentialInput,
  notes: string[],
): void {
  const discovery = input.finder.keysOf(definition, templateTest(definition, input));
  notes.push(...discovery.notes);
  const taken = new Set((input.stated.get(definition.id)?.keys ?? []).map((key) => key.id));
  let priority = Math.max(0, ...credentials.map((credential) => credential.priority));
  for (const found of discovery.keys) {
    if (credentials.some((credential) => credential.secret.equals(found.secret))) continue;
    const id = freeId(found.id, taken);
    taken.add(id);
    priority += 1;
    const { secret, origin } = found;
    const bucket = defaultBucket(definition.bucketScope, id);
    credentials.push({ id, provider: definition.id, secret, priority, weight: 1, bucket, origin });
  }
}

function freeId(id: string, taken: ReadonlySet<string>): string {
  let free = id;
  for (let count = 1; taken.has(free); count += 1) free = count === 1 ? `env-${id}` : `env-${id}-${count}`;
  return free;
}

function noKey(definition: ProviderDefinition, discovers: boolean): string {
  const ways = [
    ...(discovers && definition.env.length > 0 ? [`set ${definition.env.map(nameText).join(' or ')}`] : []),
    `add one to providers.${definition.id}.keys`,
  ];
  return `${definition.id} has no usable key: ${ways.join(', or ')}`;
}

function templateTest(definition: ProviderDefinition, input: CredentialInput): (value: string) => boolean {
  const demoKeys = input.catalogue.get(definition.id)?.demoKeys;
  return (value) => input.isTemplateValue(value, demoKeys);
}
