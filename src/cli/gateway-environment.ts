/** The environment of a program that reaches its providers through a gateway, and holds no real key. Pure. */
import type { Configuration } from '../config/configuration.js';
import type { Environment as ReadVariables } from '../config/environment.js';
import type { ProviderDefinition } from '../core/provider.js';
import { holdsKey, replaceKey } from '../core/written-key.js';
import { baseName } from '../interceptors/variable-names.js';
import { BASE_URL_VARIABLES } from './base-url-variables.js';

export interface GatewayFacts {
  /** Such as `http://127.0.0.1:41234`. */
  readonly origin: string;
  /** For programs that know of the gateway. */
  readonly token: string;
  /** What stands for the keys of each provider that the gateway answers for. */
  readonly standIns: ReadonlyMap<string, string>;
}

export interface GatewayEnvironment {
  readonly env: NodeJS.ProcessEnv;
  /** Base URLs that were set to other places. */
  readonly replacedUrls: readonly string[];
  /** Variables that the program does not get, since nothing can stand for the keys in them. */
  readonly withheld: readonly string[];
}

/** Shorter texts may stand anywhere by chance. */
const SHORTEST_KEY = 8;
const PROXY_NAMES = ['http_proxy', 'HTTP_PROXY', 'all_proxy', 'ALL_PROXY'];

/** `variables`: those of the environment and of `.env`. `preload`: what Node programs need not load here. */
export function gatewayEnvironment(
  configuration: Configuration,
  { variables }: Pick<ReadVariables, 'variables'>,
  env: NodeJS.ProcessEnv,
  facts: GatewayFacts,
  preload: string,
): GatewayEnvironment {
  const result: NodeJS.ProcessEnv = { ...env };
  delete result['KEYMUX_GATEWAY_TOKENS'];
  const withheld = replaceKeys(result, configuration, [...variables.keys()], facts.standIns);
  const replacedUrls = setBaseUrls(result, configuration, facts);
  result['KEYMUX_GATEWAY_URL'] = facts.origin;
  result['KEYMUX_GATEWAY_TOKEN'] = facts.token;
  passProxies(result);
  leavePreload(result, preload);
  return { env: result, replacedUrls, withheld };
}

/** Returns the names of variables that are left out. */
function replaceKeys(
  env: NodeJS.ProcessEnv,
  configuration: Configuration,
  found: readonly string[],
  standIns: ReadonlyMap<string, string>,
): string[] {
  const owners = ownersOf(configuration);
  const conventional = [...standIns.keys()].flatMap(
    (id) => configuration.providers.get(id)?.env.slice(0, 1) ?? [],
  );
  const withheld: string[] = [];
  for (const name of new Set([...conventional, ...found, ...Object.keys(env)])) {
    const owner = owners.get(name) ?? owners.get(baseName(name));
    const standIn = owner === undefined ? undefined : standIns.get(owner.id);
    const value = env[name];
    if (standIn !== undefined) env[name] = standIn;
    else if (value !== undefined) {
      const open = isUseless(owner) ? undefined : withoutKeys(value, configuration, standIns);
      if (open !== undefined) env[name] = open;
      else {
        delete env[name];
        withheld.push(name);
      }
    }
  }
  return withheld;
}

/** Nothing can stand for such a key, so that what is there is a real one. */
function isUseless(owner: ProviderDefinition | undefined): boolean {
  return owner !== undefined && (owner.signed || owner.mode === 'virtual');
}

function ownersOf({ providers }: Configuration): Map<string, ProviderDefinition> {
  return new Map(
    [...providers.values()].flatMap((provider) => provider.env.map((name) => [name, provider] as const)),
  );
}

/**
 * Keys also stand under names that only the configuration file knows, and in the midst of URLs. Undefined: a key is
 * there for which nothing can stand.
 */
function withoutKeys(
  value: string,
  { credentials }: Configuration,
  standIns: ReadonlyMap<string, string>,
): string | undefined {
  let open = value;
  for (const { provider, secret } of credentials) {
    const key = secret.reveal();
    const isWhole = open === key;
    if (!isWhole && (key.length < SHORTEST_KEY || !holdsKey(open, key))) continue;
    const standIn = standIns.get(provider);
    if (standIn === undefined) return undefined;
    open = replaceKey(open, key, standIn);
  }
  return open;
}

function setBaseUrls(
  env: NodeJS.ProcessEnv,
  { providers, services }: Configuration,
  { origin, standIns }: GatewayFacts,
): string[] {
  const replaced: string[] = [];
  for (const { provider: id, name, path } of BASE_URL_VARIABLES) {
    const provider = providers.get(id);
    if (provider === undefined || !standIns.has(id)) continue;
    // Requests to a service that may be answered by others are made for its first provider.
    const service = [...services.values()].find(
      (each) => each.rewrite !== undefined && each.providers[0] === id,
    );
    const before = env[name];
    if (before !== undefined && before !== '') replaced.push(name);
    env[name] = `${origin}/${service?.name ?? id}${pathBehind(provider, path)}`;
  }
  return replaced;
}

/** The gateway's paths begin where the provider's `baseUrl` ends. */
function pathBehind({ baseUrl }: ProviderDefinition, path: string): string {
  const own = new URL(baseUrl).pathname.replace(/\/$/, '');
  return path !== '' && own.endsWith(path) ? '' : path;
}

/** A proxy elsewhere cannot reach the gateway on this machine. */
function passProxies(env: NodeJS.ProcessEnv): void {
  if (PROXY_NAMES.every((name) => (env[name] ?? '') === '')) return;
  for (const name of ['no_proxy', 'NO_PROXY']) {
    const before = env[name] ?? '';
    env[name] = before === '' ? '127.0.0.1' : `${before},127.0.0.1`;
  }
}

/** Where this process was itself started by `keymux run`. */
function leavePreload(env: NodeJS.ProcessEnv, preload: string): void {
  const options = env['NODE_OPTIONS'];
  if (options?.includes(preload) !== true) return;
  env['NODE_OPTIONS'] = options.replaceAll(`--require ${JSON.stringify(preload)}`, '').trim();
}
