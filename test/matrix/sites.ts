/** The servers that the client programs talk to, and the configuration that makes keymux take care of most of them. */
import { createHmac } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { KeyScript } from '#keymux/testing/script-key.js';
import { ok, redirect, refuse, reply, reset, silence } from '#keymux/testing/script.js';
import type { Action, Behaviour, RequestFacts } from '#keymux/testing/script.js';
import type { Certificate } from '#keymux/testing/self-signed-certificate.js';
import { createCertificate } from '#keymux/testing/self-signed-certificate.js';
import type { Simulator, SimulatorOptions } from '#keymux/testing/simulator-api.js';
import { FLAVOURS } from '#keymux/testing/simulator-flavours.js';
import { startSimulator } from '#keymux/testing/simulator.js';
import type { Gate } from './gate.js';
import { startGate } from './gate.js';
import { gemini } from './gemini.js';
import { keyText, keysOf } from './keys.js';
import type { ConnectProxy } from './proxy.js';
import { startProxy } from './proxy.js';

export type Scheme = 'http' | 'https';

interface ProviderPlan {
  readonly env: string;
  readonly simulator: SimulatorOptions;
  /** In the configuration, beside `baseUrl`, `origins` and `env`. */
  readonly config?: object;
  /** Whether it has a server of event streams beside the simulator. */
  readonly streams?: boolean;
}

const placed = (id: string, auth: NonNullable<SimulatorOptions['auth']>): ProviderPlan => ({
  env: `${id.toUpperCase()}_API_KEY`,
  simulator: { auth },
  config: { auth },
});

const PROVIDERS: Readonly<Record<string, ProviderPlan>> = {
  bearer: {
    ...placed('bearer', { in: 'header', name: 'authorization', scheme: 'Bearer' }),
    streams: true,
  },
  /** For what breaks: the circuit of its provider opens. */
  unstable: placed('unstable', { in: 'header', name: 'authorization', scheme: 'Bearer' }),
  header: placed('header', { in: 'header', name: 'x-api-key' }),
  query: placed('query', { in: 'query', name: 'apikey' }),
  path: placed('path', { in: 'path' }),
  basic: placed('basic', { in: 'basic', field: 'username' }),
  openai: { env: 'OPENAI_API_KEY', simulator: { flavour: 'openai' }, streams: true },
  anthropic: { env: 'ANTHROPIC_API_KEY', simulator: { flavour: 'anthropic' }, streams: true },
  gemini: { env: 'GEMINI_API_KEY', simulator: { flavour: gemini }, streams: true },
};

const EXCHANGE_SECRET = 'exchange-secret-71f2';

/** What the good key does, by the path. `/go/<status>/<location>` redirects; the location is in base64url. */
function answerGood({ path }: RequestFacts): Action {
  const [, status, location] = /\/go\/(\d+)\/([\w-]+)/.exec(path) ?? [];
  if (status !== undefined && location !== undefined)
    return redirect(Buffer.from(location, 'base64url').toString(), { status: Number(status) });
  if (path.startsWith('/hop')) return redirect('/landed');
  if (path.startsWith('/reset')) return reset(path.startsWith('/reset/late') ? 'mid-body' : 'before-headers');
  return path.startsWith('/silent') ? silence() : ok();
}

export type ProgramKind = 'managed' | 'virtual' | 'bare';

export interface Sites {
  readonly simulators: ReadonlyMap<string, Simulator>;
  readonly proxy: ConnectProxy;
  /** What the programs trust. */
  readonly certificate: Certificate;
  /** The names of the keys that a site saw from `since` on, in this order. */
  seen(site: string, since?: number): (string | undefined)[];
  /** The first events of the streams under way have arrived. */
  openGates(): void;
  /** The environment of a program under keymux, of one that gets virtual keys, or of one without, which holds good keys. */
  environment(kind: ProgramKind): Record<string, string>;
  close(): Promise<void>;
}

