/** What a configuration file would do that nobody but its user may decide: where keys would go, and what would run. */
import { realpathSync } from 'node:fs';
import { dirname, isAbsolute, join, relative, resolve } from 'node:path';
import { parseRedisAddress } from '../core/redis-address.js';
import type { Catalogue } from './configuration.js';
import type { Demand, FileContent, FileProvider, FileStore, OptionPath } from './file-content.js';
import { splitWords } from './reference.js';
import { isThisMachine } from './safe-address.js';

/**
 * In the order of the options. An address that the catalogue knows for the provider demands nothing, nor does one on
 * this machine, nor a place within `folder`, that of the file.
 */
export function demandsOf(content: FileContent, catalogue: Catalogue, folder: string): Demand[] {
  return [
    ...Object.entries(content.providers ?? {}).flatMap(([id, provider]) =>
      demandsOfProvider(id, provider, catalogue.get(id)?.origins ?? []),
    ),
    ...demandsOfStore(content.store, folder),
    ...demandsOfAlerts(content.alerts ?? []),
    ...commandDemand(['vault', 'key'], content.vault?.key),
    ...fileDemand(['audit', 'path'], content.audit?.path, folder),
  ];
}

function demandsOfProvider(id: string, provider: FileProvider, known: readonly string[]): Demand[] {
  const path: OptionPath = ['providers', id];
  const addresses: [OptionPath, string][] = [
    ...(provider.baseUrl === undefined
      ? []
      : [[[...path, 'baseUrl'], provider.baseUrl] as [OptionPath, string]]),
    ...(provider.origins ?? []).map((origin, index): [OptionPath, string] => [
      [...path, 'origins', index],
      origin,
    ]),
  ];
  return [
    ...addresses
      .filter(([, address]) => !isHarmless(new URL(address), known))
      .map(([at, address]) => plain('address', at, new URL(address).origin)),
    ...(provider.keys ?? []).flatMap(({ value }, index) =>
      commandDemand([...path, 'keys', index, 'value'], value),
    ),
  ];
}

function isHarmless({ origin, hostname }: URL, known: readonly string[]): boolean {
  return isThisMachine(hostname) || known.includes(origin);
}

function demandsOfStore(store: FileStore | undefined, folder: string): Demand[] {
  if (store?.type === 'sqlite') return fileDemand(['store', 'path'], store.path, folder);
  if (store?.type !== 'redis') return [];
  const { url, secret } = store;
  const path = ['store', 'url'];
  return [
    ...commandDemand(path, url),
    ...redisDemand(path, url),
    ...commandDemand(['store', 'secret'], secret),
  ];
}

/** A variable is the user's own. A file stands where the configuration says. */
function redisDemand(path: OptionPath, url: string): Demand[] {
  if (url.startsWith('file:')) return [plain('store', path, url)];
  const address = parseRedisAddress(url);
  if ('fault' in address || address.endpoints.every(({ host }) => isThisMachine(hostOf(host)))) return [];
  return [plain('store', path, address.shown)];
}

/** As `URL` writes it. */
function hostOf(host: string): string {
  return host.includes(':') ? `[${host}]` : host;
}

function demandsOfAlerts(alerts: NonNullable<FileContent['alerts']>): Demand[] {
  return alerts.flatMap(({ webhook, command }, index) => [
    ...(webhook === undefined ? [] : webhookDemand(['alerts', index, 'webhook'], webhook)),
    ...(command === undefined
      ? []
      : [
          {
            kind: 'command' as const,
            path: ['alerts', index, 'command'],
            text: command.map(quoted).join(' '),
            shown: command[0] ?? '',
          },
        ]),
  ]);
}

/** Whoever knows the whole address may write there. */
function webhookDemand(path: OptionPath, webhook: string): Demand[] {
  if (webhook.startsWith('env:')) return [];
  if (webhook.startsWith('file:')) return [plain('webhook', path, webhook)];
  const { origin, hostname } = new URL(webhook);
  return isThisMachine(hostname) ? [] : [plain('webhook', path, origin)];
}

function commandDemand(path: OptionPath, reference: string | undefined): Demand[] {
  if (reference?.startsWith('exec:') !== true) return [];
  const text = reference.slice('exec:'.length).trim();
  return [{ kind: 'command', path, text, shown: splitWords(text)?.[0] ?? '' }];
}

/** Whoever chooses the place could have a file of another program taken for a damaged one, and set aside. */
function fileDemand(at: OptionPath, path: string | undefined, folder: string): Demand[] {
  if (path === undefined || isWithin(resolve(folder, path), folder)) return [];
  return [plain('file', at, path)];
}

/** Also by where links lead. */
function isWithin(place: string, folder: string): boolean {
  const below = relative(realPathOf(folder), realPathOf(place));
  return below !== '..' && !/^\.\.[/\\]/.test(below) && !isAbsolute(below);
}

/** What is not there yet lies where its folder is. */
function realPathOf(path: string): string {
  try {
    return realpathSync(path);
  } catch {
    const parent = dirname(path);
    return parent === path ? path : join(realPathOf(parent), relative(parent, path));
  }
}

function plain(kind: Demand['kind'], path: OptionPath, text: string): Demand {
  return { kind, path, text, shown: text };
}

function quoted(word: string): string {
  return /^[\w./:=@%+,-]+$/.test(word) ? word : JSON.stringify(word);
}
