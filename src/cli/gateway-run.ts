/** `keymux run --gateway`: a program in any language, a gateway beside it for as long as it runs. */
import { randomBytes } from 'node:crypto';
import type { Configuration } from '../config/configuration.js';
import { readEnvironment } from '../config/environment.js';
import { virtualKeyFor } from '../config/virtual-key.js';
import { makeToken } from '../gateway/tokens.js';
import { isStrongVirtualKey } from '../gateway/token-access.js';
import { KeyManager } from '../manager/key-manager.js';
import { virtualKeysOf } from '../manager/virtual-keys.js';
import { assembleGateway } from './assembled-gateway.js';
import { runToEnd } from './child-process.js';
import type { StartFailure } from './child-process.js';
import { gatewayEnvironment } from './gateway-environment.js';
import { PRELOAD_PATH } from './preload-path.js';
import type { RunOptions } from './run.js';
import { redactorOfRun, secretsOf } from './run-redactor.js';
import { hideSecrets, note, warn } from './terminal.js';

/** What the program has left open when it ends, it no longer waits for. Milliseconds. */
const GRACE_MS = 500;

export async function runBesideGateway(
  command: string,
  args: readonly string[],
  { verbose, redact }: RunOptions,
): Promise<number | StartFailure> {
  await using manager = new KeyManager();
  hideSecrets(() => secretsOf(manager.configuration));
  const token = makeToken('use');
  const gateway = assembleGateway({ manager, tokens: [token], port: 0 });
  const { origin } = await gateway.listen();
  try {
    const { configuration } = manager;
    const text = token.secret.reveal();
    const standIns = makeStandIns(manager, text);
    const { env, replacedUrls, withheld } = gatewayEnvironment(
      configuration,
      readEnvironment(process.env, process.cwd()),
      process.env,
      { origin, token: text, standIns },
      PRELOAD_PATH,
    );
    for (const name of replacedUrls) note(`${name} leads to the gateway now, for this program only`);
    if (withheld.length > 0)
      warn(
        `The program gets no ${withheld.join(', ')}: nothing can stand for the keys there.`,
        'Sign requests in a Node program under `keymux run`; a virtual provider needs keys from `file:` or `exec:`.',
      );
    if (verbose === true)
      note(`starting a program beside a gateway at ${origin} for ${[...standIns.keys()].join(', ')}`);
    const redactor =
      redact === true ? redactorOfRun(configuration, [{ text, label: 'gateway/token' }]) : undefined;
    return await runToEnd(command, args, env, redactor);
  } finally {
    await gateway.close(GRACE_MS);
  }
}

/**
 * A virtual key for each provider, good for this run only. Where a provider's keys are so short that theirs could be
 * guessed, the token of the run.
 */
function makeStandIns(manager: KeyManager, token: string): Map<string, string> {
  const secret = randomBytes(32);
  const known = virtualKeysOf(manager);
  const standIns = new Map<string, string>();
  for (const id of answeredProviders(manager.configuration)) {
    const text = virtualKeyFor(id, 'run', secret);
    const isStrong = isStrongVirtualKey(text);
    if (isStrong) known.accept(id, text);
    standIns.set(id, isStrong ? text : token);
  }
  return standIns;
}

function answeredProviders({ providers, credentials }: Configuration): string[] {
  return [...providers.values()]
    .filter(({ id, signed }) => !signed && credentials.some(({ provider }) => provider === id))
    .map(({ id }) => id);
}
