// Runs the demo with the options of the command line, as JSON. `missing`: as if no client of npm were installed.
// `terminal`: as if stdout were one of this size.
import { runDemo } from '#keymux/cli/demo.js';

const { missing, terminal, ...options } = JSON.parse(process.argv[2]);
if (terminal !== undefined) Object.assign(process.stdout, { isTTY: true, ...terminal });
process.exitCode = await runDemo({
  ...options,
  ...(missing === true ? { isInstalled: () => false } : {}),
});
