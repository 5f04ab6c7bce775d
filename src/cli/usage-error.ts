import type { CommanderError } from 'commander';
import { KeymuxError } from '../core/errors.js';
import { typed } from './terminal.js';

/**
 * A command line that was not understood, in our words; undefined where help was shown in its place. What was typed
 * is repeated only if it reads like a name.
 */
export function usageError(error: CommanderError): KeymuxError | undefined {
  if (error.code === 'commander.help') return undefined;
  const [first = '', ...rest] = error.message.replace(/^error: /, '').split('\n');
  const nearest = /^\(Did you mean (.*)\?\)$/.exec(rest.join(' '))?.[1];
  const hint = nearest === undefined ? '' : `Did you mean \`${nearest}\`? `;
  const message = first.replaceAll(/'([^']*)'/g, (_, text: string) => typed(text)).replace(/\.$/, '');
  return new KeymuxError('KEYMUX_USAGE', `${message.charAt(0).toUpperCase()}${message.slice(1)}.`, {
    fix: `${hint}\`keymux --help\` lists commands, \`keymux COMMAND --help\` their options.`,
  });
}
