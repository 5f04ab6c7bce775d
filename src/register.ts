/**
 * `node --import keymux/register agent.js` (or `--require`, or `NODE_OPTIONS`): the program reads `process.env` and
 * sends requests as ever, and every request gets a key that works.
 */
import { createRequire } from 'node:module';
import { fileURLToPath } from 'node:url';
import { instanceWith } from './interceptors/process-manager.js';
import type { MinimalMultiKeyManager } from './interceptors/process-manager.js';
import { KeymuxError } from './core/errors.js';

const [major = 0, minor = 0] = process.versions.node.split('.').map(Number);

function start(): void {
  if (major < 20 || (major === 20 && minor < 19)) {
    process.emitWarning(`keymux needs Node 20.19 or newer and does nothing on ${process.versions.node}.`);
    return;
  }
  try {
    const preloadPath = fileURLToPath(new URL('./register.cjs', import.meta.url));
    followAlerts(instanceWith({}, { recovery: 'lazy', preloadPath }));
  } catch (error) {
    if (!(error instanceof KeymuxError)) throw error;
    process.stderr.write(`keymux: ${error.message}\n        ${error.fix}\n`);
    process.exit(EXIT_CONFIGURATION);
  }
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

/** The exit code of the command line for a faulty configuration. */
const EXIT_CONFIGURATION = 3;

start();
