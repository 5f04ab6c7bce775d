/**
 * `node --import keymux/register agent.js` (or `--require`, or `NODE_OPTIONS`): the program reads `process.env` and
 * sends requests as ever, and every request gets a key that works.
 */
import { createRequire } from 'node:module';
import { fileURLToPath } from 'node:url';
import { instanceWith } from './interceptors/process-manager.js';
import type { MinimalMultiKeyManager } from './interceptors/process-manager.js';
import { KeymuxError } from './core/errors.js';
import type { ErrorCode } from './core/errors.js';

const [major = 0, minor = 0] = process.versions.node.split('.').map(Number);

function start(): void {
  if (major < 20 || (major === 20 && minor < 19)) {
    process.emitWarning(`keymux needs Node 20.19 or newer and does nothing on ${process.versions.node}.`);
    return;
  }
  try {
    const preloadPath = fileURLToPath(new URL('./register.cjs', import.meta.url));
    const manager = instanceWith({}, { recovery: 'lazy', preloadPath });
    followAudit(manager);
    followAlerts(manager);
  } catch (error) {
    if (!(error instanceof KeymuxError)) throw error;
    process.stderr.write(`keymux: ${error.message}\n        ${error.fix} (${error.code})\n`);
    process.exit(exitCodeOf(error));
  }
}

type PreloadedAudit = typeof import('./observe/preloaded-audit.js');

/** As the alerts. A trail that was begun is kept until the program ends. */
function followAudit(manager: MinimalMultiKeyManager): void {
  let hasStarted = false;
  const follow = (): void => {
    if (hasStarted || manager.configuration.audit === undefined) return;
    hasStarted = true;
    const require = createRequire(import.meta.url);
    const { startConfiguredAudit } = require('#keymux/observe/preloaded-audit.cjs') as PreloadedAudit;
    startConfiguredAudit(manager);
  };
  follow();
  manager.on('reloaded', follow);
}

type PreloadedAlerts = typeof import('./observe/preloaded-alerts.js');

/** Alerts are loaded where they are configured only, as one CommonJS file that the build makes. */
function followAlerts(manager: MinimalMultiKeyManager): void {
  let hasStarted = false;
  const follow = (): void => {
    if (hasStarted || manager.configuration.alerts === undefined) return;
    hasStarted = true;
    const require = createRequire(import.meta.url);
    const { watchAlerts } = require('#keymux/observe/preloaded-alerts.cjs') as PreloadedAlerts;
    watchAlerts(manager);
  };
  follow();
  manager.on('reloaded', follow);
}

/** As the command line has them. Anything else that is wrong at the start is the configuration. */
const EXIT_CONFIGURATION = 3;
const EXIT_CODES: Partial<Record<ErrorCode, number>> = {
  KEYMUX_VAULT_LOCKED: 4,
  KEYMUX_VAULT_DAMAGED: 5,
  KEYMUX_CONFIG_NOT_ALLOWED: 7,
  KEYMUX_AUDIT_UNAVAILABLE: 9,
};

function exitCodeOf({ code, cause }: KeymuxError): number {
  return EXIT_CODES[code] ?? (cause instanceof KeymuxError ? exitCodeOf(cause) : EXIT_CONFIGURATION);
}

start();
