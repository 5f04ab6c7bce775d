import type { Command } from 'commander';
import { nearestName } from '../config/plain-names.js';
import { KeymuxError } from '../core/errors.js';
import { withManager } from './opened-manager.js';
import type { OpenedManager, Trouble } from './opened-manager.js';
import { statusReport } from './status-report.js';
import { keyLines } from './status-view.js';
import { coloursFor, note, print, printJson, stdoutColumns, typed, warn } from './terminal.js';

const ACTIONS = {
  disable: { summary: 'take a key out of use until it is enabled again', done: 'is disabled' },
  enable: { summary: 'let a disabled key be used again', done: 'is enabled' },
  reset: {
    summary: 'forget cooldowns and rejections of a key, its bucket and its provider',
    done: 'is reset, with its bucket and provider',
  },
} as const;

type Action = keyof typeof ACTIONS;

interface JsonOption {
  readonly json?: true;
}

export function registerKeys(program: Command): void {
  const keys = program
    .command('keys')
    .summary('list, disable, enable and reset keys')
    .description('Lists keys, or changes one for all running programs at once.');
  keys
    .command('list')
    .description('Lists every key with its state; never the key itself.')
    .option('--json', 'one JSON document')
    .action(async (options: JsonOption) => listKeys(options.json === true));
  for (const [action, { summary }] of Object.entries(ACTIONS)) {
    keys
      .command(action)
      .description(`${summary.charAt(0).toUpperCase()}${summary.slice(1)}.`)
      .argument('<key>', 'provider/id, or the id alone where only one key has it')
      .option('--json', 'one JSON document')
      .action(async (key: string, options: JsonOption) =>
        changeKey(action as Action, key, options.json === true),
      );
  }
}

async function listKeys(json: boolean): Promise<void> {
  await withManager(
    async (opened) => {
      const { at, keys } = await statusReport(opened);
      if (json) {
        printJson({ at, keys });
        return;
      }
      if (keys.length === 0) note('no key was found; `keymux doctor` tells where it looked');
      else print(keyLines(keys, at, coloursFor(process.stdout), stdoutColumns()).join('\n'));
    },
    { onTrouble: ({ message, fix }) => warn(message, fix) },
  );
}

async function changeKey(action: Action, wanted: string, json: boolean): Promise<void> {
  let lost: Trouble | undefined;
  const changed = await withManager((opened) => applyTo(opened, action, wanted), {
    onTrouble: (trouble) => {
      if (trouble.kind === 'degraded') lost = trouble;
      else warn(trouble.message, trouble.fix);
    },
  });
  // Only now is it written; or not, which was told meanwhile.
  if (lost !== undefined) {
    throw new KeymuxError('KEYMUX_STORE_UNAVAILABLE', `Nothing was changed. ${lost.message}`, lost);
  }
  if (json) printJson({ ...changed, action });
  else note(`${changed.id} ${ACTIONS[action].done}; running programs see it at once`);
}

async function applyTo(
  opened: OpenedManager,
  action: Action,
  wanted: string,
): Promise<{ id: string; state: string }> {
  const { manager } = opened;
  const id = findKey(
    wanted,
    manager.inspect().keys.map((key) => key.id),
  );
  if (manager.store.kind === 'memory') {
    throw new KeymuxError(
      'KEYMUX_USAGE',
      'The store is "memory", which no other process shares: this would change nothing for them.',
      { fix: 'Configure `store: { type: sqlite }` and start the programs anew.' },
    );
  }
  manager[action](id);
  const { keys } = await statusReport(opened);
  return { id, state: keys.find((key) => key.id === id)?.state ?? 'unproven' };
}

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
