/** Where the gateway listens, and where it must not without being told so. */
import { KeymuxError } from '../core/errors.js';
import { isLoopback } from './request-faults.js';

export const DEFAULT_HOST = '127.0.0.1';
export const DEFAULT_PORT = 4_800;
/** How long requests under way may take at the end. Milliseconds. */
export const DEFAULT_GRACE_MS = 10_000;

/** Where a gateway listens. */
export interface ListeningAddress {
  /** Such as `http://127.0.0.1:4800`. */
  readonly origin: string;
  readonly host: string;
  readonly port: number;
}

/** Tokens and answers would cross a network in the open. Throws `KEYMUX_USAGE`. */
export function refuseOpenListening(host: string, hasTls: boolean, isInsecureWanted: boolean): void {
  if (hasTls || isInsecureWanted || isLoopback(host)) return;
  throw new KeymuxError(
    'KEYMUX_USAGE',
    `Listening on ${host} without TLS would show tokens and answers to others on the network.`,
    {
      fix: 'Give `--tls-cert FILE --tls-key FILE`, listen on 127.0.0.1, or say `--insecure-listen` where something in front does TLS.',
    },
  );
}

/** Where clients on this machine find it. */
export function addressOf(host: string, port: number, hasTls: boolean): ListeningAddress {
  const reachable = host === '0.0.0.0' ? '127.0.0.1' : host === '::' ? '::1' : host;
  const shown = reachable.includes(':') ? `[${reachable}]` : reachable;
  return { origin: `${hasTls ? 'https' : 'http'}://${shown}:${port}`, host, port };
}

/** Why the server could not listen. */
export function listeningError(host: string, port: number, error: unknown): KeymuxError {
  const code = error instanceof Error && 'code' in error ? String(error.code) : 'UNKNOWN';
  const where = `port ${port} of ${host}`;
  const options = { cause: error };
  if (code === 'EADDRINUSE') {
    const fix =
      'Stop what listens there, perhaps another gateway, or give another port with `--port` (0: any free one).';
    return new KeymuxError('KEYMUX_USAGE', `Another program listens on ${where}.`, { fix, ...options });
  }
  if (code === 'EACCES') {
    const fix = 'Give a port above 1023 with `--port`.';
    return new KeymuxError('KEYMUX_USAGE', `This user may not listen on ${where}.`, { fix, ...options });
  }
  const fix = 'Give an address of this machine with `--host`, and a port from 0 to 65535 with `--port`.';
  return new KeymuxError('KEYMUX_USAGE', `The gateway cannot listen on ${where} (${code}).`, {
    fix,
    ...options,
  });
}
