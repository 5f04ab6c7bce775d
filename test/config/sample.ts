import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { onTestFinished } from 'vitest';
import type { Catalogue, Configuration } from '#keymux/config/configuration.js';
import type { KnownProvider } from '#keymux/core/provider.js';
import { checkContent, readConfigurationFile } from '#keymux/config/file.js';
import { type ConfigurationInput, resolveConfiguration } from '#keymux/config/resolve.js';
import { KeymuxError } from '#keymux/core/errors.js';

function entry(id: string, more: Partial<KnownProvider> = {}): [string, KnownProvider] {
  const provider: KnownProvider = {
    id,
    name: id.toUpperCase(),
    baseUrl: `https://api.${id}.example`,
    origins: [`https://api.${id}.example`, `https://eu.${id}.example`],
    auth: { in: 'header', name: 'x-key' },
    authAlternatives: [{ in: 'query', name: 'token' }],
    env: [`${id.toUpperCase()}_API_KEY`],
    signed: false,
    bucketScope: 'key',
    errors: [{ status: 418, outcome: 'overloaded' }],
    ...more,
  };
  return [id, provider];
}

/** Small, and with one provider for each thing that a catalogue may say. */
export const catalogue: Catalogue = new Map([
  entry('alpha_vantage', {
    env: ['ALPHAVANTAGE_API_KEY', 'ALPHA_VANTAGE_API_KEY'],
    demoKeys: ['your-demo'],
    reset: { at: '00:00', timeZone: 'UTC' },
  }),
  entry('finnhub', { probe: { method: 'GET', path: '/status', everyMs: 90_000, dailyBudget: 5 } }),
  entry('gemini', { env: ['GEMINI_API_KEY', 'GOOGLE_API_KEY'] }),
  entry('yahoo_finance', { env: [], bucketScope: 'egress' }),
  entry('metered', { bucketScope: 'egress' }),
  entry('tenant', { originPattern: '*.tenant.example', origins: [], baseUrl: 'https://none.tenant.invalid' }),
]);

export const isTemplateValue = (value: string, demoKeys: readonly string[] = []): boolean =>
  value.startsWith('your-') && !demoKeys.includes(value);

/** An empty folder that is gone after the test, with the files that were asked for. */
export function folderWith(files: Readonly<Record<string, string>> = {}): string {
  const folder = mkdtempSync(join(tmpdir(), 'keymux-config-'));
  onTestFinished(() => {
    rmSync(folder, { recursive: true, force: true });
  });
  for (const [name, text] of Object.entries(files)) {
    mkdirSync(dirname(join(folder, name)), { recursive: true });
    writeFileSync(join(folder, name), text, { mode: 0o600 });
  }
  return folder;
}

type Environment = Readonly<Record<string, string>>;

/** The configuration of a folder with these files and this environment; its user has allowed what it does. */
export function resolveIn(
  files: Readonly<Record<string, string>>,
  env: Environment = {},
  more: Partial<ConfigurationInput> = {},
): Configuration & { readonly folder: string } {
  const folder = folderWith(files);
  const input = {
    env,
    cwd: folder,
    home: folder,
    catalogue,
    isTemplateValue,
    readFile: readConfigurationFile,
    isAllowed: () => true,
  };
  return { ...resolveConfiguration({ ...input, ...more }), folder };
}

export function resolveYaml(
  yaml: string,
  env: Environment = {},
): Configuration & { readonly folder: string } {
  return resolveIn({ 'keymux.config.yaml': yaml }, env);
}

export function resolveContent(content: unknown, env: Environment = {}): Configuration {
  const folder = folderWith();
  return resolveIn({}, env, { file: checkContent(content, { name: 'the options', folder, catalogue }) });
}

/** `id value@origin` of each key, in order; for comparison only. */
export function keysOf(configuration: Configuration, provider: string): string[] {
  return configuration.credentials
    .filter((credential) => credential.provider === provider)
    .map(({ id, secret, origin }) => `${id} ${secret.reveal()} ${origin}`);
}

export function errorOf(action: () => unknown): KeymuxError {
  try {
    action();
  } catch (error) {
    if (error instanceof KeymuxError) return error;
    throw error;
  }
  throw new Error('nothing was thrown');
}
