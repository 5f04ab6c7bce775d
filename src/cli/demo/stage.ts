/** The simulators of the bad day, and all that a program needs to meet them: addresses, keys, a configuration. */
import { randomBytes } from 'node:crypto';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { stringify } from 'yaml';
import { refuse } from '../../testing/script.js';
import { createCertificate } from '../../testing/self-signed-certificate.js';
import { startSimulator } from '../../testing/simulator.js';
import type { Simulator } from '../../testing/simulator-api.js';
import type { RequestRecord } from '../../testing/simulator-records.js';
import type { StagedKey, StagedProvider } from './bad-day.js';

export interface StagedSimulator {
  readonly provider: StagedProvider;
  readonly simulator: Simulator;
}

export interface Stage {
  /** Holds the configuration and the state; only this user can look into it. */
  readonly folder: string;
  readonly simulators: readonly StagedSimulator[];
  /** What the agents find in their environment. */
  readonly env: Readonly<Record<string, string>>;
  /** The same as a file for `node --env-file`. */
  readonly envFile: string;
  /** WebSockets that were open when their key was revoked. */
  readonly feedsCut: readonly RequestRecord[];
  /** The text with `[provider/key]` in the place of each key. */
  mask(text: string): string;
  close(): Promise<void>;
}

/** Starts the simulators and writes what leads to them. On failure nothing is left behind. */
export async function setStage(providers: readonly StagedProvider[]): Promise<Stage> {
  const folder = await mkdtemp(join(tmpdir(), 'keymux-demo-'));
  const simulators: StagedSimulator[] = [];
  const close = async (): Promise<void> => {
    await Promise.all(simulators.map(({ simulator }) => simulator.close()));
    // A process that ends may still write its state.
    await rm(folder, { recursive: true, force: true, maxRetries: 5, retryDelay: 50 });
  };
  try {
    const certificate = createCertificate();
    const certificateFile = join(folder, 'certificate.pem');
    await writeFile(certificateFile, certificate.cert);
    const env: Record<string, string> = {
      KEYMUX_CONFIG: join(folder, 'keymux.config.yaml'),
      KEYMUX_STATE_DIR: join(folder, 'state'),
      NODE_EXTRA_CA_CERTS: certificateFile,
    };
    const keyNames = new Map<string, string>();
    const configuration: Record<string, unknown> = {};
    for (const provider of providers) {
      const keys = provider.keys.map((key) => ({ ...key, text: `km-${randomBytes(20).toString('hex')}` }));
      const simulator = await startProvider(provider, keys, certificate);
      simulators.push({ provider, simulator });
      env[`${provider.envPrefix}_URL`] = simulator.origin;
      for (const { id, text } of keys) {
        env[keyVariable(provider, id)] = text;
        keyNames.set(text, `[${provider.id}/${id}]`);
      }
      configuration[provider.id] = { baseUrl: simulator.origin, ...provider.config };
    }
    const file = { providers: configuration, store: { type: 'sqlite' } };
    await writeFile(join(folder, 'keymux.config.yaml'), stringify(file));
    const envFile = join(folder, 'env');
    const lines = Object.entries(env).map(([name, value]) => `${name}="${value}"\n`);
    await writeFile(envFile, lines.join(''), { mode: 0o600 });
    const mask = (text: string): string =>
      [...keyNames].reduce((masked, [key, name]) => masked.replaceAll(key, name), text);
    return { folder, simulators, env, envFile, feedsCut: cueFaults(simulators), mask, close };
  } catch (error) {
    await close();
    throw error;
  }
}

function keyVariable({ envPrefix }: StagedProvider, id: StagedKey['id']): string {
  return `${envPrefix}_API_KEY${id === 'main' ? '' : `_${id.toUpperCase()}`}`;
}

function startProvider(
  { flavour, auth, buckets, isHttps }: StagedProvider,
  keys: readonly (StagedKey & { readonly text: string })[],
  certificate: { readonly key: string; readonly cert: string },
): Promise<Simulator> {
  return startSimulator({
    flavour,
    keys: Object.fromEntries(keys.map(({ id, text, script }) => [text, { ...script, name: id }])),
    ...(auth === undefined ? {} : { auth }),
    ...(buckets === undefined ? {} : { buckets }),
    ...(isHttps === true ? { tls: certificate } : {}),
  });
}

const REVOKED_AFTER_REQUESTS = 45;
const OUTAGE_AFTER_REQUESTS = 36;
/** Shorter than the wait that the provider states, so that who believes it is served. */
const OUTAGE_MS = 1_800;
const OUTAGE_RETRY_SECONDS = 2;

/** The two faults that befall more than the request at hand. Returns the feeds that were cut. */
function cueFaults(simulators: readonly StagedSimulator[]): readonly RequestRecord[] {
  const of = (id: string): Simulator | undefined =>
    simulators.find(({ provider }) => provider.id === id)?.simulator;
  const feedsCut: RequestRecord[] = [];
  const finnhub = of('finnhub');
  const stopWatching = finnhub?.on('answer', () => {
    if (finnhub.requests.length < REVOKED_AFTER_REQUESTS) return;
    const feed = finnhub.requests.findLast(isOpenFeed);
    if (feed?.key === undefined) return;
    stopWatching?.();
    feedsCut.push(feed);
    finnhub.key(feed.key).revoke();
  });
  const tickstore = of('tickstore');
  const stopCounting = tickstore?.on('answer', () => {
    const isBetweenBatches = tickstore.keys.every(({ inFlight }) => inFlight === 0);
    if (tickstore.requests.length < OUTAGE_AFTER_REQUESTS || !isBetweenBatches) return;
    stopCounting?.();
    tickstore.outage(refuse(503, { retryAfterSeconds: OUTAGE_RETRY_SECONDS }), { forMs: OUTAGE_MS });
  });
  return feedsCut;
}

function isOpenFeed({ webSocket, status, endedAt }: RequestRecord): boolean {
  return webSocket && status === 101 && endedAt === undefined;
}
