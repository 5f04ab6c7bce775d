import { createHash } from 'node:crypto';
import { readFileSync, statSync } from 'node:fs';
import { basename, dirname, extname } from 'node:path';
import type { z } from 'zod';
import { KeymuxError } from '../core/errors.js';
import type { Catalogue } from './configuration.js';
import { demandsOf } from './demands.js';
import { systemCodeOf } from './environment.js';
import type { ConfigurationFile, OptionPath, Position } from './file-content.js';
import { readsLikeName, suggestion } from './plain-names.js';
import { invalidFile, nameText, type Problem } from './problems.js';
import { fileSchema, isOfRegisteredKind, REFERENCE_FAULT } from './schema.js';
import { KNOWN_OPTIONS } from './schema-leaves.js';
import { parseSource, type SourceFormat } from './source-text.js';

const LARGEST_FILE_BYTES = 1_048_576;

/**
 * Reads and validates a configuration file: YAML, or JSON (`.json`; `.jsonc` with comments). Every problem is told
 * in one error, with its line.
 * @throws `KEYMUX_CONFIG_UNREADABLE`, `KEYMUX_CONFIG_INVALID`
 */
export function readConfigurationFile(
  path: string,
  catalogue: Catalogue,
  schemes?: readonly string[],
): ConfigurationFile {
  const { text, digest } = readText(path);
  return { ...checkText(text, path, catalogue, schemes), digest };
}

/** Validates the text of a file as if it was read from `path`. Throws `KEYMUX_CONFIG_INVALID`. */
export function checkText(
  text: string,
  path: string,
  catalogue: Catalogue,
  schemes: readonly string[] = [],
): ConfigurationFile {
  const source = parseSource(text, formatOf(path));
  if (source.problems.length > 0) throw invalidFile(path, source.problems, source.positionOf);
  const { positionOf } = source;
  const context = { name: path, folder: dirname(path), catalogue, positionOf, schemes };
  const checked = checkContent(source.value, context);
  const demands = demandsOf(checked.content, catalogue, dirname(path));
  return { ...checked, path, name: basename(path), demands };
}

export interface ContentContext {
  /** Names the content in messages, such as `the options of createKeyManager`. */
  readonly name: string;
  /** Relative paths in the content start here. Absolute. */
  readonly folder: string;
  readonly catalogue: Catalogue;
  readonly positionOf?: (path: OptionPath) => Position | undefined;
  /** The kinds of references that the program registered. Default: none. */
  readonly schemes?: readonly string[];
}

/**
 * Validates content of the shape that a configuration file has, such as an object passed in by a program.
 * @throws `KEYMUX_CONFIG_INVALID`
 */
export function checkContent(content: unknown, context: ContentContext): ConfigurationFile {
  const positionOf = context.positionOf ?? nowhere;
  const value = content ?? {};
  const parsed = fileSchema.safeParse(value);
  const problems: Problem[] = [
    ...structuralProblems(parsed.error?.issues ?? [], value),
    ...connectionProblems(value, context.catalogue),
    ...bucketProblems(value),
    ...referenceProblems(value, context.schemes ?? []),
    ...virtualProblems(value, context.catalogue),
    ...apiManagementProblems(value),
  ];
  if (problems.length > 0 || !parsed.success) throw invalidFile(context.name, problems, positionOf);
  return { name: context.name, folder: context.folder, content: parsed.data, positionOf };
}

function nowhere(): undefined {
  return undefined;
}

export function formatOf(path: string): SourceFormat {
  const ending = extname(path).toLowerCase();
  if (ending === '.json') return 'json';
  return ending === '.jsonc' ? 'jsonc' : 'yaml';
}

/** What an allowance is bound to. */
export function digestOf(content: Uint8Array | string): string {
  return createHash('sha256').update(content).digest('hex');
}

function readText(path: string): { readonly text: string; readonly digest: string } {
  try {
    const stat = statSync(path);
    if (!stat.isFile()) throw unreadable(path, 'it is not a regular file');
    if (stat.size > LARGEST_FILE_BYTES) throw unreadable(path, 'it is larger than 1 MiB');
    const bytes = readFileSync(path);
    return { text: new TextDecoder('utf-8', { fatal: true }).decode(bytes), digest: digestOf(bytes) };
  } catch (error) {
    if (error instanceof KeymuxError) throw error;
    throw unreadable(path, error instanceof TypeError ? 'it is not UTF-8 text' : systemCodeOf(error));
  }
}

