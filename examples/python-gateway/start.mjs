// A Python program behind the gateway: keymux run --gateway -- python3 agent.py
// It gets the address of the gateway as its base URL and a virtual key as its key; no real key is in its environment.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { refuse, startSimulator } from 'keymux/testing';

const provider = await startSimulator({
  flavour: 'openai',
  keys: {
    'key-that-ran-out': { name: 'first', always: refuse(429, { retryAfterSeconds: 60 }) },
    'key-that-was-revoked': { name: 'second', always: refuse(401) },
    'key-that-works': { name: 'third' },
  },
});

const folder = mkdtempSync(join(tmpdir(), 'keymux-example-'));
writeFileSync(
  join(folder, 'keymux.config.yaml'),
  `providers: { openai: { baseUrl: "${provider.origin}", env: [OPENAI_API_KEY] } }`,
);

const keymux = join(dirname(createRequire(import.meta.url).resolve('keymux/package.json')), 'dist/bin.js');
const agent = fileURLToPath(new URL('agent.py', import.meta.url));
const python = process.env.PYTHON ?? 'python3';
const child = spawn(process.execPath, [keymux, 'run', '--gateway', '--', python, agent], {
  cwd: folder,
  stdio: 'inherit',
  env: {
    ...process.env,
    KEYMUX_STATE_DIR: folder,
    OPENAI_API_KEY: 'key-that-ran-out',
    OPENAI_API_KEY_2: 'key-that-was-revoked',
    OPENAI_API_KEY_BACKUP: 'key-that-works',
  },
});
const [code] = await once(child, 'exit');
console.log('provider saw:', provider.requests.map(({ key, status }) => `${key} ${status}`).join(', '));
await provider.close();
rmSync(folder, { recursive: true, force: true });
process.exitCode = code;
