/** Where tokens are kept between two starts. */
import { randomBytes } from 'node:crypto';
import { linkSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { systemCodeOf } from '../config/environment.js';
import { KeymuxError } from '../core/errors.js';
import { createPrivateFile, preparePrivateDirectory, tightenFile } from '../stores/sqlite/file-modes.js';
import { stateDirectory } from '../stores/sqlite/state-directory.js';
import type { GatewayToken } from './tokens.js';
import { makeTokens, readTokens } from './tokens.js';

const OTHERS = 0o077;

export interface TokenSources {
  readonly tokens: readonly GatewayToken[];
  /** For people: where the tokens are. */
  readonly places: readonly string[];
  /** A file that others on this machine may read. */
  readonly open?: string;
}

/** Where `keymux serve` keeps tokens that it made itself. */
export function ownTokenFile(env: Readonly<Record<string, string | undefined>>): string {
  return join(stateDirectory(env), 'gateway-tokens');
}

/**
 * The tokens in `KEYMUX_GATEWAY_TOKENS` and in `file`; where neither is given, those of `ownTokenFile`, which is made
 * at the first start. Throws `KEYMUX_CONFIG_INVALID`, `KEYMUX_CONFIG_UNREADABLE`.
 */
export function findTokens(env: Readonly<Record<string, string | undefined>>, file?: string): TokenSources {
  const stated = env['KEYMUX_GATEWAY_TOKENS'] ?? '';
  const fromEnv = stated === '' ? [] : readTokens(stated, 'KEYMUX_GATEWAY_TOKENS');
  if (file === undefined && fromEnv.length > 0) return { tokens: fromEnv, places: ['KEYMUX_GATEWAY_TOKENS'] };
  if (file === undefined) {
    const path = ownTokenFile(env);
    return { tokens: readOrMake(path), places: [path] };
  }
  const tokens = [...fromEnv, ...readTokens(readTokenFile(file), file)];
  const places = [...(fromEnv.length > 0 ? ['KEYMUX_GATEWAY_TOKENS'] : []), file];
  return { tokens, places, ...(isOpen(file) ? { open: file } : {}) };
}

/** Two gateways that start for the first time at once agree on the tokens of one of them. */
function readOrMake(path: string): readonly GatewayToken[] {
  try {
    if (statSync(path, { throwIfNoEntry: false }) === undefined) makeTokenFile(path);
    tightenFile(path);
  } catch (error) {
    throw unusable(path, error);
  }
  return readTokens(readTokenFile(path), path);
}

function makeTokenFile(path: string): void {
  preparePrivateDirectory(dirname(path));
  const unfinished = `${path}.${randomBytes(6).toString('hex')}`;
  createPrivateFile(unfinished);
  try {
    const lines = makeTokens().map(({ name, secret }) => `${name}=${secret.reveal()}`);
    const head =
      '# Tokens of the keymux gateway: whoever has one may do what its role says. Delete this file for new ones.';
    writeFileSync(unfinished, `${[head, ...lines].join('\n')}\n`);
    linkSync(unfinished, path);
  } catch (error) {
    if (systemCodeOf(error) !== 'EEXIST') throw error;
  } finally {
    rmSync(unfinished, { force: true });
  }
}

function readTokenFile(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch (error) {
    throw unusable(path, error);
  }
}

function isOpen(path: string): boolean {
  return process.platform !== 'win32' && (statSync(path).mode & OTHERS) !== 0;
}

function unusable(path: string, error: unknown): KeymuxError {
  return new KeymuxError(
    'KEYMUX_CONFIG_UNREADABLE',
    `The tokens in ${path} cannot be used (${systemCodeOf(error)}).`,
    {
      fix: 'Correct the path or its permissions, or pass tokens in KEYMUX_GATEWAY_TOKENS.',
    },
  );
}
