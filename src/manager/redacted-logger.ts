import type { Configuration } from '../config/configuration.js';
import { type Credential, keyIdOf } from '../core/credential.js';
import type { Logger } from '../core/ports.js';
import { replaceKey } from '../core/written-key.js';

/** Warnings go to stderr; the rest is for loggers that a program passes in. */
export const STDERR_LOGGER: Logger = {
  warn: (message) => void process.stderr.write(`${message}\n`),
  info: () => {},
};

/** Anything shorter stands in words that are no key. */
const SHORTEST_KEY = 8;

/**
 * A logger whose lines hold none of the keys, whatever was passed on to it: an error of a library may quote the
 * address or header that a key stands in.
 */
export function redactedLogger(logger: Logger, keys: () => readonly Credential[]): Logger {
  return {
    warn: (message) => logger.warn(withoutKeys(message, keys())),
    info: (message) => logger.info(withoutKeys(message, keys())),
  };
}

/** The text with the name of each key in its place, however that is written in addresses and headers. */
export function withoutKeys(text: string, keys: readonly Credential[]): string {
  return keys.reduce((shown, key) => {
    const value = key.secret.reveal();
    return value.length < SHORTEST_KEY ? shown : replaceKey(shown, value, `[keymux:${keyIdOf(key)}]`);
  }, text);
}

/** The logger of something that watches a manager. Default: warnings to stderr. */
export function loggerOf(
  manager: { readonly configuration: Configuration },
  logger: Logger = STDERR_LOGGER,
): Logger {
  return redactedLogger(logger, () => manager.configuration.credentials);
}
