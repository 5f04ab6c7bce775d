// Starts `agent` below as you would start your own program: node --import keymux/register agent.mjs
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { refuse, startSimulator } from 'keymux/testing';

const provider = await startSimulator({
  keys: {
    'key-that-ran-out': { name: 'first', always: refuse(429, { retryAfterSeconds: 60 }) },
    'key-that-was-revoked': { name: 'second', always: refuse(401) },
    'key-that-works': { name: 'third' },
  },
});

const folder = mkdtempSync(join(tmpdir(), 'keymux-example-'));
const agent = join(folder, 'agent.mjs');
writeFileSync(
  agent,
  `const headers = { authorization: 'Bearer ' + process.env.ACME_API_KEY };
   for (let i = 1; i <= 3; i++) {
     const response = await fetch(process.env.ACME_URL + '/quote/' + i, { headers });
     console.log('agent: request', i, 'got', response.status);
     await response.text();
   }`,
);
writeFileSync(
  join(folder, 'keymux.config.yaml'),
  `providers: { acme: { baseUrl: "${provider.origin}", env: [ACME_API_KEY] } }`,
);

const child = spawn(
  process.execPath,
  ['--import', createRequire(import.meta.url).resolve('keymux/register'), agent],
  {
    cwd: folder,
    stdio: 'inherit',
    env: {
      ...process.env,
      KEYMUX_STATE_DIR: folder,
      ACME_URL: provider.origin,
      ACME_API_KEY: 'key-that-ran-out',
      ACME_API_KEY_2: 'key-that-was-revoked',
      ACME_API_KEY_BACKUP: 'key-that-works',
    },
  },
);
const [code] = await once(child, 'exit');
console.log('provider saw:', provider.requests.map(({ key, status }) => `${key} ${status}`).join(', '));
await provider.close();
rmSync(folder, { recursive: true, force: true });
process.exitCode = code;
