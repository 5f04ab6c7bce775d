/**
 * `node --import keymux/register agent.js` (or `--require`, or `NODE_OPTIONS`): the program reads `process.env` and
 * sends requests as ever, and every request gets a key that works.
 */
import { fileURLToPath } from 'node:url';
import { instanceWith } from './interceptors/process-manager.js';
import { KeymuxError } from './core/errors.js';

const [major = 0, minor = 0] = process.versions.node.split('.').map(Number);

function start(): void {
  if (major < 20 || (major === 20 && minor < 19)) {
    process.emitWarning(`keymux needs Node 20.19 or newer and does nothing on ${process.versions.node}.`);
    return;
  }
  try {
    instanceWith(
      {},
      { recovery: 'lazy', preloadPath: fileURLToPath(new URL('./register.cjs', import.meta.url)) },
    );
  } catch (error) {
    if (!(error instanceof KeymuxError)) throw error;
    process.stderr.write(`keymux: ${error.message}\n        ${error.fix}\n`);
    process.exit(EXIT_CONFIGURATION);
  }
}

/** The exit code of the command line for a faulty configuration. */
const EXIT_CONFIGURATION = 3;

start();
