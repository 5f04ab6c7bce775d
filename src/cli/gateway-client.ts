/** Talks to a gateway that runs already, where there is one. */
import { readFileSync } from 'node:fs';
import { isDeepStrictEqual } from 'node:util';
import type { Configuration } from '../config/configuration.js';
import type { ErrorCode } from '../core/errors.js';
import { ERROR_CODES, KeymuxError } from '../core/errors.js';
import { ownTokenFile } from '../gateway/token-file.js';
import { readTokens } from '../gateway/tokens.js';
import type { Snapshot } from '../manager/inspection.js';

type Env = Readonly<Record<string, string | undefined>>;

const DEFAULT_URL = 'http://127.0.0.1:4800';
const TIMEOUT_MS = 5_000;

export class GatewayClient {
  /** Scheme, host and port. */
  readonly url: string;
  readonly #token: string;

  constructor(url: string, token: string) {
    this.url = url;
    this.#token = token;
  }

  /** `path` is behind `/-/api`. Rejects with what the gateway refused it with, or `KEYMUX_USAGE` where none answers. */
  async ask(method: 'GET' | 'POST' | 'DELETE', path: string, body?: unknown): Promise<unknown> {
    const response = await this.#send(method, path, body);
    const answer = await response.json().catch(() => undefined);
    if (response.ok && answer !== undefined) return answer;
    throw refusalOf(this.url, response.status, answer);
  }

  async #send(method: string, path: string, body: unknown): Promise<Response> {
    try {
      return await fetch(`${this.url}/-/api${path}`, {
        method,
        redirect: 'error',
        signal: AbortSignal.timeout(TIMEOUT_MS),
        headers: {
          authorization: `Bearer ${this.#token}`,
          ...(body === undefined ? {} : { 'content-type': 'application/json' }),
        },
        ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      });
    } catch (cause) {
      throw new KeymuxError('KEYMUX_USAGE', `No gateway answers at ${this.url}.`, {
        fix: 'Start it with `keymux serve`, or correct or unset KEYMUX_GATEWAY_URL.',
        cause,
      });
    }
  }
}

/**
 * The gateway that `KEYMUX_GATEWAY_URL` names, or the one on this machine if it reads the same configuration files;
 * undefined where there is none. With `KEYMUX_GATEWAY_URL=off` none is looked for.
 */
export async function findGateway(
  { sources, store }: Configuration,
  env: Env,
  defaultUrl = DEFAULT_URL,
): Promise<GatewayClient | undefined> {
  const stated = env['KEYMUX_GATEWAY_URL'] ?? '';
  if (stated === 'off') return undefined;
  if (stated !== '') return namedGateway(stated, env);
  const token = tokenIn(env);
  if (token === undefined) return undefined;
  const client = new GatewayClient(defaultUrl, token);
  const state = await client.ask('GET', '/state').catch(() => undefined);
  const isSame =
    isState(state) && state.store.kind === store.type && isDeepStrictEqual(state.sources, sources);
  return isSame && sources.length > 0 ? client : undefined;
}

function namedGateway(stated: string, env: Env): GatewayClient {
  const url = URL.canParse(stated) ? new URL(stated) : undefined;
  const isLocal = url !== undefined && /^(?:127\.\d+\.\d+\.\d+|\[::1\]|localhost)$/.test(url.hostname);
  if (url === undefined || (url.protocol !== 'https:' && !(isLocal && url.protocol === 'http:'))) {
    throw new KeymuxError(
      'KEYMUX_USAGE',
      'KEYMUX_GATEWAY_URL names no gateway that a token may be sent to.',
      {
        fix: 'Use https, or http to this machine, such as http://127.0.0.1:4800.',
      },
    );
  }
  // Tokens that this machine made are for its own gateway.
  const token = isLocal ? tokenIn(env) : env['KEYMUX_GATEWAY_TOKEN'];
  if (token === undefined || token === '') {
    throw new KeymuxError('KEYMUX_USAGE', `There is no token for the gateway at ${url.origin}.`, {
      fix: 'Set KEYMUX_GATEWAY_TOKEN to one with the role admin.',
    });
  }
  return new GatewayClient(url.origin, token);
}

/** What `keymux serve` made, where no other is set. */
function tokenIn(env: Env): string | undefined {
  const stated = env['KEYMUX_GATEWAY_TOKEN'] ?? '';
  if (stated !== '') return stated;
  try {
    const path = ownTokenFile(env);
    const tokens = readTokens(readFileSync(path, 'utf8'), path);
    return tokens.find(({ role }) => role === 'admin')?.secret.reveal();
  } catch {
    return undefined;
  }
}

function isState(value: unknown): value is Pick<Snapshot, 'sources' | 'store'> {
  return typeof value === 'object' && value !== null && 'sources' in value && 'store' in value;
}

function refusalOf(url: string, status: number, answer: unknown): KeymuxError {
  const { code, message, fix } = errorIn(answer);
  if (typeof message !== 'string' || typeof fix !== 'string') {
    return new KeymuxError(
      'KEYMUX_USAGE',
      `What answers at ${url} (status ${status}) is no keymux gateway.`,
      {
        fix: 'Correct KEYMUX_GATEWAY_URL.',
      },
    );
  }
  const known = ERROR_CODES.find((one) => one === code) ?? ('KEYMUX_USAGE' satisfies ErrorCode);
  return new KeymuxError(known, `The gateway at ${url} refused: ${message}`, { fix });
}

function errorIn(answer: unknown): Readonly<Record<string, unknown>> {
  if (typeof answer !== 'object' || answer === null || !('error' in answer)) return {};
  return (answer.error ?? {}) as Readonly<Record<string, unknown>>;
}
