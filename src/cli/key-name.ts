import { nearestName } from '../config/plain-names.js';
import { KeymuxError } from '../core/errors.js';
import { typed } from './terminal.js';

/** `provider/id` of the key that is meant. Throws `KEYMUX_UNKNOWN_KEY`, or `KEYMUX_USAGE` where it may be several. */
export function findKey(wanted: string, ids: readonly string[]): string {
  if (ids.includes(wanted)) return wanted;
  const [found, ...others] = ids.filter((id) => shortOf(id) === wanted);
  if (found !== undefined && others.length === 0) return found;
  if (found !== undefined) {
    throw new KeymuxError('KEYMUX_USAGE', `Several keys are called ${typed(wanted)}.`, {
      fix: `Name one of them: ${[found, ...others].join(', ')}.`,
    });
  }
  const nearest = nearestKey(wanted, ids);
  const hint = nearest === undefined ? '' : `Did you mean "${nearest}"? `;
  throw new KeymuxError('KEYMUX_UNKNOWN_KEY', `There is no key ${typed(wanted)}.`, {
    fix: `${hint}${ids.length === 0 ? 'No key was found at all.' : `Known: ${ids.join(', ')}.`}`,
  });
}

function nearestKey(wanted: string, ids: readonly string[]): string | undefined {
  if (wanted.includes('/')) return nearestName(wanted, ids);
  const short = nearestName(wanted, ids.map(shortOf));
  return ids.find((id) => shortOf(id) === short);
}

function shortOf(id: string): string {
  return id.slice(id.indexOf('/') + 1);
}

/** Behind `/-/api`. */
export function pathOfKey(id: string): string {
  return `/keys/${id.split('/').map(encodeURIComponent).join('/')}`;
}
