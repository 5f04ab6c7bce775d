/** `keymux serve` at work: loaded only there, since the gateway brings much that no other command needs. */
import { readFileSync } from 'node:fs';
import { systemCodeOf } from '../config/environment.js';
import { KeymuxError } from '../core/errors.js';
import type { ListeningAddress } from '../gateway/listening.js';
import { refuseOpenListening } from '../gateway/listening.js';
import type { ServerTls } from '../gateway/server-options.js';
import type { TokenSources } from '../gateway/token-file.js';
import { findTokens } from '../gateway/token-file.js';
import { KeyManager } from '../manager/key-manager.js';
import { assembleGateway } from './assembled-gateway.js';
import { EXIT } from './exit-codes.js';
import { secretsOf } from './run-redactor.js';
import type { ServeOptions } from './serve.js';
import { hideSecrets, note, warn } from './terminal.js';

/** Serves until a signal comes. Resolves with the exit code. */
export async function serve(options: ServeOptions): Promise<number> {
  const { host, port, grace, allowHost, insecureListen = false } = options;
  const tls = readTls(options);
  // Before a key is read or a token made.
  refuseOpenListening(host, tls !== undefined, insecureListen);
  const tokens = findTokens(process.env, options.tokenFile);
  await using manager = new KeyManager();
  hideSecrets(() => secretsOf(manager.configuration));
  const gateway = assembleGateway({
    manager,
    tokens: tokens.tokens,
    host,
    port,
    allowedHosts: allowHost,
    insecureListen,
    ...(tls === undefined ? {} : { tls }),
  });
  using ending = new Ending();
  try {
    const address = await gateway.listen();
    tellAddress(address, manager, tokens);
    await ending.first;
    note(`ending; requests under way get ${grace} s (a second signal cuts them off)`);
    await Promise.race([gateway.close(grace * 1000), ending.second]);
    return EXIT.ok;
  } finally {
    // Once more where it was cut short; the first call is under way then.
    if (ending.isUrgent) process.exit(EXIT.failure);
    await gateway.close(0);
  }
}

function tellAddress(
  { origin }: ListeningAddress,
  { configuration }: KeyManager,
  { places, open }: TokenSources,
): void {
  const names = new Set([...configuration.services.keys(), ...configuration.providers.keys()]);
  note(`the gateway listens on ${origin}`);
  note(`dashboard: ${origin}/-/dashboard/`);
  note(`tokens: ${places.join(' and ')}`);
  if (names.size > 0) note(`answers for: ${[...names].map((name) => `/${name}`).join(' ')}`);
  else warn('There is no key of any provider yet.', 'Set one in the environment, or run `keymux init`.');
  if (open !== undefined) warn(`Others on this machine may read ${open}.`, `Run \`chmod 600\` on it.`);
}

function readTls({ tlsCert, tlsKey }: ServeOptions): ServerTls | undefined {
  if (tlsCert === undefined && tlsKey === undefined) return undefined;
  if (tlsCert === undefined || tlsKey === undefined) {
    throw new KeymuxError('KEYMUX_USAGE', 'A certificate goes with its key.', {
      fix: 'Give both `--tls-cert FILE` and `--tls-key FILE`.',
    });
  }
  return { cert: readPem(tlsCert), key: readPem(tlsKey) };
}

function readPem(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch (error) {
    throw new KeymuxError('KEYMUX_USAGE', `${path} cannot be read (${systemCodeOf(error)}).`, {
      fix: 'Give the path of a PEM file that this user may read.',
      cause: error,
    });
  }
}

const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;

/** The first signal ends in order, the second at once. */
class Ending implements Disposable {
  readonly first: Promise<void>;
  readonly second: Promise<void>;
  isUrgent = false;
  #onFirst: () => void = () => {};
  #onSecond: () => void = () => {};
  #count = 0;
  readonly #onSignal = (): void => {
    this.#count += 1;
    if (this.#count === 1) return this.#onFirst();
    this.isUrgent = true;
    this.#onSecond();
  };

  constructor() {
    this.first = new Promise((resolve) => (this.#onFirst = resolve));
    this.second = new Promise((resolve) => (this.#onSecond = resolve));
    for (const signal of SIGNALS) process.on(signal, this.#onSignal);
  }

  [Symbol.dispose](): void {
    for (const signal of SIGNALS) process.off(signal, this.#onSignal);
  }
}
