/** Simulated providers, a manager of their keys, and a bare server that forwards to them. */
import http from 'node:http';
import type { AddressInfo } from 'node:net';
import { createForwarding } from '#keymux/gateway/forwarder.js';
import type { ForwardingLimits } from '#keymux/gateway/forwarder.js';
import type { Forwarding } from '#keymux/gateway/forwarding.js';
import type { ForwardTarget } from '#keymux/gateway/target.js';
import type { RequestEvent } from '#keymux/manager/events.js';
import { KeyManager } from '#keymux/manager/key-manager.js';
import type { KeyManagerOptions } from '#keymux/manager/options.js';
import { createMemoryStore } from '#keymux/stores/memory.js';
import type { KeyScript } from '#keymux/testing/script-key.js';
import type { Simulator, SimulatorOptions } from '#keymux/testing/simulator-api.js';
import { startSimulator } from '#keymux/testing/simulator.js';
import { onTestFinished } from 'vitest';

/** What a caller sends in place of a key. */
export const TOKEN = 'kmx-token-of-the-caller';

export interface ProviderSetup {
  /** By their texts. */
  readonly keys: Readonly<Record<string, KeyScript>>;
  readonly simulator?: SimulatorOptions;
  /** Options of the provider in the configuration. */
  readonly provider?: object;
}

export interface ForwardedOptions {
  /** The service `llm` asks them in this order. */
  readonly providers: Readonly<Record<string, ProviderSetup>>;
  /** Options of the service `llm`. */
  readonly service?: object;
  readonly limits?: Partial<ForwardingLimits>;
  /** The name of the token that everybody comes with. */
  readonly by?: string;
  readonly manager?: KeyManagerOptions;
}

export interface Forwarded {
  readonly url: string;
  readonly port: number;
  readonly manager: KeyManager;
  readonly forwarding: Forwarding;
  readonly server: http.Server;
  /** How requests ended, as the events tell. */
  readonly ended: readonly RequestEvent[];
  simulator(provider: string): Simulator;
  /** Names of the keys in the order in which that provider saw them. */
  seen(provider: string): (string | undefined)[];
}

export async function forwarded(options: ForwardedOptions): Promise<Forwarded> {
  const simulators = new Map<string, Simulator>();
  const providers: Record<string, object> = {};
  const env: Record<string, string> = {};
  for (const [id, { keys, simulator: script, provider }] of Object.entries(options.providers)) {
    const named = Object.entries(keys).map(([text, key]) => [text, { name: text, ...key }]);
    const simulator = await startSimulator({
      flavour: 'openai',
      ...script,
      keys: Object.fromEntries(named) as Record<string, KeyScript>,
    });
    onTestFinished(() => simulator.close());
    simulators.set(id, simulator);
    const name = `${id.toUpperCase()}_API_KEY`;
    env[`${name}S`] = Object.keys(keys).join(',');
    providers[id] = { baseUrl: simulator.origin, env: [name], ...provider };
  }
  const manager = managerOf(options, providers, env);
  const gateway = await serving(manager, options.limits, options.by);
  const simulator = (id: string): Simulator => simulators.get(id) as Simulator;
  return {
    ...gateway,
    manager,
    simulator,
    seen: (id) => simulator(id).requests.map(({ key }) => key),
  };
}

function managerOf(
  { providers: setups, service, manager: options }: ForwardedOptions,
  providers: Record<string, object>,
  env: Record<string, string>,
): KeyManager {
  const manager = new KeyManager({
    env,
    cwd: '/nonexistent',
    config: { services: { llm: { providers: Object.keys(setups), ...service } }, providers } as NonNullable<
      KeyManagerOptions['config']
    >,
    store: createMemoryStore({ now: () => performance.timeOrigin + performance.now(), onNotice: () => {} }),
    random: () => 0,
    drainMs: 1,
    ...options,
  });
  onTestFinished(() => manager.shutdown());
  return manager;
}

/** A server that forwards whatever it gets: `/<service or provider>/<path>`. */
export async function serving(
  manager: KeyManager,
  limits?: Partial<ForwardingLimits>,
  by?: string,
): Promise<Pick<Forwarded, 'url' | 'port' | 'forwarding' | 'server' | 'ended'>> {
  const forwarding = createForwarding({ manager, ...(limits === undefined ? {} : { limits }) });
  const server = http.createServer((request, response) =>
    forwarding.forward(request, response, targetOf(manager, request.url ?? '/', by)),
  );
  server.on('upgrade', (request, socket, head) =>
    forwarding.upgrade(request, socket, head, targetOf(manager, request.url ?? '/', by)),
  );
  const ended: RequestEvent[] = [];
  manager.on('request', (event) => ended.push(event));
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  onTestFinished(async () => {
    await forwarding.drain(0);
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  });
  const { port } = server.address() as AddressInfo;
  return { url: `http://127.0.0.1:${port}`, port, forwarding, server, ended };
}

function targetOf(manager: KeyManager, url: string, by: string | undefined): ForwardTarget {
  const [, name = ''] = url.split('/', 2);
  const rest = url.slice(name.length + 1);
  return {
    kind: 'forward',
    name,
    pool: manager.poolOf(name),
    path: rest.startsWith('/') ? rest : `/${rest}`,
    ...(by === undefined ? {} : { by }),
  };
}

export const CHAT = '/llm/v1/chat/completions';

/** A chat request as an SDK sends it. */
export function chat(body: object = {}, headers: Readonly<Record<string, string>> = {}): RequestInit {
  return {
    method: 'POST',
    headers: { authorization: `Bearer ${TOKEN}`, 'content-type': 'application/json', ...headers },
    body: JSON.stringify({ model: 'gpt-simulated', ...body }),
  };
}

/** Resolves as soon as the condition holds; no event tells of what happens within a request. */
export async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise((resolve) => setTimeout(resolve, 2));
}
