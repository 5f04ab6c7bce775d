// `keymux serve` as a process with a folder of its own, for benchmarks, the soak and tests.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const BIN = fileURLToPath(new URL('../dist/bin.js', import.meta.url));
const ADDRESS = /https?:\/\/127\.0\.0\.1:\d+/;
const START_WITHIN_MS = 30_000;

/** A role and a secret, as `KEYMUX_GATEWAY_TOKENS` takes them. */
export const TOKENS = {
  use: 'kmx_use_for-the-programs-of-this-run-0000000000000',
  read: 'kmx_read_for-the-programs-of-this-run-000000000000',
  admin: 'kmx_admin_for-the-programs-of-this-run-00000000000',
};

/**
 * Resolves when it listens. `config`: the configuration as an object; `env`: added to the environment, of which the
 * gateway gets nothing else but what Node needs; `execArgv`: arguments of Node.
 */
export async function startGateway({ config, env = {}, execArgv = [], args = [] }) {
  const folder = mkdtempSync(join(tmpdir(), 'keymux-gateway-'));
  writeFileSync(join(folder, 'keymux.config.json'), JSON.stringify(config), { mode: 0o600 });
  const { PATH, NODE_V8_COVERAGE } = process.env;
  const child = spawn(process.execPath, [...execArgv, BIN, 'serve', '--port', '0', ...args], {
    cwd: folder,
    stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
    env: {
      PATH,
      HOME: folder,
      KEYMUX_STATE_DIR: join(folder, 'state'),
      KEYMUX_GATEWAY_TOKENS: Object.values(TOKENS).join(','),
      ...(NODE_V8_COVERAGE === undefined ? {} : { NODE_V8_COVERAGE }),
      ...env,
    },
  });
  let output = '';
  const exited = once(child, 'exit');
  const origin = await new Promise((resolve, reject) => {
    const fail = (why) => reject(new Error(`keymux serve ${why}:\n${output}`));
    const timer = setTimeout(() => fail('did not start in time'), START_WITHIN_MS);
    child.once('exit', (code) => fail(`ended with ${code}`));
    for (const stream of [child.stdout, child.stderr]) {
      stream.setEncoding('utf8').on('data', (text) => {
        output += text;
        const [address] = ADDRESS.exec(output) ?? [];
        if (address === undefined) return;
        clearTimeout(timer);
        resolve(address);
      });
    }
  });
  return {
    origin,
    folder,
    child,
    /** Everything it has written so far. */
    output: () => output,
    /** Ends it as a service manager would; resolves with its exit code. */
    async close() {
      child.kill('SIGTERM');
      const [code] = await exited;
      rmSync(folder, { recursive: true, force: true });
      return code;
    },
  };
}