export async function startSites(scheme: Scheme): Promise<Sites> {
  const authority = createCertificate();
  const tls = scheme === 'https' ? authority : undefined;
  const secured = tls === undefined ? {} : { tls };
  const simulators = new Map<string, Simulator>();
  const gates = new Map<string, Gate>();
  for (const [id, plan] of Object.entries(PROVIDERS)) {
    simulators.set(id, await startSimulator({ ...plan.simulator, ...secured, keys: scriptsOf(id) }));
    if (plan.streams !== true) continue;
    const flavour = plan.simulator.flavour ?? 'generic';
    gates.set(
      id === 'bearer' ? 'gate' : `${id}-gate`,
      await startGate({
        flavour: typeof flavour === 'string' ? FLAVOURS[flavour] : flavour,
        keys: keysOf(id),
        tls,
      }),
    );
  }
  simulators.set('exchange', await startSimulator({ ...exchange, ...secured }));
  simulators.set('keyless', await startSimulator({ unknownKey: found, ...secured }));
  const proxy = await startProxy();

  const directory = mkdtempSync(join(tmpdir(), 'keymux-matrix-'));
  const originOf = (site: string): string => (simulators.get(site) ?? gates.get(site))?.origin ?? '';
  const config = join(directory, 'keymux.config.json');
  writeFileSync(config, JSON.stringify(configuration(originOf)));
  const virtualConfig = join(directory, 'virtual.config.json');
  writeFileSync(virtualConfig, JSON.stringify(virtualConfiguration(originOf, directory)));
  const certificate = join(directory, 'certificate.pem');
  writeFileSync(certificate, authority.cert);

  const origins = Object.fromEntries([...simulators.keys(), ...gates.keys()].map((id) => [id, originOf(id)]));
  const shared = {
    SITES: JSON.stringify({ ...origins, proxy: proxy.origin }),
    EXCHANGE_API_KEY: 'exchange-captured-0a1b2c',
    EXCHANGE_API_SECRET: EXCHANGE_SECRET,
    KEYMUX_STATE_DIR: directory,
    NODE_EXTRA_CA_CERTS: certificate,
  };
  return {
    simulators,
    proxy,
    certificate: authority,
    seen: (site, since = 0) =>
      (gates.get(site)?.seen ?? simulators.get(site)?.requests.map(({ key }) => key) ?? []).slice(since),
    openGates: () => {
      for (const gate of gates.values()) gate.open();
    },
    environment: (kind) => ({
      ...shared,
      ...{
        bare: goodKeys,
        managed: () => ({ ...allKeys(), KEYMUX_CONFIG: config }),
        virtual: () => ({ KEYMUX_CONFIG: virtualConfig }),
      }[kind](),
    }),
    async close() {
      const servers = [...simulators.values(), ...gates.values(), proxy];
      await Promise.all(servers.map((server) => server.close()));
      rmSync(directory, { recursive: true, force: true });
    },
  };
}

function scriptsOf(provider: string): Record<string, KeyScript> {
  return {
    [keyText(provider, 'limited')]: { name: 'limited', always: refuse(429, { retryAfterSeconds: 60 }) },
    [keyText(provider, 'revoked')]: { name: 'revoked', always: refuse(401) },
    [keyText(provider, 'good')]: { name: 'good', always: (request) => answerGood(request) },
  };
}

/** Were it not `signed`, the two keys would take turns. */
const exchange: SimulatorOptions = {
  auth: { in: 'header', name: 'X-MBX-APIKEY' },
  keys: {
    'exchange-captured-0a1b2c': {
      name: 'captured',
      always: { do: 'reply', status: 200, body: { balances: [] } },
    },
    'exchange-other-0a1b2c': { name: 'other' },
  },
};

const found: Behaviour = reply(200, { body: { explains: [], count: 0, quotes: [], news: [], nav: [] } });

function configuration(originOf: (site: string) => string): object {
  const providers = Object.entries(PROVIDERS).map(([id, { env, config, streams }]) => {
    const gate = originOf(id === 'bearer' ? 'gate' : `${id}-gate`);
    const origins = streams === true ? { origins: [gate] } : {};
    return [id, { baseUrl: originOf(id), env: [env], ...origins, ...config }];
  });
  return {
    store: { type: 'memory' },
    providers: {
      ...Object.fromEntries(providers),
      exchange: {
        baseUrl: originOf('exchange'),
        signed: true,
        strategy: 'round-robin',
        auth: { in: 'header', name: 'X-MBX-APIKEY' },
        env: ['EXCHANGE_API_KEY'],
      },
    },
  };
}

/** Only the good key of each, which stands in a file of its own. */
function virtualConfiguration(originOf: (site: string) => string, directory: string): object {
  const providers = Object.entries(PROVIDERS).map(([id, { env, config }]) => {
    const file = join(directory, `${id}.key`);
    writeFileSync(file, keyText(id, 'good'), { mode: 0o600 });
    const keys = [{ id: 'good', value: `file:${file}` }];
    return [id, { baseUrl: originOf(id), env: [env], ...config, mode: 'virtual', keys }];
  });
  return { store: { type: 'memory' }, providers: Object.fromEntries(providers) as object };
}

/** The variable in which an application finds its key. */
export function variableOf(site: string): string {
  return PROVIDERS[site]?.env ?? '';
}

function allKeys(): Record<string, string> {
  const variables = Object.entries(PROVIDERS).flatMap(([id, { env }]) =>
    [...keysOf(id).keys()].map((text, index) => [index === 0 ? env : `${env}_${index + 1}`, text]),
  );
  return { ...Object.fromEntries(variables), EXCHANGE_API_KEY_2: 'exchange-other-0a1b2c' };
}

function goodKeys(): Record<string, string> {
  const variables = Object.entries(PROVIDERS).map(([id, { env }]) => [env, keyText(id, 'good')]);
  return Object.fromEntries(variables) as Record<string, string>;
}

/** Whether the signature of a request to the exchange is that of its query. */
export function isSigned(path: string): boolean {
  const [, query = '', signature] = /\?(.*)&signature=([0-9a-f]+)$/.exec(path) ?? [];
  return createHmac('sha256', EXCHANGE_SECRET).update(query).digest('hex') === signature;
}