function unreadable(path: string, reason: string): KeymuxError {
  return new KeymuxError(
    'KEYMUX_CONFIG_UNREADABLE',
    `The configuration file ${path} cannot be read: ${reason}.`,
    {
      fix: 'Make the file readable for this user, or name another one in KEYMUX_CONFIG.',
    },
  );
}

function structuralProblems(issues: readonly z.core.$ZodIssue[], value: unknown): Problem[] {
  return issues.flatMap((issue): Problem[] => {
    const path = issue.path.map((step) => (typeof step === 'number' ? step : String(step)));
    if (issue.code === 'unrecognized_keys')
      return issue.keys.map((name) => unknownOption(path, name, issue.message));
    if (valueAt(value, path) === undefined) return [{ path, text: 'is missing' }];
    return [{ path, text: faultText(issue, valueAt(value, path)) }];
  });
}

function unknownOption(path: OptionPath, name: string, message: string): Problem {
  const known = message.slice(KNOWN_OPTIONS.length).split(' ');
  const hint =
    name === '<<'
      ? ' (merge keys are not supported)'
      : suggestion(name, known) || `; known here: ${known.join(', ')}`;
  return { path: [...path, name], text: `is not an option${hint}` };
}

const EXPECTED: Readonly<Record<string, string>> = {
  array: 'a list',
  object: 'a mapping of options',
  record: 'a mapping of names',
  boolean: 'true or false',
};

function faultText(issue: z.core.$ZodIssue, value: unknown): string {
  switch (issue.code) {
    case 'invalid_type':
      return `must be ${EXPECTED[issue.expected] ?? 'of another type'}`;
    case 'invalid_value':
      return oneOf(issue.values.map(String), value);
    case 'invalid_union':
      return 'options' in issue ? oneOf(issue.options.map(String), value) : issue.message;
    case 'invalid_key':
      return issue.issues[0]?.message ?? issue.message;
    default:
      return issue.message;
  }
}

function oneOf(values: readonly string[], value: unknown): string {
  const hint = typeof value === 'string' ? suggestion(value, values) : '';
  return `must be one of ${values.join(', ')}${hint}`;
}

/** Names that must exist elsewhere: the providers of a service, and those of the catalogue. */
function connectionProblems(value: unknown, catalogue: Catalogue): Problem[] {
  const providers = entriesAt(value, ['providers']);
  const known = new Set([...catalogue.keys(), ...providers.map(([id]) => id)]);
  const problems: Problem[] = [];
  for (const [id, provider] of providers) {
    const entry = catalogue.get(id);
    const isKnown = entry !== undefined && entry.originPattern === undefined;
    if (isKnown || valueAt(provider, ['baseUrl']) !== undefined) continue;
    if (entry !== undefined) {
      problems.push({
        path: ['providers', id],
        text: 'needs a `baseUrl`: each customer has an address of their own',
      });
      continue;
    }
    problems.push({
      path: ['providers', id],
      text: `needs a \`baseUrl\`: the catalogue has no such provider${suggestion(id, catalogue.keys())}`,
    });
  }
  for (const { path, id } of mentionedProviders(value)) {
    if (known.has(id)) continue;
    const name = readsLikeName(id) ? `\`${id}\`, which ` : 'a provider that ';
    problems.push({
      path,
      text: `names ${name}neither this file nor the catalogue has${suggestion(id, known)}`,
    });
  }
  return problems;
}

/** Keys of one bucket share its allowance, so there is one set of limits for all of them. */
function bucketProblems(value: unknown): Problem[] {
  return entriesAt(value, ['providers']).flatMap(([id, provider]) => {
    const limitsOfBucket = new Map<string, string>();
    if (!Array.isArray(valueAt(provider, ['keys']))) return [];
    return entriesAt(provider, ['keys']).flatMap(([index, key]): Problem[] => {
      const bucket = valueAt(key, ['bucket']);
      if (typeof bucket !== 'string') return [];
      const limits = JSON.stringify(valueAt(key, ['limits']) ?? null);
      const first = limitsOfBucket.get(bucket) ?? limits;
      limitsOfBucket.set(bucket, first);
      if (first === limits) return [];
      const path = ['providers', id, 'keys', Number(index), 'limits'];
      return [{ path, text: 'must be the same for all keys of a bucket, which share one allowance' }];
    });
  });
}

