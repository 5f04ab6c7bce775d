import type { Command } from 'commander';
import { KeymuxError } from '../core/errors.js';
import type { KeySnapshot, Snapshot } from '../manager/inspection.js';
import type { UsageReport } from '../manager/usage-report.js';
import { findGateway } from './gateway-client.js';
import type { GatewayClient } from './gateway-client.js';
import { registerKeyChanges } from './key-changes.js';
import { registerRotation } from './key-rotation.js';
import { findKey, pathOfKey } from './key-name.js';
import { withManager } from './opened-manager.js';
import type { OpenedManager, Trouble } from './opened-manager.js';
import { statusReport } from './status-report.js';
import type { KeyStatus } from './status-report.js';
import { keyLines } from './status-view.js';
import { coloursFor, note, print, printJson, stdoutColumns, warn } from './terminal.js';

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
    .summary('list, add, rotate, disable, enable, reset and retire keys')
    .description('Lists keys, or changes one for all running programs at once.');
  keys
    .command('list')
    .description('Lists every key with its state; never the key itself.')
    .option('--json', 'one JSON document')
    .action(async (options: JsonOption) => listKeys(options.json === true));
  registerKeyChanges(keys);
  registerRotation(keys);
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
      const gateway = await findGateway(opened.manager.configuration, process.env);
      const { at, keys } = gateway === undefined ? await statusReport(opened) : await keysOf(gateway);
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

/** As a gateway has them: those added while it runs are among them. */
async function keysOf(gateway: GatewayClient): Promise<{ at: number; keys: readonly KeyStatus[] }> {
  const { at, keys } = (await gateway.ask('GET', '/state')) as Snapshot;
  const usage = (await gateway.ask('GET', '/usage')) as UsageReport;
  const used = new Map(usage.keys.map((one) => [one.key, one]));
  return {
    at,
    keys: keys.map(({ inFlight: _, latencyMs: __, stated: ___, ...key }) => {
      const { requests = 0, failures = 0, costUsd = 0, lastUsedAt } = used.get(key.id) ?? {};
      const status = { ...key, uses: requests, failures, costUsd };
      return lastUsedAt === undefined ? status : { ...status, lastUsedAt };
    }),
  };
}

async function changeKey(action: Action, wanted: string, json: boolean): Promise<void> {
  let lost: Trouble | undefined;
  const changed = await withManager(
    async (opened) => {
      const gateway = await findGateway(opened.manager.configuration, process.env);
      return gateway === undefined ? applyTo(opened, action, wanted) : applyBy(gateway, action, wanted);
    },
    {
      onTrouble: (trouble) => {
        if (trouble.kind === 'degraded') lost = trouble;
        else warn(trouble.message, trouble.fix);
      },
    },
  );
  // Only now is it written; or not, which was told meanwhile.
  if (lost !== undefined && changed.by === undefined) {
    throw new KeymuxError('KEYMUX_STORE_UNAVAILABLE', `Nothing was changed. ${lost.message}`, lost);
  }
  const { id, state, by } = changed;
  if (json) printJson({ id, state, action, ...(by === undefined ? {} : { by }) });
  else
    note(
      `${id} ${ACTIONS[action].done}; ${by === undefined ? 'running programs see' : `the gateway at ${by} sees`} it at once`,
    );
}

interface Changed {
  readonly id: string;
  readonly state: string;
  /** The gateway that did it. */
  readonly by?: string;
}

async function applyBy(gateway: GatewayClient, action: Action, wanted: string): Promise<Changed> {
  const { keys } = (await gateway.ask('GET', '/state')) as Snapshot;
  const id = findKey(
    wanted,
    keys.map((key) => key.id),
  );
  const key = (await gateway.ask('POST', `${pathOfKey(id)}/${action}`)) as KeySnapshot;
  return { id, state: key.state, by: gateway.url };
}

async function applyTo(opened: OpenedManager, action: Action, wanted: string): Promise<Changed> {
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
  manager[action](id, { by: 'cli' });
  const { keys } = await statusReport(opened);
  return { id, state: keys.find((key) => key.id === id)?.state ?? 'unproven' };
}
