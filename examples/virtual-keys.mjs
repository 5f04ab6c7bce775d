// The keys lie in an encrypted vault; the program sees a virtual key, which is of no use to anyone but keymux.
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { refuse, startSimulator } from 'keymux/testing';
import { changeVault } from 'keymux/vault';

const provider = await startSimulator({
  keys: {
    'real-key-that-was-revoked': { name: 'main', always: refuse(401) },
    'real-key-that-works': { name: 'spare' },
  },
});

const folder = mkdtempSync(join(tmpdir(), 'keymux-example-'));
const vault = { path: join(folder, 'keymux.vault'), key: `file:${join(folder, 'team.key')}` };
const require = createRequire(import.meta.url);

// npx keymux vault init --key file:team.key
const keymux = join(dirname(require.resolve('keymux/package.json')), 'dist/bin.js');
execFileSync(process.execPath, [keymux, 'vault', 'init', '--vault', vault.path, '--key', vault.key], {
  cwd: folder,
  env: { ...process.env, KEYMUX_STATE_DIR: folder },
  stdio: 'ignore',
});
process.env.KEYMUX_STATE_DIR = folder;
await changeVault((draft) => {
  draft.set('acme/main', 'real-key-that-was-revoked');
  draft.set('acme/spare', 'real-key-that-works');
}, vault);
console.log('a key stands in the vault in clear:', readFileSync(vault.path, 'utf8').includes('real-key'));

writeFileSync(
  join(folder, 'keymux.config.json'),
  JSON.stringify({
    vault,
    providers: {
      acme: {
        baseUrl: provider.origin,
        env: ['ACME_API_KEY'],
        mode: 'virtual',
        keys: [
          { id: 'main', value: 'vault:acme/main', priority: 1 },
          { id: 'spare', value: 'vault:acme/spare', priority: 2 },
        ],
      },
    },
  }),
);
const agent = join(folder, 'agent.mjs');
writeFileSync(
  agent,
  `const key = process.env.ACME_API_KEY;
   const response = await fetch(process.env.ACME_URL, { headers: { authorization: 'Bearer ' + key } });
   console.log('agent: its key is a real one:', key.startsWith('real-key'));
   console.log('agent: got', response.status);
   await response.text();`,
);

const child = spawn(process.execPath, ['--import', require.resolve('keymux/register'), agent], {
  cwd: folder,
  stdio: 'inherit',
  env: { ...process.env, ACME_URL: provider.origin },
});
const [code] = await once(child, 'exit');
console.log('provider saw:', provider.requests.map(({ key, status }) => `${key} ${status}`).join(', '));
await provider.close();
rmSync(folder, { recursive: true, force: true });
process.exitCode = code;
