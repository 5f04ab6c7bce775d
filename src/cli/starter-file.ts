import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseEnv } from 'node:util';
import { KeyFinder } from '../config/discovery.js';
import { readEnvironment } from '../config/environment.js';
import { LIMIT_UNITS } from '../config/file-content.js';
import { catalogueFacts } from '../providers/catalogue-facts.js';
import { catalogue } from '../providers/catalogue.js';
import type { CatalogueEntry, KnownLimit } from '../providers/catalogue-entry.js';
import { isTemplateValue } from '../providers/key-shape.js';

const EXAMPLE_FILES = ['.env.example', '.env.sample', '.env.template'];

/** A provider of the catalogue that this folder has keys of, or names. */
export interface FoundProvider {
  readonly entry: CatalogueEntry;
  /** Variables with a key. */
  readonly keyNames: readonly string[];
  /** Variables of an example file, where there is no key. */
  readonly expectedNames: readonly string[];
}

/** Looks into the environment, `.env` and the example files. */
export function findProviders(env: NodeJS.ProcessEnv, folder: string): FoundProvider[] {
  const finder = new KeyFinder(readEnvironment(env, folder), catalogue.values());
  const expected = namesOfExamples(folder);
  return [...catalogue.values()]
    .map((entry) => {
      const { keys } = finder.keysOf(entry, (value) => isTemplateValue(value, entry.demoKeys));
      const keyNames = [...new Set(keys.map(({ origin }) => origin.slice(origin.indexOf(':') + 1)))];
      return { entry, keyNames, expectedNames: entry.env.filter((name) => expected.has(name)) };
    })
    .filter(({ keyNames, expectedNames }) => keyNames.length + expectedNames.length > 0);
}

function namesOfExamples(folder: string): Set<string> {
  const names = new Set<string>();
  for (const file of EXAMPLE_FILES.map((name) => join(folder, name))) {
    if (!existsSync(file)) continue;
    try {
      for (const name of Object.keys(parseEnv(readFileSync(file, 'utf8')))) names.add(name);
    } catch {
      // An example that cannot be read expects nothing.
    }
  }
  return names;
}

/** The text of a first configuration file: names only, everything explained, every suggestion commented out. */
export function starterFile(found: readonly FoundProvider[]): string {
  const ready = found.filter(({ keyNames, entry }) => keyNames.length > 0 && hasAddress(entry));
  const waiting = found.filter((provider) => !ready.includes(provider));
  return [
    '# keymux: one name, many keys. Every option is explained in docs/configuration.md.',
    '# No key belongs in this file. Keys are found by the names of their variables: NAME, NAME_2, NAME_BACKUP,',
    '# NAMES=a,b. Keys from elsewhere are named: `keys: [{ id: spare, value: file:./spare.key }]`.',
    '',
    ...(ready.length === 0 ? ['providers: {}'] : ['providers:']),
    ...ready.flatMap((provider) => providerLines(provider)),
    ...waiting.flatMap((provider) => waitingLines(provider)),
    '',
    ...serviceLines(ready),
    '# Limits and cooldowns are shared by all programs of this user on this machine.',
    'store: { type: sqlite }',
    '',
  ].join('\n');
}

function hasAddress({ originPattern }: CatalogueEntry): boolean {
  return originPattern === undefined;
}

function providerLines({ entry, keyNames }: FoundProvider): string[] {
  const options = [
    ...(catalogueFacts.get(entry.id)?.knownLimits ?? []).flatMap((limit) => limitLines(limit)),
    ...sharingLines(entry, keyNames),
  ];
  return [
    `  # ${entry.name}: ${keyNames.join(', ')}`,
    `  ${entry.id}: {}`,
    ...(options.length === 0 ? [] : ['  # in place of {}, where it is true for you:', ...options]),
  ];
}

/** A limit that can be written down as one is offered; nobody but the user knows the tier. */
function limitLines(limit: KnownLimit): string[] {
  const { tier, per, asOf } = limit;
  if (!('requests' in limit) || !LIMIT_UNITS.some((unit) => unit === per)) return [];
  const since = asOf === null ? 'not dated' : `as of ${asOf}`;
  return [`  #   limits: [{ requests: ${limit.requests}, per: ${per} }]   # ${tier} (${since})`];
}

function sharingLines({ bucketScope }: CatalogueEntry, keyNames: readonly string[]): string[] {
  if (bucketScope === 'key' || bucketScope === 'egress' || keyNames.length < 2) return [];
  return [
    `  #   # limits count per ${bucketScope}, and its keys share a bucket`,
    '  #   keys:',
    ...keyNames.map(
      (name, index) => `  #     - { id: key-${index + 1}, value: env:${name}, bucket: ${bucketScope}-1 }`,
    ),
  ];
}

function waitingLines({ entry, keyNames, expectedNames }: FoundProvider): string[] {
  if (keyNames.length === 0)
    return [`  # ${entry.id}: {}   # ${entry.name}: set ${expectedNames.join(' or ')}`];
  const address = entry.originPattern?.replaceAll('*', 'YOUR-NAME') ?? 'YOUR-NAME';
  return [
    `  # ${entry.name} (${keyNames.join(', ')}) needs your own address:`,
    `  # ${entry.id}: { baseUrl: "https://${address.replace(/^https?:\/\//, '')}" }`,
  ];
}

function serviceLines(ready: readonly FoundProvider[]): string[] {
  if (ready.length < 2) return [];
  const ids = ready.map(({ entry }) => entry.id);
  return [
    '# Providers that can stand in for one another make a service:',
    '# services:',
    `#   my_service: { providers: [${ids.slice(0, 3).join(', ')}], strategy: priority }`,
    '',
  ];
}