/** Kinds of references that nobody registered. What stands before the colon may be the beginning of a key. */
function referenceProblems(value: unknown, schemes: readonly string[]): Problem[] {
  return entriesAt(value, ['providers']).flatMap(([id, provider]) =>
    entriesAt(provider, ['keys']).flatMap(([index, key]): Problem[] => {
      const reference = valueAt(key, ['value']);
      if (typeof reference !== 'string' || !isOfRegisteredKind(reference)) return [];
      if (schemes.includes(reference.slice(0, reference.indexOf(':')))) return [];
      return [{ path: ['providers', id, 'keys', Number(index), 'value'], text: REFERENCE_FAULT }];
    }),
  );
}

/** What cannot be with `mode: virtual`: a key that the application could see, or that no request carries in the open. */
function virtualProblems(value: unknown, catalogue: Catalogue): Problem[] {
  const problems: Problem[] = [];
  for (const [id, provider] of entriesAt(value, ['providers'])) {
    if (valueAt(provider, ['mode']) !== 'virtual') continue;
    const path = ['providers', id];
    if (valueAt(provider, ['signed']) ?? catalogue.get(id)?.signed) {
      const text =
        'cannot be `virtual`: requests are signed with the key, so that it cannot be replaced on its way';
      problems.push({ path: [...path, 'mode'], text });
    }
    if (valueAt(provider, ['discover']) === true)
      problems.push({ path: [...path, 'discover'], text: 'cannot be true beside `mode: virtual`' });
    for (const [index, key] of entriesAt(provider, ['keys'])) {
      const reference = valueAt(key, ['value']);
      if (typeof reference !== 'string' || /^(?:file|exec|vault):/.test(reference)) continue;
      const text = reference.startsWith('env:')
        ? 'cannot be an environment variable with `mode: virtual`: whatever runs in the program could read it; use `file:`, `vault:` or `exec:`'
        : 'must be `file:`, `vault:` or `exec:` with `mode: virtual`: each thread reads the key itself';
      problems.push({ path: [...path, 'keys', Number(index), 'value'], text });
    }
  }
  return problems;
}

interface Mention {
  readonly path: OptionPath;
  readonly id: string;
}

function mentionedProviders(value: unknown): Mention[] {
  const mentions: { path: OptionPath; id: unknown }[] = [];
  for (const [name, service] of entriesAt(value, ['services'])) {
    for (const [index, id] of entriesAt(service, ['providers'])) {
      mentions.push({ path: ['services', name, 'providers', Number(index)], id });
    }
  }
  for (const [name, service] of entriesAt(value, ['api_management', 'providers'])) {
    const path = ['api_management', 'providers', name];
    mentions.push({ path: [...path, 'primary'], id: valueAt(service, ['primary']) });
    for (const [index, id] of entriesAt(service, ['backups']))
      mentions.push({ path: [...path, 'backups', Number(index)], id });
  }
  return mentions.flatMap(({ path, id }) => (typeof id === 'string' ? [{ path, id }] : []));
}

/** What `api_management:` says against the rest of the file, or cannot have. */
function apiManagementProblems(value: unknown): Problem[] {
  const section = 'api_management';
  const problems: Problem[] = [];
  const isOff = (option: string): boolean => {
    const stated = valueAt(value, [section, option]);
    return stated === false || valueAt(stated, ['enabled']) === false;
  };
  if (isOff('global_failover'))
    problems.push({
      path: [section, 'global_failover'],
      text: 'cannot be switched off: failover is what keymux does',
    });
  if (isOff('rate_limiting')) {
    problems.push({
      path: [section, 'rate_limiting'],
      text: 'cannot be switched off: limits hold where `providers.<name>.limits` states them',
    });
  }
  if (
    valueAt(value, [section, 'state_persistence']) !== undefined &&
    valueAt(value, ['store']) !== undefined
  ) {
    problems.push({
      path: [section, 'state_persistence'],
      text: 'cannot stand beside `store`, which says the same',
    });
  }
  const declared = new Set(entriesAt(value, ['services']).map(([name]) => name));
  for (const [name] of entriesAt(value, [section, 'providers'])) {
    if (declared.has(name))
      problems.push({
        path: [section, 'providers', name],
        text: `is also declared as services.${nameText(name)}; keep one`,
      });
  }
  return problems;
}

function valueAt(value: unknown, path: OptionPath): unknown {
  let found = value;
  for (const step of path) {
    if (typeof found !== 'object' || found === null || !Object.hasOwn(found, step)) return undefined;
    found = (found as Readonly<Record<PropertyKey, unknown>>)[step];
  }
  return found;
}

function entriesAt(value: unknown, path: OptionPath): [string, unknown][] {
  const found = valueAt(value, path);
  return typeof found === 'object' && found !== null ? Object.entries(found) : [];
}
