// Secrets that are no API keys, kept fresh the same way; and a vault that a program makes for itself.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ERROR_CODES, KeymuxError, SecureConfigManager } from 'keymux';
import { changeVault, createVault, readVault } from 'keymux/vault';

const folder = mkdtempSync(join(tmpdir(), 'keymux-example-'));
process.env.KEYMUX_STATE_DIR = folder;
process.env.VAULT_KEY = 'correct horse battery staple';
const vault = { path: join(folder, 'keymux.vault'), key: 'env:VAULT_KEY' };

await createVault(vault);
await changeVault((draft) => draft.set('db/password', 'swordfish'), vault);
console.log('in the vault:', (await readVault(vault)).names().join(', '));

let issued = 0;
const secrets = new SecureConfigManager({
  cwd: folder,
  sources: [
    {
      scheme: 'company',
      read: async (reference) => ({ value: `${reference}-${(issued += 1)}`, expiresAt: Date.now() + 60_000 }),
    },
  ],
  env: { DB_PASSWORD: 'swordfish' },
});
const password = secrets.resolve('env:DB_PASSWORD');
console.log('printed it is', String(password), 'and it has', password.reveal().length, 'characters');
console.log('a short-lived token:', (await secrets.read('company:token')).reveal());
try {
  await secrets.read('env:NOT_THERE');
} catch (error) {
  if (!(error instanceof KeymuxError)) throw error;
  console.log(ERROR_CODES.includes(error.code), error.code, error.fix);
}
secrets.close();
rmSync(folder, { recursive: true });
