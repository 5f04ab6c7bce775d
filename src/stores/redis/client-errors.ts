import { KeymuxError } from '../../core/errors.js';
import { Silence } from '../../core/silence.js';
import { RedisReplyError } from './client.js';

const FIX =
  'Requests go on with what was leased, then with the fair share. See that the server runs and answers.';

/** Waiting does not help there. A server that has all its connections in use says ERR, too. */
const LOGIN_REFUSED = /^(?:WRONGPASS|NOAUTH|NOPERM|DENIED|ERR (?!max number of clients))/;

export function notConnected(address: string, cause?: unknown): KeymuxError {
  // A file that cannot be read for a moment, while a certificate is renewed, is a fault of the configuration at the start only.
  if (cause instanceof KeymuxError && cause.code !== 'KEYMUX_CONFIG_INVALID') return cause;
  const reason = cause instanceof Error && cause.message !== '' ? `: ${cause.message}` : '';
  return new KeymuxError('KEYMUX_STORE_UNAVAILABLE', `There is no connection to ${address}${reason}.`, {
    fix: FIX,
    cause,
  });
}

/** The first connection is still under way: nothing says yet that there will be none. */
export function notYetConnected(address: string): KeymuxError {
  return new KeymuxError('KEYMUX_STORE_UNAVAILABLE', `There is no connection to ${address} yet.`, {
    fix: FIX,
    cause: new Silence(0),
  });
}

export function noAnswer(address: string, deadlineMs: number): KeymuxError {
  const inTime = `within ${String(Math.round(deadlineMs))} ms`;
  return new KeymuxError('KEYMUX_TIMEOUT', `${address} did not answer ${inTime}.`, { fix: FIX });
}

/** Why an attempt to connect has failed: a `KeymuxError` where it will fail again until somebody acts. */
export function faultOf(address: string, error: unknown): Error {
  if (!(error instanceof RedisReplyError) || !LOGIN_REFUSED.test(error.message)) return error as Error;
  return new KeymuxError('KEYMUX_STORE_UNAVAILABLE', `${address} refuses the connection: ${error.message}`, {
    fix: 'Check the user name, the password (sentinels have their own) and the number of the database.',
    cause: error,
  });
}

export function clientClosed(address: string): KeymuxError {
  return new KeymuxError('KEYMUX_CLOSED', `The connection to ${address} was closed by this program.`, {
    fix: 'Do not use the store after shutdown().',
  });
}

/** The same error with its message only, and without any of the secrets: libraries keep the arguments of commands. */
export function withoutSecrets(error: unknown, secrets: readonly string[]): Error {
  if (error instanceof KeymuxError) return error;
  const message = messageOf(error);
  const clean = secrets
    .filter((secret) => secret !== '')
    .reduce((text, secret) => text.replaceAll(secret, '[secret]'), message);
  if (isReply(error)) return new RedisReplyError(clean);
  return Object.assign(new Error(clean), codeOf(error));
}

/** What an error reply is called: `ErrorReply` and its heirs in node-redis, `ReplyError` in ioredis and iovalkey. */
function isReply(error: unknown): boolean {
  if (error instanceof RedisReplyError) return true;
  if (!(error instanceof Error)) return false;
  return /^(?:ErrorReply|SimpleError|BlobError|ReplyError)$/.test(nameOf(error));
}

function nameOf(error: Error): string {
  return error.name === 'Error' ? error.constructor.name : error.name;
}

function messageOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  if (error.message !== '' || !(error instanceof AggregateError)) return error.message;
  return error.errors.map(messageOf).join('; ');
}

function codeOf(error: unknown): { code?: string } {
  const code = error instanceof Error && 'code' in error ? error.code : undefined;
  return typeof code === 'string' ? { code } : {};
}
